"""The master's side of the transport: listens, and knows the run's credentials."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence

from imp_parallel_core import ClosedError, LaunchError, Stream, explained

from ._addresses import addresses_of, join_address, own_addresses
from ._credentials import RunCredentials
from ._listener import Listener

_BACKLOG = 4096  # the system may allow less


class TcpTransport:
    """TLS 1.3 over TCP, with credentials made for this run; see the core's Transport."""

    dial = "imp_parallel_tcp._dial:dial"
    slave_modules: Sequence[str] = (
        "imp_parallel_tcp",
        "imp_parallel_tcp._dial",
        "imp_parallel_tcp._route",
        "imp_parallel_tcp._tls",
        "imp_parallel_tcp._tls_stream",
    )

    def __init__(self) -> None:
        self._credentials: RunCredentials | None = None
        self._listener: Listener | None = None

    def listen(
        self, host: str | None, port: int | range | None, accept: Callable[[int, Stream], None]
    ) -> Sequence[str]:
        """Begin to listen; return the addresses to try. Raises LaunchError if it isn't possible."""
        try:
            hosts = None if host is None else addresses_of(host)
            sockets = _bind_one_of(hosts, _ports(port))
        except OSError as problem:
            text = (
                f"can't listen for slaves at {host or 'any address'}, port {_describe(port)}: "
                f"{problem.strerror or problem}. Manager's host= must be a name or address of this "
                "machine, port= a port that is free, or a range with one."
            )
            raise LaunchError(explained(text, "cant-listen")) from problem
        self._credentials = RunCredentials()
        self._listener = Listener(sockets, self._credentials, accept)
        self._listener.start()
        bound = [listening.getsockname() for listening in sockets]
        if hosts is not None:
            return [join_address(name[0], name[1]) for name in bound]
        return [join_address(own, bound[0][1]) for own in own_addresses()]

    def secret(self, index: int) -> bytes:
        """Return one slave's token, and the certificate of its master. Raises ClosedError."""
        if self._credentials is None:
            raise ClosedError("the transport tcp does not listen")
        return self._credentials.secret(index)

    def close(self) -> None:
        """Stop listening, and forget the keys."""
        self._credentials = None
        if self._listener is not None:
            self._listener.close()


def _ports(port: int | range | None) -> Sequence[int]:
    if port is None:
        return (0,)  # any that is free
    return (port,) if isinstance(port, int) else port


def _describe(port: int | range | None) -> str:
    if isinstance(port, range):
        return f"{port.start} to {port.stop - 1}"
    return "any" if port is None else str(port)


def _bind_one_of(hosts: Sequence[str] | None, ports: Sequence[int]) -> list[socket.socket]:
    """Listen at these addresses (None for all), all at the first port that is free."""
    problem = OSError(errno.EADDRNOTAVAIL, "no port to try")
    for port in ports:
        try:
            return [_listen_at_all(port)] if hosts is None else _listen_at(hosts, port)
        except OSError as found:
            problem = found
            if found.errno not in (errno.EADDRINUSE, errno.EACCES):
                break
    raise problem


def _listen_at_all(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        try:
            return _bind(socket.AF_INET6, "::", port)
        except OSError as problem:
            if problem.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                raise
    return _bind(socket.AF_INET, "0.0.0.0", port)  # noqa: S104 - the user said no host


def _listen_at(hosts: Sequence[str], port: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    problem = OSError(errno.EADDRNOTAVAIL, "no address to listen at")
    for host in hosts:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            sockets.append(_bind(family, host, port or _port_of(sockets)))
        except OSError as found:  # a name may stand for an address that is not configured
            problem = found
    if not sockets:
        raise problem
    return sockets


def _port_of(sockets: list[socket.socket]) -> int:
    return int(sockets[0].getsockname()[1]) if sockets else 0


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    listening = socket.create_server(
        (host, port), family=family, backlog=_BACKLOG, dualstack_ipv6=host == "::"
    )
    listening.setblocking(False)
    return listening
