"""The set-up and the tasks of a check. They travel by value: a slave may have no such module.

Each function imports what it needs, and uses no other name of this module.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


def set_up() -> int:
    """Return the number of the process that it runs in."""
    import os

    return os.getpid()


def look_around(pid_of_setup: int, variables: Sequence[str]) -> dict[str, Any]:
    """Return where a task runs, and what it finds there.

    Args:
        pid_of_setup: where the set-up has run.
        variables: which variables of the environment to return.
    """
    import os
    import platform
    import socket
    import sys
    from importlib import import_module

    def version_of(module: str) -> str:
        try:
            return str(import_module(module).__version__)
        except Exception as problem:
            return f"unknown ({type(problem).__name__}: {problem})"

    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        cores = os.cpu_count() or 1
    task = import_module("imp_parallel_core._slave.current_task").current_task()
    return {
        "ran_setup": pid_of_setup == os.getpid(),
        "slave": None if task is None else task.slave_index,
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "cloudpickle": version_of("cloudpickle"),
        "imp-parallel-core": version_of("imp_parallel_core"),
        "folder": os.getcwd(),
        "cores": cores,
        "environment": {name: os.environ[name] for name in variables if name in os.environ},
        "path": list(sys.path),
    }


def do_nothing(_: int) -> None:
    """Return at once."""


def measure(_: int, data: bytes) -> int:
    """Return how many bytes have come."""
    return len(data)


def make(_: int, size_bytes: int) -> bytes:
    """Return so many bytes, a multiple of 64 KiB, which no compression on the way makes fewer."""
    import os

    return os.urandom(1 << 16) * (size_bytes >> 16)


def import_there(_: int, name: str) -> dict[str, str]:
    """Import a module; return where it is, and its version."""
    from importlib import import_module

    module = import_module(name)
    version = getattr(module, "__version__", "")
    return {"file": str(getattr(module, "__file__", "")), "version": str(version)}
