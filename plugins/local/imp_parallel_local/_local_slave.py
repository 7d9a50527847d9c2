"""The description of a local slave."""

from __future__ import annotations

from imp_parallel_core import Slave


class LocalSlave(Slave):
    """A slave on the machine that the script itself runs on.

    Add one for each core that the tasks may use. The slave has the ``sys.path``, the working
    directory and the environment that the script had when the slave was added. It is launched again
    when it is lost, but not when somebody has sent its process a SIGTERM: then it hands its tasks
    back and leaves.
    """
