"""Coverage of the processes that a test starts: supervisors, runners, bridges and relays.

Coverage costs a process some 80 ms of CPU time, and the process imports more than without. So only
the modules of tests that ask for it have their processes traced::

    pytestmark = pytest.mark.usefixtures("traced_slaves")

Tests that look at what is traced, imported or in the environment are left out of that by
``@pytest.mark.untraced``.

What coverage installs in ``site-packages`` looks for a variable of the environment, which the
processes inherit. Each process writes a file of its own beside the test run's, and pytest-cov
combines all files. A process that is killed writes nothing.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from coverage import Coverage
from coverage.config import CoverageConfig


@pytest.fixture
def traced_slaves(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have slaves take part in the coverage of the test run, if that is measured."""
    running = Coverage.current()
    if running is None or request.node.get_closest_marker("untraced"):
        return
    assert running.config.config_file is not None
    beside = Path(running.config.config_file).absolute().with_name(".coverage")
    for name, value in traced_environment(running.config, beside).items():
        monkeypatch.setenv(name, value)


def traced_environment(config: CoverageConfig, data_file: Path) -> dict[str, str]:
    """Return what has a Python measure its coverage, and write it beside a file."""
    own = config.copy()
    own.data_file = str(data_file)
    own.parallel = True
    own.patch = ["_exit", "fork"]  # runners are forks, and end by os._exit
    return {"COVERAGE_PROCESS_CONFIG": own.serialize()}
