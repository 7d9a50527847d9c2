"""How much memory is left for what slaves send. Only Linux tells."""

from __future__ import annotations

import os
import re

_RESERVE_PART = 16  # one part in so many of the free memory is left for everything else
_GROUPS = "/sys/fs/cgroup"


def has_room(size_bytes: int) -> bool:
    """Whether this process can take so many more bytes before the system kills a process."""
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
    """Return how much is left to this process's control group and to those around it."""
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
    """Return how much is left of this process's own limit (ulimit -v); None without a limit."""
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
