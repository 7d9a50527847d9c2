"""What a way of speaking SSH gives the rest of the plugin: a connection, and commands on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from imp_parallel_core import Stream


class Channel(Protocol):
    """A command that runs on the host."""

    @property
    def stream(self) -> Stream:
        """Its standard input and output. ``resumable``: what is behind it may be reached again."""

    def exit_status(self) -> int | None:
        """Return how it ended (negative for a signal); None if it runs, or it can't be known."""

    def close(self) -> None:
        """End its standard input and give it up; may be called twice."""


class Connection(Protocol):
    """One SSH connection to a host, authenticated. All that goes to the host shares it."""

    def start(self, command: str, take_errors: Callable[[bytes], None]) -> Channel:
        """Have the user's login shell, whatever that is, run a command line.

        Args:
            command: printable ASCII in one line, that every shell reads alike.
            take_errors: is given what the command writes to its standard error, in a thread of the
                connection's. It must not wait: what it delays is the whole connection.

        Raises OSError if the connection has gone, or refuses another channel.
        """

    def on_loss(self, callback: Callable[[str], None]) -> None:
        """Take a function to call once, from any thread, with how the connection was lost.

        Its channels' streams have ended then. Not called after :meth:`close`.
        """

    def close(self) -> None:
        """Close it with all its channels; may be called twice."""
