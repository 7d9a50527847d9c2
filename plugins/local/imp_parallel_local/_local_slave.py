"""The description of a local slave."""

from __future__ import annotations

from imp_parallel_core import Slave


class LocalSlave(Slave):
    """A slave on the machine that the script itself runs on.

    Add one for each core that the tasks may use. It has the ``sys.path``, the working directory and
    the environment that the script had when it was added, and is launched again when it is lost;
    but not when somebody has told it to go (SIGTERM to its process): then it hands its tasks back
    and leaves.
    """
