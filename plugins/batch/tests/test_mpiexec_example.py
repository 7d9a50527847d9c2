"""The example of a launcher for sites with MPI alone conforms, on a real mpiexec (Open MPI's)."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from imp_parallel_core import Manager, testing
from tests.support.harness import Processes
from tests.support.packages import need, need_programs
from tests.support.waiting import wait_until

EXAMPLE = Path(__file__).parents[3] / "examples" / "mpiexec_launcher.py"


@pytest.fixture
def launcher(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the example, on a machine with mpiexec."""
    need("with MPI", partial(need_programs, {"mpiexec": "openmpi-bin"}))
    monkeypatch.syspath_prepend(str(EXAMPLE.parent))  # a script of its own imports it, too
    module = importlib.import_module(EXAMPLE.stem)
    monkeypatch.setitem(sys.modules, EXAMPLE.stem, module)
    return module


@pytest.mark.timeout(150)
@pytest.mark.parametrize("check", testing.launcher_checks())
def test_slaves_behind_mpiexec_conform(
    processes: Processes, tmp_path: Path, launcher: ModuleType, check: testing.LauncherCheck
) -> None:
    hosts = ["localhost", "localhost"]
    check(lambda: launcher.MpiexecSlaveArray(hosts), output_folder=tmp_path, plugins=[launcher])


def test_the_example_runs_as_it_says(
    processes: Processes, launcher: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    launcher.main()
    assert capsys.readouterr().out == "2 tasks have run behind mpiexec\n"


@pytest.mark.timeout(120)
def test_each_mpiexec_has_a_folder_of_its_own_which_slaves_do_not_see_and_which_is_not_left(
    processes: Processes, launcher: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # (Open MPI makes sockets in it, whose paths must be short)
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        with Manager(output=str(tmp_path / "%d"), plugins=[launcher]) as manager:
            manager.add_slave(launcher.MpiexecSlaveArray(["localhost", "localhost"]))
            context = manager.get_context()
            context.add_task(os.getenv, "TMPDIR")
            assert list(context.get_results()) == [folder]
            wait_until(lambda: [each.state for each in manager.slaves] == ["idle"] * 2, 60.0)
            assert len([*Path(folder).glob("mpiexec.*/ompi.*")]) == 2
            assert len([*Path(folder).iterdir()]) == 2
        assert [*Path(folder).iterdir()] == []


def test_a_machine_without_mpiexec_is_told_at_once(
    launcher: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(launcher.LaunchError, match="mpiexec was not found"):
        launcher.MpiexecSlaveArray(["localhost"]).check()
