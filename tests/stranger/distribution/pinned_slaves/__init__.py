"""Slaves of this machine that stay on certain processors, by Linux's ``taskset``."""

import shutil
from pathlib import Path

from imp_parallel_core import LaunchError, Slave, explained, hookimpl, start_processes


class PinnedSlave(Slave):
    """A slave that stays on some processors, such as ``PinnedSlave("0-3")``."""

    def __init__(self, processors):
        self.processors = processors

    def check(self):
        if shutil.which("taskset") is None:
            raise LaunchError(explained("there is no taskset in the PATH", "no-taskset"))


@hookimpl
def imp_parallel_launch(slaves, bootstraps, accept):
    if isinstance(slaves, PinnedSlave):
        pin = ["taskset", "--cpu-list", slaves.processors]
        return start_processes(bootstraps, accept, lambda argv, bootstrap: [*pin, *argv])
    return None


@hookimpl
def imp_parallel_slave_types():
    return {"PinnedSlave": PinnedSlave}


@hookimpl
def imp_parallel_explanations():
    return Path(__file__).with_name("explanations.md").read_text(encoding="utf-8")
