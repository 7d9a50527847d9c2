"""The local launcher, the example of one and one made by hand do what the core expects of one."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import (
    Accept,
    Bootstrap,
    Launch,
    Slave,
    SlaveArray,
    hookimpl,
    start_processes,
    testing,
)
from tests.support.harness import Processes

EXAMPLE = Path(__file__).parents[3] / "examples" / "nice_launcher.py"
HANDMADE = Path(__file__).with_name("handmade_launcher.py")


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("check", testing.launcher_checks())
def test_the_local_launcher_conforms(
    processes: Processes, tmp_path: Path, check: testing.LauncherCheck
) -> None:
    check(LocalSlave, output_folder=tmp_path)


@pytest.mark.parametrize("path", [EXAMPLE, HANDMADE], ids=lambda path: path.stem)
def test_a_launcher_that_is_given_to_the_manager_conforms(
    processes: Processes, tmp_path: Path, path: Path
) -> None:
    plugin = load(path)
    folder = tmp_path / "out"
    folder.mkdir()
    testing.check_launcher(lambda: plugin.NiceSlave(3), output_folder=folder, plugins=[plugin])


class NiceSlaves(SlaveArray):
    """Several slaves that one launch starts as processes of this machine."""


class NiceSlavesPlugin:
    @hookimpl
    def imp_parallel_launch(
        self, slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Accept
    ) -> Launch | None:
        if isinstance(slaves, NiceSlaves):
            return start_processes(bootstraps, accept, lambda argv, _: ["nice", *argv])
        return None


@pytest.mark.parametrize("check", testing.launcher_checks())
def test_a_launcher_that_starts_several_processes_for_one_array_conforms(
    processes: Processes, tmp_path: Path, check: testing.LauncherCheck
) -> None:
    check(lambda: NiceSlaves(3), output_folder=tmp_path, plugins=[NiceSlavesPlugin()])


def test_the_example_of_a_launcher_runs_as_it_says(
    processes: Processes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    example = load(EXAMPLE)
    monkeypatch.setitem(sys.modules, "nice_launcher", example)
    example.main()
    of_slave = min(os.nice(0) + 7, 19)  # the tests themselves may be nice
    assert capsys.readouterr().out == f"niceness: {of_slave}\n"
