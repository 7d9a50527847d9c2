"""Slaves of this machine that stay on certain processors, by Linux's ``taskset``."""

from imp_parallel_core import Slave, hookimpl, start_processes


class PinnedSlave(Slave):
    """A slave that stays on some processors, such as ``PinnedSlave("0-3")``."""

    def __init__(self, processors):
        self.processors = processors


@hookimpl
def imp_parallel_launch(slaves, bootstraps, accept):
    if isinstance(slaves, PinnedSlave):
        pin = ["taskset", "--cpu-list", slaves.processors]
        return start_processes(bootstraps, accept, lambda argv, bootstrap: [*pin, *argv])
    return None


@hookimpl
def imp_parallel_slave_types():
    return {"PinnedSlave": PinnedSlave}
