"""The addresses of this machine, and how they are written."""

from __future__ import annotations

import array
import contextlib
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

_SIOCGIFCONF = 0x8912  # Linux: list the IPv4 addresses of all interfaces
_IFREQ = struct.Struct("16sHH4s16x")
# Addresses of documentation (RFC 5737, RFC 3849): connecting a datagram socket sends nothing, but
# says from which address packets to the outside go.
_OUTSIDE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


def join_address(host: str, port: int) -> str:
    """Write a numeric address with its port."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def addresses_of(host: str) -> list[str]:
    """Return the numeric addresses that a name stands for here. Raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


def own_addresses() -> list[str]:
    """Return every address at which other machines, or this one, may reach this one; best first.

    Addresses that need an interface's name besides (link-local ones) are left out.
    """
    found = dict.fromkeys([*_sources(), *_of_interfaces(), *_of_own_name()])
    usable = []
    for text in found:
        address = ipaddress.ip_address(text)
        if not (address.is_link_local or address.is_multicast or address.is_unspecified):
            usable.append((address.is_loopback, text))
    return [text for _, text in sorted(usable, key=lambda entry: entry[0])]


def _sources() -> Iterator[str]:
    for family, outside in _OUTSIDE.items():
        with (
            contextlib.suppress(OSError),  # no way out, or no such family
            socket.socket(family, socket.SOCK_DGRAM) as probe,
        ):
            probe.connect((outside, 9))
            yield probe.getsockname()[0]


def _of_own_name() -> list[str]:
    with contextlib.suppress(OSError):
        return addresses_of(socket.gethostname())
    return []


def _of_interfaces() -> Iterator[str]:
    if sys.platform != "linux":
        yield from ("127.0.0.1", "::1")
        return
    import fcntl

    room = array.array("B", bytes(_IFREQ.size * 1024))
    start, size = room.buffer_info()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        answer = fcntl.ioctl(probe, _SIOCGIFCONF, struct.pack("iL", size, start))
    (filled,) = struct.unpack_from("i", answer)
    for _, family, _, packed in _IFREQ.iter_unpack(room.tobytes()[:filled]):
        if family == socket.AF_INET:
            yield socket.inet_ntoa(packed)
    with contextlib.suppress(OSError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            yield str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0])))
