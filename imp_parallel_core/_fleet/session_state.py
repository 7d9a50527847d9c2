"""What is known of one start of a slave, from its HELLO on: of a session, and of its streams.

The rules of :mod:`.sessions` and :mod:`.silence` change it.
"""

from __future__ import annotations

from .._light_typing import NamedTuple
from ..reminder import Reminder

NEVER = float("inf")


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

    def excuse(self, late_s: float, heard_at: float, now: float) -> None:
        """Hold nothing against the slave for a time in which this process did not run."""
        self.heard_at = min(now, max(self.heard_at, heard_at) + late_s)
        self.absent_since = min(now, self.absent_since + late_s)
        self.without_runner_since = min(now, self.without_runner_since + late_s)
