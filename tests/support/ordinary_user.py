"""An ordinary user, who owns nothing but a scratch folder, for tests of what removes files."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

_NAME = "nobody"


class OrdinaryUser(NamedTuple):
    """Somebody who can write to one folder only, and runs a Python that everybody may run.

    Attributes:
        scratch: the folder.
        python: that Python, of this one's version, with nothing of ours installed.
        prefix: what a command begins with to be run by that user, in a mount namespace of its own.
    """

    scratch: Path
    python: str
    prefix: Sequence[str]

    def give(self, path: Path) -> None:
        """Have something belong to that user."""
        if os.geteuid() == 0:
            shutil.chown(path, _NAME)


@contextmanager
def ordinary_user() -> Iterator[OrdinaryUser]:
    """Be able to run programs as an ordinary user. Skips the test if that isn't possible."""
    name = "python{}.{}".format(*sys.version_info)
    python = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin")
    if python is None:
        pytest.skip(f"NOT TESTED as an ordinary user: there is no {name} that everybody may run")
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/var/tmp"))  # its path must be short
    prefix: Sequence[str] = ()
    if os.geteuid() == 0:
        known = pwd.getpwnam(_NAME)
        ids = (f"--reuid={known.pw_uid}", f"--regid={known.pw_gid}", "--clear-groups")
        prefix = ("unshare", "--mount", "setpriv", *ids)
    user = OrdinaryUser(folder, python, prefix)
    user.give(folder)
    try:
        yield user
    finally:
        shutil.rmtree(folder)
