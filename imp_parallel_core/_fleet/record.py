"""The engine's record of a slave: where it is in its life, its connection, what it was sent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .._light_typing import NamedTuple
from .._plugins.bootstrap import Bootstrap
from .._plugins.slaves import Slave, describe
from .state import SlaveState

if TYPE_CHECKING:
    from .._launch.watch import LaunchWatch
    from .._wire.link import Link
    from .._wire.protocol import Message
    from .info import SlaveInfo


class StreamSigns(NamedTuple):
    """What has passed over a slave's stream by the last look at it."""

    read_bytes: int = 0
    written_bytes: int = 0
    unfinished_bytes: int = 0


class SlaveRecord:
    """A slave, from ``add_slave`` to its end.

    Args:
        description: what the user gave to ``add_slave``.
        bootstrap: what this slave was started with.
        heartbeat_timeout_s: how long it may be silent.
        connect_timeout_s: how long it may run without having connected.
        reconnect_timeout_s: for how long it may try to come back.
        surplus_timeout_s: for how long it may wait in a queue although it is not needed.
    """

    def __init__(
        self,
        description: Slave,
        bootstrap: Bootstrap,
        heartbeat_timeout_s: float,
        connect_timeout_s: float,
        reconnect_timeout_s: float,
        surplus_timeout_s: float,
    ) -> None:
        self.description = description
        self.description_text = describe(description)
        self.bootstrap = bootstrap
        self.heartbeat_timeout_s = heartbeat_timeout_s
        self.connect_timeout_s = connect_timeout_s
        self.reconnect_timeout_s = reconnect_timeout_s
        self.surplus_timeout_s = surplus_timeout_s
        self.index = bootstrap.index
        self.name = f"slave {bootstrap.index}"
        self.watch: LaunchWatch | None = None
        self.state = SlaveState.LAUNCHING
        self.state_since = time.monotonic()
        self.detail = ""
        self.host = ""
        self.pid: int | None = None
        self.runner_pid: int | None = None
        self.without_runner_since = time.monotonic()
        self.has_joined = False
        self.is_paused = False
        self.aside = ""  # why it is set aside, if it is
        self.is_leaving = False
        self.leaves_because = ""
        self.is_suspected = False
        self.unanswered = 0  # questions to its launch, in a row, when it was to be given up
        self.silence_told_s = 0.0  # of the silence that people have been told of
        self.tasks_done = 0
        self.failure = ""
        """How it was lost, for NoMoreSlavesError."""
        self.newcomers: list[Link] = []
        """Streams whose peers claim to be this slave, and have not introduced themselves."""
        self.link: Link | None = None
        """The session's last stream; it may have gone."""
        self.session_token = ""
        self.boot = ""
        self.signs = StreamSigns()
        self.not_taken = 0  # so often in a row it had taken nothing of what waits for it
        self.not_acknowledged = 0  # so often in a row it may not have got all that was written
        self.bundles_sent: dict[int, int] = {}
        self.kept: set[tuple[int, int]] = set()
        """The large parts that its runner has been sent to keep: context and number of each."""
        self.held: list[Message] | None = None
        """Messages that wait until the loss before them has been explained."""

    def __str__(self) -> str:
        return f"{self.name} ({self.host})" if self.host else self.name

    def enter(self, state: SlaveState, detail: str = "") -> bool:
        """Note a state; return whether it is another than before."""
        if state is SlaveState.SET_ASIDE:
            detail = self.aside
        changed = state is not self.state or detail != self.detail
        if state is not self.state:
            self.state_since = time.monotonic()
        self.state = state
        self.detail = detail
        return changed

    @property
    def connected_state(self) -> SlaveState:
        """The state in which it is when all is well with its connection."""
        if self.is_leaving:
            return SlaveState.LEAVING
        if self.is_paused:
            return SlaveState.PAUSED
        if self.aside:
            return SlaveState.SET_ASIDE
        return SlaveState.CONNECTED if self.runner_pid is None else SlaveState.IDLE

    def begin_session(self, link: Link, session_token: str, boot: str) -> None:
        """Begin a new session over a link.

        Args:
            link: the link.
            session_token: the token by which it can be resumed.
            boot: tells this start of the supervisor from others.
        """
        self.link = link
        self.without_runner_since = time.monotonic()
        self.session_token = session_token
        self.boot = boot
        self.forget_runner()
        self.held = None
        self.is_paused = False
        self.is_leaving = False
        self.is_suspected = False
        self.signs = StreamSigns()
        self.not_taken = self.not_acknowledged = 0

    def tell_launch(self, *, is_connected: bool) -> None:
        """Tell its launch that it has connected, or may have to connect anew."""
        if self.watch is not None:
            self.watch.note_connection(self.index, is_connected=is_connected)

    def forget_runner(self) -> None:
        """Its runner has gone, and with it what that was sent."""
        self.bundles_sent = {}
        self.kept = set()

    def end_session(self) -> None:
        """Close all links, and forget the session."""
        for newcomer in self.newcomers:
            newcomer.close()
        self.newcomers.clear()
        self.session_token = ""
        self.is_suspected = False
        if self.link is not None:
            self.link.close()
            self.link = None
        self.held = None
        self.runner_pid = None

    def info(
        self,
        now: float,
        state: SlaveState | None = None,
        since: float = 0.0,
        task: int | None = None,
        context: int | None = None,
    ) -> SlaveInfo:
        """Return what there is to know of it; the scheduler may know better what it does."""
        from .info import SlaveInfo  # most runs never ask

        path = self.bootstrap.output_path
        return SlaveInfo(
            index=self.index,
            name=self.name,
            description=self.description_text,
            state=(state or self.state).value,
            state_s=now - (since if state else self.state_since),
            detail=self.detail,
            host=self.host,
            pid=self.pid,
            runner_pid=self.runner_pid,
            tasks_done=self.tasks_done,
            task=task,
            context=context,
            output_path=path or "",
        )
