"""What the life of a slave decides: the actions that :mod:`.performer` performs."""

from __future__ import annotations

from .._light_typing import Any, NamedTuple


class Tell(NamedTuple):
    """Tell the scheduler.

    ``event`` is a method of :class:`~.._scheduler.scheduler.Scheduler`; it is called with the
    slave's index, the arguments, and the time.
    """

    event: Any
    arguments: tuple[Any, ...] = ()


class Lost(NamedTuple):
    """The slave has gone for good: tell the scheduler, and people how it was lost.

    The life wants to hear of it when that has been done, by ``loss_told``: the scheduler may have
    the slave launched again.
    """

    text: str
    is_charged: bool


class Warn(NamedTuple):
    """Tell people of what is out of the ordinary; ``key`` is of the section that explains it."""

    text: str
    key: str = ""


class Inform(NamedTuple):
    """Note for people who look into the log what goes as it should."""

    text: str


class Changed(NamedTuple):
    """The state that people see has changed, or its detail."""


class LookAt(NamedTuple):
    """Call ``tick`` at this time. An earlier LookAt may come, and a tick too many does no harm."""

    when: float


class Listen(NamedTuple):
    """Read what comes over a stream: its peer introduces itself."""

    stream: int


class Close(NamedTuple):
    """Close a stream."""

    stream: int


class Refuse(NamedTuple):
    """Tell the peer of a stream why it is not let in, and close the stream."""

    stream: int
    why: str


class Welcome(NamedTuple):
    """Begin a session over a stream."""

    stream: int


class Resume(NamedTuple):
    """Go on with the session over another stream; then call ``resumed``, or ``broken``."""

    stream: int
    received: int
    """How many messages of the session the slave says that it has received."""


class EndSession(NamedTuple):
    """Close the session's stream, and forget the messages that wait in both directions."""


class Ping(NamedTuple):
    """Be heard by the slave, which dials again if it hears nothing."""


class ForgetRunner(NamedTuple):
    """Forget what the slave's runner was sent: the next one has nothing of it."""


class Release(NamedTuple):
    """Take the messages that were held; then call ``released``."""


class Ask(NamedTuple):
    """Ask the launch how the slave is, and what it has written; pass the answer to ``answer``."""

    question: int
    has_ended: bool
    """Whether its launch should soon see it end: it may take a moment for that."""


class TellLaunch(NamedTuple):
    """Tell the launch that the slave has connected, or may have to connect anew."""

    is_connected: bool


class LaunchAgain(NamedTuple):
    """Launch the slave again; ``launch_begun`` follows."""


class LookAfter(NamedTuple):
    """Have the launch look after a slave again that it was told to let go of."""


class LetGo(NamedTuple):
    """Have the launch end what is left of the slave."""

    grace_s: float
    """How long it may take to leave by itself."""


LifeAction = (
    Tell
    | Lost
    | Warn
    | Inform
    | Changed
    | LookAt
    | Listen
    | Close
    | Refuse
    | Welcome
    | Resume
    | EndSession
    | Ping
    | ForgetRunner
    | Release
    | Ask
    | TellLaunch
    | LaunchAgain
    | LookAfter
    | LetGo
)
