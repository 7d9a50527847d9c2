"""The description of a local slave."""

from __future__ import annotations

from collections.abc import Mapping

from imp_parallel_core import Slave
from imp_parallel_core.arguments import checked_environment


class LocalSlave(Slave):
    """A slave on the machine that the script itself runs on.

    Add one for each core that the tasks may use. The slave has the ``sys.path``, the working
    directory and the environment that the script had when the slave was added. It is launched again
    when it is lost, but not when somebody has sent its process a SIGTERM: then it hands its tasks
    back and leaves.

    Args:
        threads: how many threads numeric libraries start in its tasks: as many as the slave has
            cores. The usual variables (``OMP_NUM_THREADS`` and the like) are set to this number,
            except for those that the script's environment has. None leaves all of them alone.
        environment: variables to add to the slave's environment; they come before the script's.
            Never a secret, since messages show the description.

    Raises TypeError for an environment that is no dictionary. ``add_slave`` raises TypeError or
    ValueError for what can't be used.
    """

    def __init__(
        self, *, threads: int | None = 1, environment: Mapping[str, str] | None = None
    ) -> None:
        self.threads = threads
        self.environment = checked_environment(self, environment)

    def __repr__(self) -> str:
        words = [] if self.threads == 1 else [f"threads={self.threads!r}"]
        if self.environment:
            words.append(f"environment={self.environment!r}")
        return f"LocalSlave({', '.join(words)})"
