"""A launch: what a launcher plugin returns when it has started slaves.

The user gives ``Manager.add_slave`` a *description* (:class:`~.slaves.Slave` or
:class:`~.slaves.SlaveArray`). The core makes a :class:`~.bootstrap.Bootstrap` for each slave of it,
and calls the hook ``imp_parallel_launch``. The plugin that knows the description starts the slaves
and returns a :class:`Launch`, which the core asks for their states from then on.
"""

from __future__ import annotations

import enum
import errno
import os
import stat
from collections.abc import Collection, Mapping, Sequence
from typing import BinaryIO, Protocol, runtime_checkable

from .._light_typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from typing import TypeGuard

_TAIL_BYTES = 8192
_TAIL_LINES = 20


class LaunchPhase(enum.Enum):
    """How far the launch of a slave has come.

    Attributes:
        QUEUED: the slave waits to be started, for instance in a batch system's queue.
        RUNNING: its process has been started.
        SUSPENDED: its process was started, and is stopped now.
        ENDED: its process has ended, or will never be started.
    """

    QUEUED = "queued"
    RUNNING = "running"
    SUSPENDED = "suspended"
    ENDED = "ended"


class LaunchState(NamedTuple):
    """What a launch knows of one slave.

    Attributes:
        phase: how far the launch has come.
        detail: more in the launcher's own words, such as a batch system's reason for waiting.
        exit_code: of a slave that has ended; negative for a signal, and None if it isn't known.
    """

    phase: LaunchPhase
    detail: str = ""
    exit_code: int | None = None


class Launch(Protocol):
    """Slaves that a plugin has started.

    The core calls these methods from a thread that it has for each launch, one at a time; they may
    wait (for a hung ``qstat``, say), but should have a deadline of their own.

    While all slaves of a launch are queued, the core tells people, ever more seldom, with the
    detail of one. A launch that tells them by itself has an attribute ``reminds_of_queue``, which
    is true while it does.
    """

    @property
    def command(self) -> Sequence[str] | Mapping[int, Sequence[str]]:
        """The command line that was run, or that of each slave, for error messages."""

    def poll(self) -> Mapping[int, LaunchState]:
        """Return the state of each slave.

        Called often while slaves have not connected, ever more seldom as time passes, and when a
        connection ends. It may raise any Exception when the states can't be had now: that is
        reported, the states that were last returned are taken to hold on, and it is called again
        later. A slave that is not among the states within ``connect_timeout`` after the launch, and
        has not connected by then, is lost.
        """

    def cancel(self, grace_s: float) -> None:
        """End all slaves: let them leave by themselves for ``grace_s``, then end them by force.

        The core has told those that are connected to leave. Must return as soon as no slave is
        left, also if the grace is not over. The core calls it once; a second call must do no harm.
        """

    def log_tail(self, index: int) -> str:
        """Return the last lines of a slave's output, for error messages."""


@runtime_checkable
class WithdrawingLaunch(Launch, Protocol):
    """A Launch of slaves that may wait in a queue for long, and can be taken out of it."""

    def withdraw(self, indices: Collection[int]) -> None:
        """Take slaves out of the queue that are not needed any more.

        Called in the launch's thread. End slaves that have started a moment ago, too: the master
        refuses them.
        """


@runtime_checkable
class EndingLaunch(Launch, Protocol):
    """A Launch of several slaves that can be launched again, each by itself."""

    def end_slave(self, index: int) -> None:
        """End one slave by force, which was lost and is launched again; leave the others alone.

        Called in the launch's thread, and once at most for each slave. Must return at once, since
        the core asks for the others. The launch goes on to answer for the slave until it is
        cancelled.
        """


@runtime_checkable
class InformedLaunch(Launch, Protocol):
    """A Launch that is told which slaves are connected.

    A file that a slave needs in order to connect, such as the document that holds its secret, need
    not be there while the slave is connected; a slave that is started anew needs it again.
    """

    def note_connections(self, connected: Collection[int], parted: Collection[int]) -> None:
        """Learn what has changed since the last call.

        Called in the launch's thread; must have a deadline. Slaves that have never connected are
        in neither.

        Args:
            connected: the slaves that have connected, for the first time or again.
            parted: those whose connection has broken, that are not heard, or that were lost. Each
                may connect again, or be started anew by its batch system.
        """


def can_withdraw(launch: Launch) -> TypeGuard[WithdrawingLaunch]:
    """Whether a launch is a WithdrawingLaunch; no property of it is asked, which may raise."""
    return callable(getattr(launch, "withdraw", None))


def can_end_slave(launch: Launch) -> TypeGuard[EndingLaunch]:
    """Whether a launch is an EndingLaunch, likewise."""
    return callable(getattr(launch, "end_slave", None))


def is_informed(launch: Launch) -> TypeGuard[InformedLaunch]:
    """Whether a launch is an InformedLaunch, likewise."""
    return callable(getattr(launch, "note_connections", None))


def read_tail(path: str | os.PathLike[str] | None) -> str:
    """Return the last lines of an output file (at most 20); "" if it can't be read."""
    if path is None:
        return ""
    try:
        with open_to_read(path) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-_TAIL_LINES:])


def quoted_output(path: str | None, output: str) -> str:
    """Return the end of a slave's output, quoted, on lines of its own; "" if it goes nowhere."""
    if path is None:
        return ""
    if not output:
        return f"\n    its output ({path}) is empty"
    quoted = "\n".join(f"    | {line}" for line in output.splitlines())
    return f"\n    the end of its output ({path}):\n{quoted}"


def open_to_read(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a plain file. Never follows a link, and never waits, as for a FIFO. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no plain file", os.fspath(path))
    return os.fdopen(descriptor, "rb")


def describe_command(command: Sequence[str]) -> str:
    """Return a command line as it would be typed; the slave program itself is left out."""
    import shlex  # no slave has failed yet when this module is imported

    return shlex.join("…" if "\n" in word else word for word in command)
