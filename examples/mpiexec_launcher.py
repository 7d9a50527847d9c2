"""A launcher for sites that start processes by mpiexec alone: a slave for each slot of a job.

The script is the batch job itself, and runs on the job's first node, without mpiexec. Each slave is
an mpiexec of one process, so a slave that dies ends no other. Run it in a job of several nodes with
``python examples/mpiexec_launcher.py``; it reads the nodes from the file that ``PBS_NODEFILE``
names. Without that, it starts two slaves on this machine. It needs imp-parallel-batch.
"""

import os
import platform
import shlex
import sys
from pathlib import Path

from imp_parallel_batch.allocation import Documents, Starter, slave_line

from imp_parallel_core import LaunchError, LocalHost, Manager, SlaveArray, hookimpl, start_processes

# Runs mpiexec with a TMPDIR of its own: two of them that start or end together get in each other's
# way in the folder that Open MPI makes there. A SIGTERM is for mpiexec, whose end is waited for.
IN_OWN_FOLDER = (
    'own=$(mktemp -d "${TMPDIR:-/tmp}/mpiexec.XXXXXX") || exit; trap : TERM; '
    'TMPDIR=$own "$@"; code=$?; rm -rf "$own"; exit $code'
)


class Mpiexec(Starter):
    """What the kit has to know of mpiexec in order to write the slaves' documents."""

    name = key = "mpiexec"
    task_pattern = "%t"


class MpiexecSlaveArray(SlaveArray):
    """Slaves on the nodes of the job that the script runs in.

    Args:
        hosts: the nodes, each as often as it is to have slaves.
    """

    transport = "tcp"  # the slaves connect to the script by themselves

    def __init__(self, hosts):
        super().__init__(len(hosts))
        self.hosts = list(hosts)

    def __repr__(self):
        return f"MpiexecSlaveArray({self.hosts})"

    def check(self):
        """Raise LaunchError if there is no mpiexec."""
        if LocalHost().find_program("mpiexec") is None:
            raise LaunchError("mpiexec was not found: load the module of your site's MPI.")


class MpiexecLaunch:
    """One mpiexec for each slave. It reads the slave's document from a private file."""

    def __init__(self, hosts, bootstraps, accept):
        numbered = dict(enumerate(bootstraps, 1))
        self.tasks = {bootstrap.index: task for task, bootstrap in numbered.items()}
        self.hosts = dict(zip(self.tasks, hosts, strict=True))
        self.documents = Documents(Mpiexec(), LocalHost(), bootstraps[0].cwd, numbered)
        try:
            self.processes = start_processes(
                bootstraps, accept, self.behind_mpiexec, document="file", terminate_s=5.0
            )
        except BaseException:
            self.documents.remove()
            raise
        self.command = self.processes.command
        self.poll = self.processes.poll
        self.log_tail = self.processes.log_tail

    def behind_mpiexec(self, argv, bootstrap):
        """Return the command that starts a slave on its node, and on any core of that."""
        document = f"{self.documents.folder}/{self.tasks[bootstrap.index]}"
        line = slave_line(Mpiexec(), bootstrap, document)
        given = os.environ.get("TMPDIR")  # the slave's own, not that of its mpiexec
        back = "unset TMPDIR" if given is None else f"export TMPDIR={shlex.quote(given)}"
        mpiexec = ["mpiexec", "-n", "1", "-host", self.hosts[bootstrap.index], "-bind-to", "none"]
        own = ["/bin/sh", "-c", IN_OWN_FOLDER, "sh"]
        return [*own, *mpiexec, "/bin/sh", "-c", f"{back}; {line}"]

    def note_connections(self, connected, parted):
        """Remove the documents of slaves that have connected."""
        self.documents.forget(self.tasks[index] for index in connected)

    def cancel(self, grace_s):
        """Let the slaves leave, then end each mpiexec, which ends its slave."""
        self.processes.cancel(grace_s)
        self.documents.remove()


@hookimpl
def imp_parallel_launch(slaves, bootstraps, accept):
    """Launch slaves of the class above."""
    if isinstance(slaves, MpiexecSlaveArray):
        return MpiexecLaunch(slaves.hosts, bootstraps, accept)
    return None


@hookimpl
def imp_parallel_slave_types():
    """Name the class above."""
    return {"MpiexecSlaveArray": MpiexecSlaveArray}


def main():
    """Say on which node each slave has run a task."""
    nodes = os.environ.get("PBS_NODEFILE")
    hosts = Path(nodes).read_text().split() if nodes else ["localhost", "localhost"]
    with Manager(plugins=[sys.modules[__name__]]) as manager:
        manager.add_slave(MpiexecSlaveArray(hosts))
        context = manager.get_context()
        for _ in hosts:
            context.add_task(platform.node)
        print(len(list(context.get_results_unordered())), "tasks have run behind mpiexec")


if __name__ == "__main__":
    main()
