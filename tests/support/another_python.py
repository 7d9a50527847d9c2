"""A Python of another version than this, from another Debian, for tests of what does not fit.

It is unpacked into a folder of the test run, and not installed: a loader and libraries of its own
Debian lie beside it, and nobody else sees it.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.packages import CanNotBeHad, need, need_programs

_SUITES = {(3, 13): "trixie", (3, 11): "bookworm"}
_LIMIT_S = 200.0
TIMEOUT = pytest.mark.timeout(300)
"""For tests that ask for another Python: the first unpacks it, over the network."""


class AnotherPython(NamedTuple):
    """A program, and its version."""

    path: Path
    version: tuple[int, int]


def another_python(folders: pytest.TempPathFactory) -> AnotherPython:
    """Return a Python of another version than this; skip the test by name if none can be had."""
    version = next(each for each in _SUITES if each != sys.version_info[:2])
    base = folders.getbasetemp()
    if base.name.startswith("popen-"):  # the folder of one of several processes
        base = base.parent
    tree = base / f"another_python-{_SUITES[version]}"
    python = AnotherPython(tree / "usr/bin/python", version)
    with (base / "another_python.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not python.path.exists():
            need("with another Python", lambda: _unpack(tree, python))
    return python


def _unpack(tree: Path, python: AnotherPython) -> None:
    need_programs({"mmdebstrap": "mmdebstrap"})
    name = "python{}.{}".format(*python.version)
    options = ("--quiet", "--mode=chrootless", "--variant=extract", f"--include={name}")
    # a copy of the archive may be older than the archive promises
    ages = "--aptopt=Acquire::Check-Valid-Until 'false'"
    _run("mmdebstrap", *options, ages, _SUITES[python.version], str(tree), home=tree.parent)
    # the system's loader would find the system's libraries, which may be too old
    libraries = [*tree.glob("lib/*-linux-gnu"), *tree.glob("usr/lib/*-linux-gnu")]
    loader = next(found for folder in libraries for found in folder.glob("ld-linux*"))
    path = ":".join(map(str, libraries))
    begin = [str(loader), "--argv0", str(python.path), "--library-path", path]
    begun = python.path.with_name("begun")
    begun.write_text(
        f'#!/bin/sh\nexec {shlex.join(begin)} {shlex.quote(f"{tree}/usr/bin/{name}")} "$@"\n'
    )
    begun.chmod(0o755)
    _run(str(begun), "-c", "import json, ssl", home=tree.parent)
    begun.rename(python.path)


def _run(*command: str, home: Path) -> None:
    env = {**os.environ, "HOME": str(home)}  # apt would leave a folder in the user's
    try:
        subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=_LIMIT_S, check=True
        )
    except subprocess.CalledProcessError as problem:
        raise CanNotBeHad(f"{command[0]}: {problem.stdout}{problem.stderr}") from None
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise CanNotBeHad(str(problem)) from None
