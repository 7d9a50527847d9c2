"""How many threads libraries start in the processes of a slave: as many as the slave has cores.

A numeric library starts as many threads as the machine has cores, unless a variable of the
environment says otherwise. With a slave for each core that would be the square of that number, and
threads that wait for each other's turn take many times as long. The slave program sets the
variables before it starts a runner.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # as typing's, which takes long to import
if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "JULIA_NUM_THREADS",
)


def masters_choice(environment: Mapping[str, str]) -> dict[str, str]:
    """Return which of the variables the user has set in the master's environment."""
    return {name: environment[name] for name in VARIABLES if name in environment}


def set_threads(threads: int | str | None, masters: Mapping[str, str]) -> None:
    """Set those of the variables that this process's environment does not have.

    Args:
        threads: how many threads; or the name of the variable by which a batch system says how many
            cores it has granted (1 thread if that holds no number). None: set nothing.
        masters: what :func:`masters_choice` has returned; it comes before ``threads``.
    """
    if threads is None:
        return
    if isinstance(threads, str):
        threads = granted(threads)
    for name in VARIABLES:
        if name not in os.environ:
            os.environ[name] = masters.get(name, str(threads))


def granted(variable: str) -> int:
    """Return how many cores a variable of a batch system grants; 1 if it holds no such number."""
    text = os.environ.get(variable, "").strip()
    return int(text) if text.isdecimal() and int(text) else 1
