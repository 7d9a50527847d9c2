"""An ordinary user of the cluster, and a Python that this user can run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

_TRY = (
    "import sys, cloudpickle, pluggy, cryptography, imp_parallel_sge; print(sys.version_info[:2])"
)


class JobUser(NamedTuple):
    """A user; ``folder`` is the user's own, and ``python`` can be run by the user."""

    name: str
    folder: Path
    python: str

    @classmethod
    def make(cls) -> JobUser:
        """Make a user. Skips the test if no Python serves one."""
        name = f"imppar{os.getpid()}"
        folder = Path(tempfile.mkdtemp(prefix="imp_parallel-user-", dir="/var/tmp"))
        options = ["-M", "-d", str(folder), "-s", "/bin/bash", "-p", "*"]
        subprocess.run(["useradd", *options, name], check=True)
        shutil.chown(folder, name)
        candidates = (sys.executable, "/usr/bin/python3")
        python = next((p for p in candidates if cls(name, folder, p).can_run()), "")
        user = cls(name, folder, python)
        if not python:
            user.remove()
            pytest.skip("NOT TESTED as an ordinary user: none of the Pythons here serves one")
        return user

    def environment(self) -> dict[str, str]:
        """Return what such a user's shell would set, and where the packages are."""
        paths = [entry for entry in sys.path if entry and "python3" in entry and "site" in entry]
        root = Path(__file__).parents[2]
        paths += map(str, [root, *(path.parent for path in root.glob("plugins/*/imp_parallel_*"))])
        return {
            "HOME": str(self.folder),
            "USER": self.name,
            "LOGNAME": self.name,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PYTHONPATH": os.pathsep.join(paths),
        }

    def can_run(self) -> bool:
        """Return whether the user can import everything with this Python, of our version."""
        try:
            done = subprocess.run(
                [self.python, "-c", _TRY],
                user=self.name,
                group=self.name,
                extra_groups=[],
                env=self.environment(),
                cwd="/",
                capture_output=True,
                text=True,
                check=False,
            )
        except OSError:
            return False
        return done.stdout.strip() == str(sys.version_info[:2])

    def remove(self) -> None:
        """Remove the user and the user's files."""
        shutil.rmtree(self.folder, ignore_errors=True)
        subprocess.run(["userdel", self.name], check=False, capture_output=True)
