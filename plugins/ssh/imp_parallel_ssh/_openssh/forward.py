"""A port of a host that OpenSSH's own client forwards to a Unix socket here."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from .._connection import ForwardedStream
from .channel import ResumableStream
from .program import MasterProgram

_logger = logging.getLogger("imp_parallel.ssh")

_ASK_S = 20.0  # how long the host may take to listen
_TELL_S = 1.0  # how long the ssh process here may take that holds the connection
_REST_S = 0.2  # when this process is out of descriptors
_BACKLOG = 128
_REFUSED = "forwarding failed"


class OpenSSHForward:
    """A port of the host's loopback, whose connections are accepted in a thread.

    Args:
        master: the ssh process that holds the connection.
        path: where to make the socket; nobody else may reach it there.
        connected: see :meth:`Connection.forward`.

    Raises PermissionError if the host does not allow that, another OSError if it can't be asked.

    Attributes:
        port: the port.
    """

    def __init__(
        self, master: MasterProgram, path: str, connected: Callable[[ForwardedStream], None]
    ) -> None:
        self._master = master
        self._path = path
        self._connected = connected
        self._is_closed = threading.Event()
        self._listening = socket.socket(socket.AF_UNIX)
        try:
            self._listening.bind(path)
            self._listening.listen(_BACKLOG)
            self.port = self._ask()
        except BaseException:
            self._listening.close()
            raise
        name = f"imp_parallel ssh port {self.port}"
        threading.Thread(target=self._accept, name=name, daemon=True).start()

    @property
    def _way(self) -> str:
        # (the port is the host's to choose: it is taken back by where it leads)
        return f"127.0.0.1:0:{self._path}"

    def _ask(self) -> int:
        exit_code, said, words = self._master.tell("forward", "-R", self._way, limit_s=_ASK_S)
        if exit_code == 0 and said.strip().isdigit():
            return int(said)
        if _REFUSED in words:
            raise PermissionError(errno.EACCES, words)
        if exit_code is None:  # it may still be done
            self._take_back()
        raise ConnectionResetError(errno.ECONNRESET, f"the connection was lost: {words}")

    def _take_back(self) -> int | None:
        return self._master.tell("cancel", "-R", self._way, limit_s=_TELL_S)[0]

    def _accept(self) -> None:
        with self._listening:
            while not self._is_closed.is_set():
                try:
                    accepted = self._listening.accept()[0]
                except OSError as problem:
                    if not self._is_closed.wait(_REST_S):
                        _logger.info("port %d, which is forwarded: %s", self.port, problem)
                    continue
                if self._is_closed.is_set():
                    accepted.close()
                else:
                    self._connected(ResumableStream(accepted))

    def close(self, *, is_lost: bool = False) -> None:
        """Have the host listen there no more; may be called twice.

        Args:
            is_lost: whether the connection has gone, or goes, and the port with it.

        Raises OSError if the host can't be told.
        """
        if self._is_closed.is_set():
            return
        self._is_closed.set()
        self._end_thread()
        with contextlib.suppress(OSError):
            Path(self._path).unlink()
        if not is_lost and self._take_back() != 0:
            raise ConnectionResetError(errno.ECONNRESET, "ssh can't be told")

    def _end_thread(self) -> None:
        try:
            self._listening.shutdown(socket.SHUT_RDWR)
        except OSError:  # not every system ends an accept so
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as knock:
                knock.setblocking(False)
                knock.connect(self._path)
