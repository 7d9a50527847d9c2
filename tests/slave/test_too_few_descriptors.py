"""A slave that may open too few files says so."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, resource
from imp_parallel_core._slave.outlet import UNKNOWN, Register
from imp_parallel_core._slave.runner import work
resource.setrlimit(resource.RLIMIT_NOFILE, ({limit}, {limit}))
work(os.dup(0), os.dup(0), os.dup(0), os.getppid(), UNKNOWN, Register())
"""


@pytest.mark.parametrize("limit", [14, 16])
def test_a_runner_that_may_open_too_few_files_ends_with_a_sentence(limit: int) -> None:
    command = [sys.executable, "-c", PROGRAM.format(limit=limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("imp_parallel: a runner can't have the descriptors")
    assert f"It may have {limit} files open (ulimit -n)" in done.stderr
    assert "Traceback" not in done.stderr
