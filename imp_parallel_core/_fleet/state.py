"""What is known of the life of a slave. The rules of :mod:`.life` change it."""

from __future__ import annotations

import enum

from .._light_typing import NamedTuple
from ..reminder import Reminder
from .actions import Changed, EndSession, LifeAction, LookAt, Release, Warn
from .launching import Launching

NEVER = float("inf")
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


class StreamSigns(NamedTuple):
    """What has passed over the session's stream by now."""

    heard_at: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0
    unfinished_bytes: int = 0
    has_unsent: bool = False
    holds_descriptors: bool = False
    """Whether descriptors wait to be written, perhaps for what other slaves hold."""
    is_acknowledged: bool = True


class Greeting(NamedTuple):
    """What a HELLO says."""

    host: str
    pid: int
    boot: str
    """Tells this start of the supervisor from others."""
    session: str | None = None
    """The session that the slave wants to go on with."""
    received: int = 0
    """How many messages of that session it has received."""


class SessionState:
    """One start of a slave, from its HELLO on. All that is true of that start alone is here.

    Args:
        stream: the number of its stream.
        resumable: whether another stream can take the place of that one.
        token: by which it can be resumed.
        boot: the HELLO's.
        now: the time.
        check_at: when to look at it first.
    """

    __slots__ = (
        "absence",
        "absent_since",
        "ask_at",
        "boot",
        "check_at",
        "ended_how",
        "has_left",
        "heard_at",
        "is_explaining",
        "is_leaving",
        "is_open",
        "is_paused",
        "is_suspected",
        "leaves_because",
        "not_acknowledged",
        "not_taken",
        "pause_s",
        "paused_because",
        "resumable",
        "runner_end",
        "runner_pid",
        "shown_absence",
        "signs",
        "silence",
        "silence_told",
        "stream",
        "token",
        "unanswered",
        "without_runner_since",
    )

    def __init__(
        self, stream: int, resumable: bool, token: str, boot: str, now: float, check_at: float
    ) -> None:
        self.stream = stream
        self.resumable = resumable
        self.token = token
        self.boot = boot
        self.is_open = True  # its last stream
        self.ended_how = ""  # if it is not
        self.heard_at = now
        self.check_at = check_at  # when to look at it next
        self.is_suspected = False
        self.silence = ""  # that it is suspected for
        self.silence_told = Reminder()
        self.absence = ""  # how its stream had ended when it became absent
        self.absent_since = now  # when that was; before, when the session began
        self.shown_absence = ""  # what its launch says of its absence or silence
        self.ask_at = NEVER  # when to ask next whether it has ended
        self.pause_s = 0.0  # until the question after that one
        self.unanswered = 0  # questions to its launch, in a row, when it was to be given up
        self.is_paused = False
        self.paused_because = ""
        self.is_leaving = False
        self.leaves_because = ""
        self.has_left = False  # by itself, as announced: only another start of it may come
        self.runner_pid: int | None = None
        self.runner_end = ""  # how the one before ended
        self.without_runner_since = now
        self.is_explaining = False  # the launch is asked how the runner ended: messages are held
        self.signs = StreamSigns()
        self.not_taken = 0  # so often in a row it had taken nothing of what waits for it
        self.not_acknowledged = 0  # so often in a row it may not have got all that was written


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
            is_queued = self.launching.is_queued
            state = SlaveState.QUEUED if is_queued else SlaveState.LAUNCHING
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
