"""A launcher plugin in whole: slaves on this machine that run under ``nice``.

Run it with ``python examples/nice_launcher.py``. As a plugin of its own it would be a distribution
with an entry point in the group ``imp_parallel``; here it is given to the Manager by hand.
"""

import os
import sys

from imp_parallel_core import Manager, Slave, hookimpl, start_processes


class NiceSlave(Slave):
    """A slave on this machine that leaves the processor to others.

    Args:
        niceness: 0 (as any other process) to 19 (when nobody else wants it).
    """

    def __init__(self, niceness=10):
        self.niceness = niceness

    def __repr__(self):
        return f"NiceSlave({self.niceness})"


@hookimpl
def imp_parallel_launch(slaves, bootstraps, accept):
    """Launch slaves of the class above."""
    if isinstance(slaves, NiceSlave):
        nice = ["nice", "-n", str(slaves.niceness)]
        return start_processes(bootstraps, accept, lambda argv, bootstrap: [*nice, *argv])
    return None


@hookimpl
def imp_parallel_slave_types():
    """Name the class above."""
    return {"NiceSlave": NiceSlave}


def main():
    """Show that the tasks run as nicely as was asked for."""
    with Manager(plugins=[sys.modules[__name__]]) as manager:
        manager.add_slave(NiceSlave(7))
        context = manager.get_context()
        context.add_task(os.nice, 0)
        print("niceness:", *context.get_results_unordered())


if __name__ == "__main__":
    main()
