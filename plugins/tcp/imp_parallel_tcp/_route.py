"""One address of the master, as a slave tries it: again and again, without waiting."""

from __future__ import annotations

import enum
import errno
import os
import socket
import ssl

from ._tls import SlaveCredentials
from ._tls_stream import prepare

_CONNECT_S = 3.0  # then the connection is begun anew: soon after a network is back, so is the slave
_ANSWER_S = 60.0  # of a master that is there, but busy
_PAUSE_S = 0.25
_UNTRIED = "not tried yet"
_NO_WAY = (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL)


class Stage(enum.Enum):
    """How far an attempt is."""

    WAITING = "waiting"
    CONNECTING = "connecting"
    SECURING = "securing"
    PROVED = "proved"


class Route:
    """One address of the master.

    Args:
        address: the address.
        credentials: the slave's.
        due: when to try it first (monotonic s).
    """

    def __init__(self, address: str, credentials: SlaveCredentials, due: float) -> None:
        self.address = address
        self.stage = Stage.WAITING
        self.due = due
        """When something is to be done without an event: begin an attempt, or give one up."""
        self.failure = _UNTRIED
        """How the last attempt failed; how far it is, if it is the first."""
        self.absent_since: float | None = None
        """Since when each attempt that ended has shown that the master is not there."""
        self.has_no_way = False
        """Whether this machine can't send to the address at all."""
        self.socket: socket.socket | None = None
        self._credentials = credentials

    def step(self, now: float, *, is_ready: bool) -> None:
        """Go on as far as possible without waiting.

        Args:
            now: the time.
            is_ready: whether the socket is; otherwise the time is due.
        """
        try:
            if not is_ready:
                self._on_time(now)
            elif self.stage is Stage.CONNECTING:
                self._connected(now)
            elif self.stage is Stage.SECURING:
                self._secure()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError as problem:
            self._failed(problem, now)

    @property
    def is_untried(self) -> bool:
        """Whether no attempt has been begun."""
        return self.failure is _UNTRIED

    @property
    def waits_to_write(self) -> bool:
        """Whether the socket is to be watched for writing, rather than for reading."""
        return self.stage is Stage.CONNECTING

    def close(self) -> None:
        """Give up the attempt."""
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def _on_time(self, now: float) -> None:
        if self.stage is Stage.CONNECTING:
            raise TimeoutError(f"no answer within {_CONNECT_S:g} s")
        if self.stage is Stage.SECURING:
            raise TimeoutError(f"connected, but no answer within {_ANSWER_S:g} s")
        host, _, port = self.address.rpartition(":")
        host = host.strip("[]")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        self.stage = Stage.CONNECTING
        if self.is_untried:
            self.failure = "no answer yet"
        self.due = now + _CONNECT_S
        problem = self.socket.connect_ex((host, int(port)))
        if problem not in (0, errno.EINPROGRESS):
            raise OSError(problem, os.strerror(problem))

    def _connected(self, now: float) -> None:
        if self.socket is None:
            return
        problem = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if problem:
            raise OSError(problem, os.strerror(problem))
        prepare(self.socket)
        self.stage = Stage.SECURING
        self.failure = "connected, but no proof yet that it is the master"
        self.due = now + _ANSWER_S
        self.has_no_way = False
        self.socket = self._credentials.context.wrap_socket(
            self.socket, do_handshake_on_connect=False
        )
        self._secure()

    def _secure(self) -> None:
        if isinstance(self.socket, ssl.SSLSocket):
            self.socket.do_handshake()
            self._credentials.check(self.socket)
            self.socket.send(self._credentials.proof)
            self.stage = Stage.PROVED

    def _failed(self, problem: OSError, now: float) -> None:
        self.close()
        self.stage = Stage.WAITING
        self.due = now + _PAUSE_S
        self.has_no_way = problem.errno in _NO_WAY
        is_somebody_else = isinstance(problem, ssl.SSLError) and not isinstance(
            problem, ssl.SSLEOFError
        )
        if is_somebody_else:
            self.failure = f"somebody else answers there ({_reason(problem)})"
        else:
            self.failure = problem.strerror or str(problem)
        if not isinstance(problem, ConnectionRefusedError) and not is_somebody_else:
            self.absent_since = None
        elif self.absent_since is None:
            self.absent_since = now


def _reason(problem: OSError) -> str:
    reason = getattr(problem, "reason", None)
    return str(reason or problem).replace("_", " ").lower()
