"""Parses the host file of a parallel environment, which lists the slots that it grants. Pure."""

from __future__ import annotations

from typing import NamedTuple


class Grant(NamedTuple):
    """Slots on one host."""

    host: str
    slots: int


def parse_hostfile(text: str) -> list[Grant]:
    """Return the grants in a file as ``PE_HOSTFILE`` names it: the master's host is the first.

    Raises ValueError.
    """
    grants = []
    for line in text.splitlines():
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 2 or not fields[1].isdecimal() or int(fields[1]) < 1:
            raise ValueError(f"can't be read: {line!r}")
        grants.append(Grant(fields[0], int(fields[1])))
    if not grants:
        raise ValueError("is empty")
    return grants
