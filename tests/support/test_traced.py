"""Coverage follows processes that fork, and that end by os._exit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from coverage import Coverage

from tests.support.traced import traced_environment

PROGRAM = """
import os
child = os.fork()
if child:
    os.waitpid(child, 0)
else:
    from imp_parallel_core._wire import heads
    heads.pack_bundle(heads.BundleHead(1, 2))
    os._exit(0)
"""


def test_what_a_fork_does_before_it_ends_by_exit_is_measured(tmp_path: Path) -> None:
    config_file = Path(__file__).parents[2] / "pyproject.toml"
    data_file = tmp_path / ".coverage"
    config = Coverage(config_file=str(config_file)).config
    environment = {**os.environ, **traced_environment(config, data_file)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    combined = Coverage(data_file=str(data_file), config_file=str(config_file))
    combined.combine([str(tmp_path)])
    measured = {Path(path).name for path in combined.get_data().measured_files()}
    assert "heads.py" in measured
