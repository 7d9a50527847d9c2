"""Slave classes by name, for ``from imp_parallel_core import LocalSlave``."""

from __future__ import annotations

from collections.abc import Sequence

from .._explained import explained
from .found import DISABLE, find_plugins
from .registry import Plugins, warn

KNOWN_DISTRIBUTIONS = {
    "DaskSlaveArray": "imp-parallel-dask",
    "LocalSlave": "imp-parallel-local",
    "LocalSlaves": "imp-parallel-local",
    "RaySlaveArray": "imp-parallel-ray",
    "SGEQsubSlaveArray": "imp-parallel-sge",
    "SGEPESlaveArray": "imp-parallel-sge",
    "SSHHost": "imp-parallel-ssh",
    "SSHSlave": "imp-parallel-ssh",
    "SSHSlaveArray": "imp-parallel-ssh",
    "SlurmSlaveArray": "imp-parallel-slurm",
    "SlurmStepSlaveArray": "imp-parallel-slurm",
}
"""Which distribution brings which class of slaves, or of hosts for ``via``; for hints only."""


def find_slave_type(name: str, reserved: Sequence[str] = ()) -> type:
    """Return the slave class of that name, for ``from imp_parallel_core import …``.

    Args:
        name: the name.
        reserved: the names that the core has given to something else.

    Raises ImportError with the distribution to install, AttributeError for any other name.
    """
    kind = Plugins().slave_types(reserved).get(name)
    if kind is not None:
        return kind
    distribution = KNOWN_DISTRIBUTIONS.get(name)
    if distribution is None:
        if left_out := find_plugins().left_out:  # an import shows nothing of an AttributeError
            plugins = ", ".join(left_out)
            warn(
                f"imp_parallel_core has no {name}; {DISABLE} leaves out {plugins}, which may "
                "bring it"
            )
        raise AttributeError(f"module 'imp_parallel_core' has no attribute {name!r}")
    found = find_plugins()
    why = found.broken.get(distribution)
    if why is not None:
        text = f"{name} is in {distribution}, which is installed but broken: {why}"
        raise ImportError(explained(text, "no-plugin"))
    if distribution in found.left_out:
        raise ImportError(f"{name} is in {distribution}, which {DISABLE} leaves out")
    text = f"{name} is in a plugin that is not installed: pip install {distribution}"
    raise ImportError(explained(text, "no-plugin"))
