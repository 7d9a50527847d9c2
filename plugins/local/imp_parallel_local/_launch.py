"""Starts an array of local slaves, each on cores of its own if it is pinned."""

from __future__ import annotations

import os
from collections.abc import Sequence

from imp_parallel_core import Accept, Bootstrap, Launch, start_processes

from ._local_slaves import LocalSlaves


def launch(slaves: LocalSlaves, bootstraps: Sequence[Bootstrap], accept: Accept) -> Launch:
    """Start the slaves; called in the thread of their launch."""
    if not slaves.pin:
        return start_processes(bootstraps, accept)
    indices = [bootstrap.index for bootstrap in bootstraps]
    before = os.sched_getaffinity(0)  # of this thread alone; a process that it starts inherits it
    cores = {index: slaves.cores_of(index, indices) for index in indices}

    def pinned(argv: list[str], bootstrap: Bootstrap) -> Sequence[str]:
        os.sched_setaffinity(0, cores[bootstrap.index])
        return argv

    try:
        return start_processes(bootstraps, accept, pinned)
    finally:
        os.sched_setaffinity(0, before)
