"""All errors of the library, in one tree.

    Error
    ├── TaskError                one task has no result (in :mod:`._task_errors`)
    │   ├── RemoteError          … since it raised an exception on its slave
    │   │   └── SetupError       … since the set-up of its context failed: no task can run
    │   ├── TaskLostError        … since it took its runner down, every time it was tried
    │   ├── TaskMemoryError      … since it held more memory than its context allows
    │   └── CancelledError       … since it was cancelled (in :mod:`._cancelled_error`)
    ├── TooManyFailuresError     so many tasks have failed that the rest is ended (there, too)
    ├── PicklingError            an object can't be pickled; raised by the call that got it
    ├── ResultTimeoutError       no result has come in time (also the builtin TimeoutError)
    ├── NetworkError             a slave could not be reached, or went away
    ├── NoMoreSlavesError        tasks are left, but no slave is or will be there to run them
    │   └── NoSlaveStartedError  … because none ever started (also a NetworkError)
    ├── LaunchError              a slave can't be launched
    ├── ProtocolError            a peer sent what the protocol does not allow
    ├── PluginError              no plugin takes a slave or a transport, or a plugin is broken
    └── ClosedError              the Manager or Context was used after its end, or in a forked child

All errors survive pickling, and have their details as attributes. There is one warning, too:
:class:`UnreadResultsWarning`.
"""

from __future__ import annotations

from collections.abc import Sequence

from ._explained import explained
from ._printable import printable_lines


class Error(Exception):
    """The base of all errors that this library raises on purpose.

    A message may quote a slave or a server. It is always printable. Its last line names what
    ``imp-parallel explain`` says of it, if there is something.
    """

    _explained_by: Sequence[str] = ()  # the keys of the sections that explain each error of a class

    def __init__(self, message: str = "") -> None:
        super().__init__(printable_lines(explained(message, *self._explained_by)))


class PicklingError(Error):
    """A task, an argument or a set-up can't be pickled. The call that it was given to raises this.

    Attributes:
        culprit: the path to the innermost part that can't be pickled, such as ``args[0].lock``.
    """

    _explained_by = ("cant-be-pickled",)

    def __init__(self, message: str, *, culprit: str = "") -> None:
        super().__init__(message)
        self.culprit = culprit


class ResultTimeoutError(Error, TimeoutError):
    """No result has come within the time that a reader waits for one. Reading may go on.

    Attributes:
        timeout_s: how long the reader has waited.
    """

    _explained_by = ("no-result-in-time",)

    def __init__(self, message: str, *, timeout_s: float | None = None) -> None:
        super().__init__(message)
        self.timeout_s = timeout_s


class NetworkError(Error):
    """A slave could not be reached, or its connection was lost for good."""


class NoMoreSlavesError(Error):
    """Tasks are waiting, but no slave is running, starting, reconnecting or to be relaunched.

    The tasks stay in the queue: add a slave and read on.

    Attributes:
        failures: for each slave that failed, a text that says how, with the end of its output.
    """

    _explained_by = ("no-slave-left",)

    def __init__(self, message: str, *, failures: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.failures = tuple(failures)


class NoSlaveStartedError(NoMoreSlavesError, NetworkError):
    """No slave is left, and none has ever started."""

    _explained_by = ("no-slave-started",)


class LaunchError(Error):
    """A slave can't be launched.

    Attributes:
        command: the command line, if there was one.
        exit_code: the command's exit code; negative for a signal; None if it did not run or still
            runs.
        output: the last lines of the command's output.
    """

    def __init__(
        self,
        message: str,
        *,
        command: Sequence[str] = (),
        exit_code: int | None = None,
        output: str = "",
    ) -> None:
        super().__init__(message)
        self.command = tuple(command)
        self.exit_code = exit_code
        self.output = printable_lines(output)


class ProtocolError(Error):
    """A peer sent bytes that the protocol does not allow (see docs/protocol.md)."""


class PluginError(Error):
    """No installed plugin takes this slave or transport, or a plugin broke its contract."""


class ClosedError(Error):
    """The Manager or the Context has been closed, or belongs to the parent of this process."""

    _explained_by = ("already-closed",)


class UnreadResultsWarning(UserWarning):
    """Tasks were added to a context although a reading of its results had been cut short.

    The results that were left will be among those of the new tasks. ``Context.clear`` drops them.
    """


def name_as_imported(names: dict[str, object], *, but: str = "") -> None:
    """Let the public classes that a module defines be called what users import them by.

    A traceback shows this name, and pickles hold it.

    Args:
        names: the module's names.
        but: a class that users don't import.
    """
    for name, kind in names.items():
        if isinstance(kind, type) and kind.__module__ == names["__name__"] and name != but:
            kind.__module__ = __package__


name_as_imported(globals())
