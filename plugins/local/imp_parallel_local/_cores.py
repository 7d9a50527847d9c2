"""Which cores of this machine the script may use, and how to share them out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_SYSTEM = Path("/sys/devices/system")


def usable_cores() -> int:
    """Return how many cores this process may use, at least 1.

    They are those that its affinity and the limits of its control groups leave, and no more than a
    batch system has granted, if the script runs in a job.
    """
    limits = [len(affinity()), granted_by(os.environ), limit_of_cgroups()]
    count = getattr(os, "process_cpu_count", None)  # from Python 3.13 on; -X cpu_count sets it
    limits.append(count() if count is not None else None)
    return max(1, min(limit for limit in limits if limit is not None))


def affinity() -> list[int]:
    """Return the numbers of the cores that this thread may run on, in order."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))  # not Linux


def granted_by(environment: Mapping[str, str]) -> int | None:
    """Return how many cores of this machine a batch system has granted to the job around.

    Args:
        environment: the process's.
    """
    if "SLURM_JOB_ID" in environment:
        # a script that srun has started is one task of a step; others have the whole node's share
        names = ["SLURM_CPUS_PER_TASK"] if "SLURM_STEP_ID" in environment else []
        names += ["SLURM_CPUS_ON_NODE", "SLURM_CPUS_PER_TASK"]
    elif "PBS_JOBID" in environment:
        names = ["NCPUS"]
    elif "LSB_JOBID" in environment:
        names = ["LSB_DJOB_NUMPROC"]
    elif "JOB_ID" in environment:
        names = ["NSLOTS"]  # of Grid Engine
    else:
        return None
    for name in names:
        text = environment.get(name, "").strip()
        if text.isdecimal() and int(text):
            return int(text)
    return None


def limit_of_cgroups(cgroups: Path = _CGROUPS, own: Path = _OWN_CGROUPS) -> int | None:
    """Return how many cores the control groups leave, rounded down, but at least 1; None for any.

    Args:
        cgroups: where the system shows control groups, of either version.
        own: the file that names those of this process.
    """
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return None  # not Linux
    limits = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        for root in [cgroups] if not controllers else [cgroups / controllers, cgroups / "cpu"]:
            group = root / path.lstrip("/")
            # in a container, the path may be that outside, and the root be the container's own
            for folder in (group, *group.parents):
                limits.append(_limit_of(folder))
                if folder == root:
                    break
    known = [limit for limit in limits if limit is not None]
    return max(1, int(min(known))) if known else None


def _limit_of(folder: Path) -> float | None:
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text().split()
        else:
            quota = (folder / "cpu.cfs_quota_us").read_text()
            period = (folder / "cpu.cfs_period_us").read_text()
        limit = int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # there is no limit ("max")
        return None
    return limit if limit > 0 else None


def nodes(cores: Sequence[int], system: Path = _SYSTEM) -> list[list[int]]:
    """Return these cores by NUMA node, in the order in which slaves should get them.

    First comes one hardware thread of each core of a node, then the second one of each, and so on.

    Args:
        cores: numbers of cores, as the system calls its hardware threads.
        system: where the system shows its hardware.
    """
    found: dict[str, list[int]] = {}
    for core in cores:
        folder = system / f"cpu/cpu{core}"
        node = next((path.name for path in sorted(folder.glob("node[0-9]*"))), "")
        found.setdefault(node, []).append(core)
    return [
        sorted(found[node], key=lambda core: (_rank_among_siblings(core, system), core))
        for node in sorted(found, key=lambda name: (len(name), name))
    ]


def _rank_among_siblings(core: int, system: Path) -> int:
    try:
        text = (system / f"cpu/cpu{core}/topology/thread_siblings_list").read_text()
        return numbers_in(text).index(core)
    except (OSError, ValueError):
        return 0


def numbers_in(text: str) -> list[int]:
    """Return the numbers of a list as the system writes it: ``0-3,8``. Raises ValueError."""
    numbers: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def shares(nodes: Sequence[Sequence[int]], count: int, size: int) -> list[list[int]]:
    """Return the cores of each slave, next to each other on one node as far as possible.

    Args:
        nodes: the cores of each node; slaves are spread over the nodes in turn.
        count: how many slaves there are.
        size: how many cores each slave has.

    Raises ValueError if there are too few cores.
    """
    if sum(map(len, nodes)) < count * size:
        raise ValueError(f"{count * size} cores are needed, and there are {sum(map(len, nodes))}")
    left = [list(node) for node in nodes]
    found: list[list[int]] = []
    while len(found) < count and any(len(node) >= size for node in left):
        for node in left:
            if len(node) >= size:
                found.append(node[:size])
                del node[:size]
    rest = [core for node in left for core in node]
    while len(found) < count:  # what is left of several nodes
        found.append(rest[:size])
        del rest[:size]
    return found[:count]
