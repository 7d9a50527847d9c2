"""How much memory there is left for what slaves send. Linux where it can tell."""

from __future__ import annotations

import os
import re

_RESERVE_PART = 16  # of what there is, one part of so many is left for all else
_GROUPS = "/sys/fs/cgroup"


def has_room(size_bytes: int) -> bool:
    """Whether this process may take so many more bytes, without having anything killed for it."""
    answers = (_left_in_system(), _left_in_group(), _left_to_process())
    left = min((answer for answer in answers if answer is not None), default=None)
    return left is None or size_bytes <= left - left // _RESERVE_PART


def _left_in_system() -> int | None:
    text = _read("/proc/meminfo")
    found = dict(re.findall(r"^(MemAvailable|SwapFree): *(\d+) kB", text, re.MULTILINE))
    if "MemAvailable" not in found:
        return None
    return sum(map(int, found.values())) * 1024


def _left_in_group() -> int | None:
    """Return how much is left to this process's control group, or the nearest one with a limit."""
    path = _read("/proc/self/cgroup").partition("0::")[2].partition("\n")[0]
    folder = _GROUPS + path.rstrip("/")
    lefts: list[int] = []
    while folder.startswith(_GROUPS):
        limit, used = _read(f"{folder}/memory.max"), _read(f"{folder}/memory.current")
        if limit.strip().isdecimal() and used.strip().isdecimal():
            cache = re.search(r"^inactive_file (\d+)", _read(f"{folder}/memory.stat"), re.MULTILINE)
            lefts.append(int(limit) - int(used) + (int(cache[1]) if cache else 0))
        folder = os.path.dirname(folder)
    return min(lefts, default=None)


def _left_to_process() -> int | None:
    """Return how much is left of this process's own limit (ulimit -v), if it has one."""
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _read("/proc/self/statm").partition(" ")[0]
    if limit == resource.RLIM_INFINITY or not pages:
        return None
    return max(0, limit - int(pages) * resource.getpagesize())


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""
