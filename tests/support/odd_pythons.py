"""Pythons that a slave can't be started by, as programs for ``Manager(python=…)``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import imp_parallel_core
from tests.support.as_root import as_me, as_root, helper_environment


def python_of_another_version(folder: Path) -> str:
    """Make a Python that says that it is 3.9."""
    lie = "import sys; sys.version_info = (3, 9, 1); exec(sys.argv.pop(2))"
    return _program(folder / "python3.9", [sys.executable, "-c", lie])


def python_without_the_package(folder: Path) -> str:
    """Make a Python for which the master's files are not to be seen."""
    files = str(Path(imp_parallel_core.__file__).parent.parent)
    program = f"import sys; exec(sys.argv.pop(2).replace({files!r}, '/nowhere/at/all'))"
    return _program(folder / "bare", [sys.executable, "-I", "-S", "-c", program])


def python_without_a_network(folder: Path) -> str:
    """Make a Python on a host without any network, whose slaves have less patience than usual."""
    begin = "\\nimport imp_parallel_core._slave.program as s; s._DIAL_S = 2.0; main("
    program = f"import sys; del sys.argv[1]; exec(sys.argv.pop(1).replace('\\nmain(', '{begin}'))"
    command = as_root("unshare", "-n", *as_me(sys.executable, "-c", program))
    variables = [f"{name}={value}" for name, value in helper_environment().items()]
    return _program(folder / "alone", ["env", *variables, *command])


def _program(path: Path, command: list[str]) -> str:
    path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
    path.chmod(0o755)
    return str(path)
