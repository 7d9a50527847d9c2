"""Whose turn it is among connections of strangers: no source of many keeps another one out."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, Protocol, TypeVar

_IPV6_SITE_BYTES = 8  # who has one IPv6 address usually has all that begin alike


class Sourced(Protocol):
    """A connection of a stranger's."""

    @property
    def source(self) -> bytes:
        """Where it comes from, as :func:`source_of` says it."""


_S = TypeVar("_S", bound=Sourced)


def source_of(address: Any) -> bytes:
    """Return what the addresses of one stranger have in common.

    Args:
        address: as ``accept()`` returns it.
    """
    found = ipaddress.ip_address(str(address[0]).partition("%")[0])
    if found.version == 6 and found.ipv4_mapped is None:
        return found.packed[:_IPV6_SITE_BYTES]
    return found.packed[-4:]


def in_turns(waiting: Iterable[_S], served: Iterable[Sourced]) -> list[_S]:
    """Return those who wait, always one of the source that has been served least.

    Args:
        waiting: those who wait; the oldest first.
        served: those who are being served already.
    """
    counts = Counter(one.source for one in served)
    turns = []
    for place, one in enumerate(waiting):
        turns.append((counts[one.source], place, one))
        counts[one.source] += 1
    return [one for _, _, one in sorted(turns, key=lambda turn: turn[:2])]


def first_to_go(served: Collection[_S]) -> tuple[_S, int]:
    """Return the oldest of the source that has most, and how many it has.

    Args:
        served: one or more; the oldest first.
    """
    counts = Counter(one.source for one in served)
    source, count = counts.most_common(1)[0]
    return next(one for one in served if one.source == source), count
