"""What is known of the life of a slave. The rules of :mod:`.life` change it.

What is true of one launch alone is in :mod:`.launching`, what is true of one session alone in
:mod:`.session_state`.
"""

from __future__ import annotations

import enum

from .._light_typing import NamedTuple
from .._plugins.launch import LaunchPhase
from .actions import Changed, EndSession, LifeAction, LookAt, Release, Warn
from .launching import Launching
from .session_state import NEVER, SessionState

NO_LAUNCH = 0
"""Launches are numbered from 1."""
_CHECKS_IN_TIMEOUT = 4


class SlaveState(enum.Enum):
    """How far a slave has come, as people see it. What it works at, the scheduler knows."""

    LAUNCHING = "launching"
    QUEUED = "queued"
    CONNECTED = "connected"  # its runner is not ready yet
    IDLE = "idle"
    SET_ASIDE = "set aside"  # task after task has died on it
    SUSPECTED = "suspected"
    RECONNECTING = "reconnecting"
    PAUSED = "paused"
    LEAVING = "leaving"
    GONE = "gone"


_LAUNCHING_STATES: dict[LaunchPhase | None, SlaveState] = {
    LaunchPhase.QUEUED: SlaveState.QUEUED,
    LaunchPhase.SUSPENDED: SlaveState.PAUSED,
}


class Stage(enum.Enum):
    """Where a slave is in its life."""

    LAUNCHING = "launching"  # its launch has been asked for; nobody has introduced itself
    PRESENT = "present"  # a session, and a stream
    ABSENT = "absent"  # a session that can be resumed, and no stream
    ENDING = "ending"  # it has ended, as far as is known; its launch is asked how
    GONE = "gone"


class Timeouts(NamedTuple):
    """What a slave is allowed, in seconds."""

    heartbeat_s: float
    """For how long it may be silent."""
    connect_s: float
    """For how long it may run without having connected, or be connected without a runner."""
    reconnect_s: float
    """For how long it may try to come back, after its silence."""
    surplus_s: float
    """For how long it may wait in a queue although it is not needed."""


class Purpose(enum.Enum):
    """Why a launch is asked; the order in which one question takes the place of another."""

    RETURN = 1  # a slave has no stream: has it ended?
    SILENCE = 2  # a slave is to be given up: may it come back?
    RUNNER = 3  # what did its runner write last?
    END = 4  # how did the slave end?


class Question(NamedTuple):
    """A question to the launch that is open."""

    number: int
    """Of all questions about this slave."""
    purpose: Purpose
    answer_by: float
    """When to go on without an answer."""
    how: str
    """What is known without the answer."""
    is_charged: bool = False
    """Whether the item that the slave is at may be to blame for its end."""
    blamed: int = 0
    """The item that is to blame for the runner's end; 0 for none."""
    exceeded_bytes: int = 0
    """How much memory that item held, if it was ended for that."""
    names_trouble: bool = False
    """Whether the loss is told with why the launch did not say how the slave is."""


class LifeState:
    """What is known of the life of one slave, and the actions that have been decided on.

    Args:
        name: of the slave.
        output_path: where its output goes.
        timeouts: its own.
        is_relaunchable: whether the core launches it again, so that its batch system does not.
        now: the time.
    """

    def __init__(
        self,
        name: str,
        output_path: str | None,
        timeouts: Timeouts,
        *,
        is_relaunchable: bool,
        now: float,
    ) -> None:
        self.name = name
        self.output_path = output_path
        self.timeouts = timeouts
        self.is_relaunchable = is_relaunchable
        self.stage = Stage.LAUNCHING
        self.state = SlaveState.LAUNCHING
        self.detail = ""
        self.state_since = now
        self.host = ""
        self.pid: int | None = None
        self.has_joined = False  # it has had a runner, in this launch or one before
        self.newcomers: dict[int, bool] = {}
        """Streams whose peers have not introduced themselves; whether each is resumable."""
        self.session: SessionState | None = None
        self.question: Question | None = None
        self.questions = 0
        self.last_boot = ""
        self.aside = ""  # why it is set aside, if it is
        self.how_it_went = ""
        self.look_at = NEVER  # the next tick that was asked for
        self.actions: list[LifeAction] = []
        self.releases_messages = False  # when these actions have been performed
        self.begin_launch(NO_LAUNCH)

    def begin_launch(self, launch: int) -> None:
        """Forget the launch before: its news and its time-outs are void."""
        self.launching = Launching(launch, self.timeouts.connect_s)
        self.stage = Stage.LAUNCHING
        self.has_connected = False
        self.host = ""
        self.pid = None

    @property
    def check_s(self) -> float:
        """How often a session is looked at."""
        return self.timeouts.heartbeat_s / _CHECKS_IN_TIMEOUT

    def __str__(self) -> str:
        return f"{self.name} ({self.host})" if self.host else self.name

    def warn(self, text: str, key: str = "") -> None:
        """Have people told of something about this slave; the key is of what explains it."""
        self.actions.append(Warn(f"{self}{text}", key))

    def end_session(self) -> None:
        """Have the session forgotten, if there is one."""
        if self.session is not None:
            self.session = None
            self.actions.append(EndSession())

    def flush(self, now: float) -> list[LifeAction]:
        """Return the actions that have been decided on."""
        state, detail = self._shown()
        if state is not self.state or detail != self.detail:
            if state is not self.state:
                self.state_since = now
            self.state, self.detail = state, detail
            self.actions.insert(0, Changed())
        due = self._next_look()
        if due < self.look_at:
            self.look_at = due
            self.actions.append(LookAt(due))
        if self.releases_messages:  # last: they are events, which come after these actions
            self.releases_messages = False
            self.actions.append(Release())
        actions, self.actions = self.actions, []
        return actions

    def _shown(self) -> tuple[SlaveState, str]:
        """Return the state that people see, and its detail."""
        session = self.session
        if self.stage is Stage.GONE:
            return SlaveState.GONE, self.how_it_went
        if self.stage is Stage.LAUNCHING:
            phase = self.launching.phase
            state = _LAUNCHING_STATES.get(phase, SlaveState.LAUNCHING)
            return state, self.launching.detail
        if session is None:
            return self.state, self.detail  # as they were when it ended
        if self.stage is Stage.ABSENT and session.has_left and not session.is_suspected:
            return SlaveState.LEAVING, session.leaves_because
        if self.stage is Stage.ABSENT:
            return SlaveState.RECONNECTING, session.shown_absence or session.absence
        if session.is_suspected:
            return SlaveState.SUSPECTED, session.shown_absence or session.silence
        if session.is_leaving:
            return SlaveState.LEAVING, session.leaves_because
        if session.is_paused:
            return SlaveState.PAUSED, session.paused_because
        if self.aside:
            return SlaveState.SET_ASIDE, self.aside
        if session.runner_pid is None:
            return SlaveState.CONNECTED, session.runner_end
        return SlaveState.IDLE, ""

    def _next_look(self) -> float:
        due = NEVER
        if self.stage is Stage.LAUNCHING:
            due = self.launching.look_at
        if self.question is not None:
            due = min(due, self.question.answer_by)
        if self.session is not None:
            due = min(due, self.session.check_at, self.session.ask_at)
        return due
