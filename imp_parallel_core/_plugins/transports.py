"""The transports of one Manager: made when the first slave needs one, closed with it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .._errors import ClosedError
from .contract import checked_addresses
from .registry import Plugins

if TYPE_CHECKING:
    from .._wire.stream import Accept
    from .transport import Transport


class Transports:
    """Finds transports by name, and has them listen.

    Args:
        plugins: the plugins that bring transports.
        host: the only address that slaves shall use; None for all.
        port: the port to listen at, or those to choose from; None for any.
        accept: is given each slave's index and authenticated stream, from any thread.
    """

    def __init__(
        self,
        plugins: Plugins,
        host: str | None,
        port: int | range | None,
        accept: Accept,
    ) -> None:
        self._plugins = plugins
        self._host = host
        self._port = port
        self._accept = accept
        self._lock = threading.Lock()
        self._listening: dict[str, tuple[Transport, tuple[str, ...]]] = {}
        self._is_closed = False

    def get(self, name: str) -> tuple[Transport, tuple[str, ...]]:
        """Return a transport and the addresses that it listens at.

        Raises PluginError if no plugin brings it or it is broken, whatever it raises when it can't
        listen, or ClosedError.
        """
        with self._lock:
            if self._is_closed:
                raise ClosedError("this Manager has been closed")
            if name not in self._listening:
                transport = self._plugins.transport(name)
                answer = transport.listen(self._host, self._port, self._accept)
                addresses = checked_addresses(name, answer)
                self._listening[name] = transport, addresses
            return self._listening[name]

    def close(self) -> None:
        """Close all transports, and make no more."""
        with self._lock:
            self._is_closed = True
            for transport, _ in self._listening.values():
                transport.close()
            self._listening.clear()
