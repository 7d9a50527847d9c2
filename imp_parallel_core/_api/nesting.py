"""Refuses Managers in the wrong process. A Manager that a task makes when it runs is fine.

A slave would make one only because it imports the script's module: it would start slaves, which
import the module, and so on without end. And a task may hold the script's own, which can't be
pickled. The threads of a Manager rely on the interpreter lock.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any, NoReturn

from .._errors import Error
from .._explained import explained

_IMPORTS = "importlib._bootstrap_external", "exec_module"


def check_no_slave_imports_this() -> None:
    """Raise Error if a module is being imported in this process, which is a slave's."""
    module = ""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if (name, frame.f_code.co_name) == _IMPORTS:
            text = (
                f"a slave imports the module {module}, since a task needs something of it, and the "
                "module makes a Manager when it is imported. Let it do so only where it is run as "
                'the script: if __name__ == "__main__": …, or in a function.'
            )
            raise Error(explained(text, "manager-in-module"))
        if frame.f_code.co_name == "<module>":
            module = name
        frame = frame.f_back


def refuse_to_run_without_a_lock() -> NoReturn:
    """Raise Error: this Python is free-threaded, and works without its interpreter lock."""
    text = (
        f"{sys.executable} is a free-threaded Python that works without the interpreter lock, on "
        "which this library relies. Set PYTHON_GIL=1 in the script's environment, or use the "
        "ordinary Python of this version"
    )
    raise Error(explained(text, "free-threaded"))


def refuse_to_be_pickled(thing: Any) -> NoReturn:
    """Raise TypeError for a Manager, or what was made by one, which somebody tries to pickle."""
    raise TypeError(
        f"a {type(thing).__name__} belongs to the script's process, and can't be used in a task. "
        "Let the task return what further tasks need, and add those in the script; or make a "
        "Manager in the task"
    )
