"""The sockets of the relay, and what is called when one is ready."""

import selectors
import socket
from typing import Any, Callable, Iterator, Optional, Tuple

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE
Handler = Callable[[socket.socket, int], None]
"""Is given the socket and what it is ready for."""


class Sockets:
    """Waits for many sockets at once."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def watch(self, sock: socket.socket, wanted: int, handler: Handler) -> None:
        """Have a function called whenever a socket is ready; if nothing is wanted, not any more."""
        is_watched = self._handler_of(sock) is not None
        if not wanted:
            if is_watched:
                self._selector.unregister(sock)
        elif is_watched:
            self._selector.modify(sock, wanted, handler)
        else:
            self._selector.register(sock, wanted, handler)

    def leave(self, sock: socket.socket) -> None:
        """Wait for a socket no more."""
        self._selector.unregister(sock)

    def ready(self, wait_s: Optional[float]) -> Iterator[Tuple[socket.socket, Handler, int]]:
        """Wait; return an iterator over what is ready, what handles that, and for what it is ready.

        What has been handled before may have closed a socket, or changed what handles it.
        """
        for key, events in self._selector.select(wait_s):
            sock: Any = key.fileobj
            handler = self._handler_of(sock)
            if handler is not None:
                yield sock, handler, events

    def _handler_of(self, sock: socket.socket) -> Optional[Handler]:
        """Return what handles a socket's events; None for one that is closed, or not watched."""
        if sock.fileno() < 0:
            return None
        key = self._selector.get_map().get(sock)
        handler: Optional[Handler] = key.data if key and key.fileobj is sock else None
        return handler

    def close(self, sock: socket.socket) -> None:
        """Close a socket, watched or not."""
        try:
            self._selector.unregister(sock)
        except (KeyError, ValueError):
            pass
        sock.close()

    def end(self) -> None:
        """Give the system back what waiting takes."""
        self._selector.close()
