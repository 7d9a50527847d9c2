"""What tasks leave behind, when it can't be ended."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import subprocess
from imp_parallel_core._slave import process

kill = process.kill_quietly
process.kill_quietly = lambda pid: None  # as if it were another user's, or hung in the kernel
child = subprocess.Popen(["sleep", "60"])
process.kill_orphans(0.5)
kill(child.pid)
child.wait()
print("done")
"""


def test_a_supervisor_does_not_wait_for_a_process_that_it_can_not_kill() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, timeout=50)
    assert (done.stdout, done.stderr) == (b"done\n", b"")
