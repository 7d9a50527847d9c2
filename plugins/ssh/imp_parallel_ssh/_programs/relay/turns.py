"""Whose turn it is: no source of many connections keeps another one out."""

import socket
from collections import Counter
from typing import Dict, Iterable, List, Tuple, TypeVar

_T = TypeVar("_T")


def source_of(sock: socket.socket) -> str:
    """Return where a connection comes from: its address, or the first half of one of IPv6."""
    try:
        host = sock.getpeername()[0]
    except (OSError, IndexError):
        return ""  # it has gone
    if sock.family != socket.AF_INET6:
        return str(host)
    packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    mapped = packed[:12] == bytes(10) + b"\xff\xff"
    return socket.inet_ntoa(packed[12:]) if mapped else packed[:8].hex()


def in_turns(waiting: Dict[_T, str], served: Iterable[str]) -> List[_T]:
    """Return those who wait, always one of the source that has been served least.

    Args:
        waiting: those who wait, the oldest first, and their sources.
        served: the sources of those who are being served.
    """
    counts = Counter(served)
    turns = []
    for place, (one, source) in enumerate(waiting.items()):
        turns.append((counts[source], place, one))
        counts[source] += 1
    return [one for _, _, one in sorted(turns, key=lambda turn: turn[:2])]


def first_to_go(served: Dict[_T, str]) -> Tuple[_T, int]:
    """Return the oldest of the source that has most, and how many it has.

    Args:
        served: one or more, the oldest first, and their sources.
    """
    source, count = Counter(served.values()).most_common(1)[0]
    return next(one for one, its in served.items() if its == source), count
