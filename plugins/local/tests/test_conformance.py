"""The local launcher, the example of one and one made by hand do what the core expects of one."""

from __future__ import annotations

import gc
import importlib.util
import sys
from collections.abc import Callable, Sequence
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


CHECKS = [getattr(testing, name) for name in testing.__all__ if name != "check_launcher"]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_local_launcher_conforms(
    processes: Processes, tmp_path: Path, check: Callable[..., None]
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


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_launcher_that_starts_several_processes_for_one_array_conforms(
    processes: Processes, tmp_path: Path, check: Callable[..., None]
) -> None:
    check(lambda: NiceSlaves(3), output_folder=tmp_path, plugins=[NiceSlavesPlugin()])


def test_the_example_of_a_launcher_runs_as_it_says(
    processes: Processes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    example = load(EXAMPLE)
    monkeypatch.setitem(sys.modules, "nice_launcher", example)
    example.main()
    assert capsys.readouterr().out == "niceness: 7\n"


@pytest.mark.parametrize(
    ("right", "wrong", "check"),
    [
        (
            "        except OSError:\n            pass",
            "        finally:\n            pass",
            testing.check_a_slave_that_reads_nothing_is_explained,
        ),
        (
            "env=bootstrap.local_environment()",
            "env=os.environ",
            testing.check_the_bootstraps_environment_is_added,
        ),
        (
            "env=bootstrap.local_environment()",
            "env=bootstrap.environment",
            testing.check_the_bootstraps_environment_is_added,
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # it leaks, too
def test_the_kit_finds_a_launcher_that_is_wrong_in_one_thing(
    processes: Processes, tmp_path: Path, right: str, wrong: str, check: Callable[..., None]
) -> None:
    source = HANDMADE.read_text()
    assert right in source
    example = ModuleType("wrong_launcher")
    exec(source.replace(right, wrong), vars(example))
    with pytest.raises(AssertionError):
        check(example.NiceSlave, output_folder=tmp_path, plugins=[example])
    gc.collect()  # what it has leaked is this test's, and no other's


def test_the_kit_finds_a_launcher_that_leaves_its_slaves_behind(
    processes: Processes, tmp_path: Path
) -> None:
    example = load(HANDMADE)
    cancel = example.NiceLaunch.cancel
    left = []

    def forget(launch: object, grace_s: float) -> None:
        left.append(launch)

    example.NiceLaunch.cancel = forget
    example.NiceLaunch.log_tail = lambda launch, index: ""
    with pytest.raises(AssertionError, match="log_tail"):
        testing.check_what_the_slave_says_is_found(
            example.NiceSlave, output_folder=tmp_path, plugins=[example]
        )
    for launch in left:
        cancel(launch, 1.0)
