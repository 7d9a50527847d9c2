"""What tests need of this machine, installed if that is possible."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

_NO_START = Path("/usr/sbin/policy-rc.d")


class CanNotBeHad(Exception):
    """What a test needs is not on this machine, and can't be; says why."""


def need(what: str, *provide: Callable[[], None]) -> None:
    """Provide what a test needs, or skip it by name."""
    try:
        for each in provide:
            each()
    except CanNotBeHad as problem:
        pytest.skip(f"NOT TESTED {what}: {problem}")


def need_programs(packages: Mapping[str, str], answers: str = "") -> None:
    """See to it that programs are there, each of which a Debian package brings.

    Args:
        packages: a package for each program (its name in PATH, or its whole path).
        answers: to what the packages would ask, as ``debconf-set-selections`` reads it.
    """
    if not _missing(packages):
        return
    with _lock():  # other processes of the test run may need them, too
        missing = _missing(packages)
        if not missing:
            return
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise CanNotBeHad(f"{', '.join(missing)} can only be installed by root, with apt-get")
        apt = ("apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120")
        with _no_daemon_starts():
            _run("debconf-set-selections", input=answers)
            _run(*apt, "update")
            _run(*apt, "install", "-y", "--no-install-recommends", *missing)


def _missing(packages: Mapping[str, str]) -> list[str]:
    return sorted({package for name, package in packages.items() if shutil.which(name) is None})


def _run(*command: str, input: str = "") -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, input=input, env=environment, capture_output=True, text=True, timeout=300
    )
    if done.returncode:
        raise CanNotBeHad(f"{' '.join(command)} failed: {done.stderr.strip()[-300:]}")


@contextmanager
def _lock() -> Iterator[None]:
    path = Path(tempfile.gettempdir(), "imp_parallel-tests-install.lock")
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _no_daemon_starts() -> Iterator[None]:
    """Keep Debian from starting a daemon of its own for all the world, if there is an init."""
    if _NO_START.exists():
        yield
        return
    _NO_START.write_text("#!/bin/sh\nexit 101\n")
    _NO_START.chmod(0o755)
    try:
        yield
    finally:
        _NO_START.unlink()
