"""What tests need of this machine, installed if that is possible."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping

import pytest

from tests.support.as_root import can_be_root, run_as_root

_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
# Other processes, and other test runs, may install packages at the same time. Debian must not start
# a daemon of its own for all the world, if there is an init.
_INSTALL = """\
exec 9> /run/lock/imp_parallel-tests
flock 9
no_start=/usr/sbin/policy-rc.d
if [ ! -e $no_start ]; then
    trap 'rm -f $no_start' EXIT
    printf '#!/bin/sh\\nexit 101\\n' > $no_start
    chmod 755 $no_start
fi
export DEBIAN_FRONTEND=noninteractive
debconf-set-selections
apt-get -qq -o DPkg::Lock::Timeout=120 update
apt-get -qq -o DPkg::Lock::Timeout=120 install -y --no-install-recommends "$@" < /dev/null
"""


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
    missing = sorted({package for name, package in packages.items() if not _is_there(name)})
    if not missing:
        return
    if not can_be_root() or not _is_there("apt-get"):
        raise CanNotBeHad(f"{', '.join(missing)} can only be installed by root, with apt-get")
    try:
        run_as_root("sh", "-e", "-c", _INSTALL, "sh", *missing, input=answers, timeout_s=300.0)
    except AssertionError as problem:
        raise CanNotBeHad(str(problem)) from None


def _is_there(program: str) -> bool:
    return shutil.which(program, path=_PATH) is not None
