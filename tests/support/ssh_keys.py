"""Keys for SSH, which ``ssh-keygen`` makes."""

from __future__ import annotations

import subprocess
from pathlib import Path


def make_key(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Make a pair of keys; return the path of the private one."""
    size = ["-b", "2048"] if kind == "rsa" else []  # a larger one takes a busy machine very long
    run("ssh-keygen", "-q", "-t", kind, *size, "-N", passphrase, "-C", path.name, "-f", str(path))
    return path


def run(*command: str) -> str:
    """Run a command; return its output; fail if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
    return done.stdout
