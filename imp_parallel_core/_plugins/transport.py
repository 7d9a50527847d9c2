"""A transport, which a plugin brings and slaves reach the master through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .._wire.stream import Accept


class Transport(Protocol):
    """Lets slaves reach the master over a network. One for each Manager that needs it.

    Authentication is the transport's: it hands over a stream only after the peer has proved that
    it has the run's credentials, and parses nothing of ours before.
    """

    dial: str
    """The function of its slave side.

    Written as "module:function", and called as ``dial(document, patience_s)``; it returns a Stream.
    Called when a slave starts, and again when a stream that is ``resumable`` has gone, then from
    another thread, one call at a time. ``document`` is the bootstrap document (a dict, in which
    ``addresses`` and ``secret``, base64, are), the same for each call, so that notes for the next
    one can be left in it. The Stream must have a descriptor. If the master has gone for certain the
    function says so in a line and calls ``sys.exit(0)``; if the master can't be reached within
    ``patience_s`` the function calls ``sys.exit`` with a text that lists what was tried and how it
    failed. If that takes more than some 3 seconds, it prints such a text, beginning with
    ``imp_parallel:``, and goes on trying; the master soon shows it to the user."""

    slave_modules: Sequence[str]
    """The modules that its slave side needs, for hosts on which nothing is installed."""

    def listen(self, host: str | None, port: int | range | None, accept: Accept) -> Sequence[str]:
        """Begin to listen; return the addresses that slaves may try, best first.

        Args:
            host: the only address or name to listen at; None for all that this machine has.
            port: the port, or those to choose from; None for any.
            accept: called from any thread with a slave's index and its authenticated stream.
        """

    def secret(self, index: int) -> bytes:
        """Return the credentials for one slave."""

    def close(self) -> None:
        """Stop listening, and forget the credentials; may be called twice."""
