"""How a process ended that was started here. It is also sent to machines without this package."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess


def exit_code(process: subprocess.Popen[bytes]) -> int | None:
    """Return how a process ended, or None; leave it a zombie, so that its number stays its own."""
    if process.returncode is not None or not hasattr(os, "waitid"):  # (an older macOS)
        return process.poll()
    try:
        ended = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return process.poll()  # this process waits for all its children, or ignores SIGCHLD
    if ended is None:
        return None
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
