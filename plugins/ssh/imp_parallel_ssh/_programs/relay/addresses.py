"""Where the relay listens."""

import array
import fcntl
import socket
import struct
from typing import List, Tuple

BACKLOG = 1024
_SIOCGIFCONF = 0x8912  # Linux: list the addresses of IPv4
_ENTRY_BYTES = 40  # of that list
_ENTRIES = 256


def own_addresses() -> List[str]:
    """Return the addresses of this machine, those of its loopback last."""
    found = []
    room = array.array("B", bytes(_ENTRY_BYTES * _ENTRIES))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        wanted = struct.pack("iL", len(room), room.buffer_info()[0])
        filled = struct.unpack_from("i", fcntl.ioctl(probe, _SIOCGIFCONF, wanted))[0]
    for at in range(0, filled, _ENTRY_BYTES):
        if struct.unpack_from("H", room, at + 16)[0] == socket.AF_INET:
            found.append(socket.inet_ntoa(bytes(room[at + 20 : at + 24])))
    try:
        with open("/proc/net/if_inet6") as lines:
            for line in lines:
                address = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0]))
                if not address.startswith("fe80"):
                    found.append(address)
    except OSError:
        pass
    found = list(dict.fromkeys(found))
    return sorted(found, key=lambda address: address.startswith("127.") or address == "::1")


def listen(host: str) -> Tuple[List[socket.socket], List[str]]:
    """Return listening sockets at one port, and the addresses to reach them at.

    Args:
        host: the only address to listen at; "" for all that this machine has.
    """
    sockets, addresses = _listen_at(host) if host else _listen_everywhere()
    for each in sockets:
        each.listen(BACKLOG)
        each.setblocking(False)
    port = sockets[0].getsockname()[1]
    return sockets, [("[%s]:%d" if ":" in a else "%s:%d") % (a, port) for a in addresses]


def _listen_at(host: str) -> Tuple[List[socket.socket], List[str]]:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    listening.bind(address)
    return [listening], [listening.getsockname()[0]]


def _listen_everywhere() -> Tuple[List[socket.socket], List[str]]:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.bind(("", 0))
    sockets, addresses = [listening], own_addresses()
    if any(":" in address for address in addresses):
        try:
            other = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
            other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            other.bind(("::", listening.getsockname()[1]))
            sockets.append(other)
        except OSError:
            addresses = [address for address in addresses if ":" not in address]
    return sockets, addresses
