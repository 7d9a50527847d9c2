"""The protocols of an SSH client: a connection to a host, and commands that run on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from imp_parallel_core import Stream

_Buffer = bytes | bytearray | memoryview


class Channel(Protocol):
    """A command that runs on the host."""

    @property
    def stream(self) -> Stream:
        """Its standard input and output. ``resumable``: what is behind it may be reached again."""

    def exit_status(self) -> int | None:
        """Return how it ended (negative for a signal); None if it runs, or it can't be known."""

    def close(self) -> None:
        """End its standard input and give it up; may be called twice."""


class ForwardedStream(Protocol):
    """A connection that somebody has made to a port that a host forwards; a ``Stream``."""

    def fileno(self) -> int | None:
        """Return the descriptor, if there is one; see ``Stream``."""

    def on_wake_up(self, callback: Callable[[], None]) -> None:
        """Take the function to call if there is none; see ``Stream``."""

    def receive(self, limit_bytes: int) -> bytes:
        """Return what has arrived; see ``Stream``."""

    def send(self, buffers: Sequence[_Buffer]) -> int:
        """Write what can be written; see ``Stream``."""

    def give_up(self) -> None:
        """Close it, after what was sent as far as that is possible without waiting."""


class Connection(Protocol):
    """One SSH connection to a host, authenticated. All that goes to the host shares it."""

    def start(self, command: str, take_errors: Callable[[bytes], None]) -> Channel:
        """Have the user's login shell, whatever that is, run a command line.

        Args:
            command: printable ASCII in one line, that every shell reads alike.
            take_errors: is given what the command writes to its standard error, in a thread of the
                connection's. It must not wait: what it delays is the whole connection.

        Raises OSError if the connection has gone, or refuses another channel; LaunchError if it is
        known already that the login shell runs no commands.
        """

    def forward(self, connected: Callable[[ForwardedStream], None]) -> int:
        """Have the host listen at a port of its loopback; return the port.

        Args:
            connected: called in a thread of the connection's, which must not wait, with each
                connection that is made there.

        Raises PermissionError if the host does not allow that, another OSError if the connection
        has gone.
        """

    def stop_forwarding(self, port: int) -> None:
        """Have the host listen there no more; what was connected stays.

        Raises OSError if the connection has gone.
        """

    def explain_loss(self) -> None:
        """Raise LaunchError if the connection was lost because the login shell runs no commands.

        Called, in a thread that may wait, after a command ended with the connection. The reason may
        become known a moment after that, for which this method waits.
        """

    def on_loss(self, callback: Callable[[str], None]) -> None:
        """Take a function to call once, from any thread, with how the connection was lost.

        Its channels' streams have ended then. Not called after :meth:`close`.
        """

    def close(self) -> None:
        """Close it with all its channels and ports; may be called twice."""


Connect = Callable[[str, float], Connection]
"""Makes a connection to a host within so many seconds, or raises an Error."""
