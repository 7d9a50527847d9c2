"""What a transport plugin writes against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ._stream import Stream


class Transport(Protocol):
    """Lets slaves reach the master over a network. One for each Manager that needs it.

    Authentication is the transport's: it hands over a stream only after the peer has proved that
    it has the run's credentials, and parses nothing of ours before.
    """

    dial: str
    """``module:function`` of its slave side. Called with the bootstrap document (a dict, in which
    ``addresses`` and ``secret``, base64, are); returns a Stream that has a descriptor. If nobody is
    there any more it says so in a line and ends the process with exit code 0."""

    slave_modules: Sequence[str]
    """The modules that its slave side needs, for hosts on which nothing is installed."""

    def listen(self, host: str | None, accept: Callable[[int, Stream], None]) -> Sequence[str]:
        """Begin to listen; return the addresses that slaves may try, best first.

        Args:
            host: the only address to listen at; None for all that this machine has.
            accept: called from any thread with a slave's index and its authenticated stream.
        """

    def secret(self, index: int) -> bytes:
        """Return the credentials for one slave."""

    def close(self) -> None:
        """Stop to listen, and forget the credentials; may be called twice."""
