"""Takes apart the name by which a user calls a host. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

_HOST = re.compile(r"[A-Za-z0-9_][\w.-]*", re.ASCII)
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*(%[\w.-]+)?", re.ASCII)  # IPv6, with its zone
_USER = re.compile(r"[^\s\x00-\x1f\x7f'\"`$\\;&<>|(){}/-][^\s\x00-\x1f\x7f'\"`$\\;&<>|(){}]*")
_HIGHEST_PORT = 65535


class Target(NamedTuple):
    """A host as the user names it; what is None is left to the SSH configuration."""

    host: str
    """A name, an address without brackets, or an alias of the SSH configuration."""
    user: str | None = None
    port: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host and self.port is not None else self.host
        user = "" if self.user is None else f"{self.user}@"
        return user + host + ("" if self.port is None else f":{self.port}")


def parse_target(text: str) -> Target:
    """Take apart such as ``host``, ``user@host``, ``user@host:2222``, ``[::1]:22``, ``::1``.

    The parts are such that no program takes them for an option, and no shell for anything but a
    word. Raises ValueError, or TypeError for what is no text, which says what is wrong.
    """
    if not isinstance(text, str):
        raise TypeError(f"the host {text!r} must be a text, such as 'user@host'")
    user, at, place = text.rpartition("@")
    if at and not (_USER.fullmatch(user) and user.isprintable()):
        raise ValueError(f"the host {text!r} begins with a bad user name: {user!r}")
    host, port = _split_port(place, text)
    if not (_HOST.fullmatch(host) or _ADDRESS.fullmatch(host)):
        raise ValueError(
            f"the host {text!r} can't be read: {host!r} is no name or address. It is written as "
            "host, user@host, user@host:port or user@[address]:port"
        )
    return Target(host, user if at else None, port)


def _split_port(place: str, text: str) -> tuple[str, int | None]:
    if place.startswith("["):
        host, bracket, rest = place[1:].partition("]")
        if not bracket or ":" not in host or (rest and not rest.startswith(":")):
            raise ValueError(f"the host {text!r} can't be read: [ ] is for an IPv6 address")
        return host, _port(rest[1:], text) if rest else None
    if place.count(":") == 1:
        host, _, port = place.partition(":")
        return host, _port(port, text)
    return place, None  # a name, or an IPv6 address


def _port(digits: str, text: str) -> int:
    if digits.isascii() and digits.isdecimal() and len(digits) <= 5:
        port = int(digits)
        if 1 <= port <= _HIGHEST_PORT:
            return port
    raise ValueError(f"the host {text!r} has a bad port: {digits!r} is not 1 to {_HIGHEST_PORT}")
