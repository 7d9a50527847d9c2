"""A slave as the fleet sees it: its life, its launch, its streams, and what it was sent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .._plugins.bootstrap import Bootstrap
from .._plugins.slaves import Slave, describe
from .life import SlaveLife

if TYPE_CHECKING:
    from .._launch.watch import LaunchWatch
    from .._wire.link import Link
    from .._wire.protocol import Message
    from .._wire.stream import Stream
    from .state import Timeouts


class SlaveRecord:
    """A slave, from ``add_slave`` to its end.

    Args:
        description: what the user gave to ``add_slave``.
        bootstrap: what this slave was started with.
        timeouts: what it is allowed.
    """

    def __init__(self, description: Slave, bootstrap: Bootstrap, timeouts: Timeouts) -> None:
        self.description = description
        self.description_text = describe(description)
        self.bootstrap = bootstrap
        self.index = bootstrap.index
        self.name = f"slave {bootstrap.index}"
        self.life = SlaveLife(
            self.name,
            bootstrap.output_path,
            timeouts,
            is_relaunchable=description.is_relaunchable,
            now=time.monotonic(),
        )
        self.watch: LaunchWatch | None = None
        self.offered: dict[int, Stream] = {}
        """Streams by number; the life has not decided on them yet."""
        self.newcomers: dict[int, Link] = {}
        """Links by number, whose peers claim to be this slave, and have not introduced themselves.
        """
        self.link: Link | None = None
        """The session's last link; its stream may have ended."""
        self.held: list[Message] = []
        """Messages that wait until the loss before them has been explained."""
        self.bundles_sent: dict[int, int] = {}
        self.kept: set[tuple[int, int]] = set()
        """The large parts that its runner has been sent to keep: context and number of each."""
        self.tasks_done = 0
        self.failure = ""
        """How it was lost, for NoMoreSlavesError."""

    def __str__(self) -> str:
        return str(self.life)

    def forget_runner(self) -> None:
        """Forget what its runner was sent, since that has gone."""
        self.bundles_sent = {}
        self.kept = set()

    def end_session(self) -> None:
        """Close the session's link, and forget it."""
        self.held = []
        if self.link is not None:
            self.link.close()
            self.link = None
