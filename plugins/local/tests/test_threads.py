"""A slave is a core: the libraries in its tasks start one thread, unless the user wants others."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from imp_parallel_local import LocalSlave, LocalSlaves

from imp_parallel_core import Bootstrap, Manager, Slave, hookimpl, start_processes
from tests.support.harness import Processes
from tests.support.waiting import wait_until

VARIABLES = {
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
    "JULIA_NUM_THREADS",
}


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def found_in_tasks(manager: Manager) -> dict[str, str]:
    """Return those of the variables that a task finds."""
    context = manager.get_context()
    context.add_task(lambda: {name: os.environ[name] for name in VARIABLES if name in os.environ})
    (found,) = context.get_results()
    return dict(found)


def with_all(threads: int) -> dict[str, str]:
    return dict.fromkeys(VARIABLES, str(threads))


def test_a_slave_has_one_thread_by_default_and_so_have_its_later_runners(
    processes: Processes, one_slave: Manager
) -> None:
    assert found_in_tasks(one_slave) == with_all(1)
    before = one_slave.slaves[0].runner_pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    wait_until(lambda: one_slave.slaves[0].runner_pid not in (None, before))
    assert found_in_tasks(one_slave) == with_all(1)


def test_a_slave_has_as_many_threads_as_its_description_says(
    processes: Processes, manager: Manager
) -> None:
    manager.add_slave(LocalSlave(threads=3))
    assert found_in_tasks(manager) == with_all(3)


def test_threads_none_leaves_all_variables_alone(processes: Processes, manager: Manager) -> None:
    manager.add_slave(LocalSlave(threads=None))
    assert found_in_tasks(manager) == {}


def test_what_the_user_has_set_for_threads_wins(
    processes: Processes, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    monkeypatch.setenv("MKL_NUM_THREADS", "")
    manager.add_slave(LocalSlave(environment={"NUMBA_NUM_THREADS": "5"}))
    expected = {"OMP_NUM_THREADS": "4,2", "MKL_NUM_THREADS": "", "NUMBA_NUM_THREADS": "5"}
    assert found_in_tasks(manager) == {**with_all(1), **expected}
    assert "OMP_NUM_THREADS" in os.environ
    assert "NUMBA_NUM_THREADS" not in os.environ


def test_numpy_starts_no_threads_in_a_task_by_default(
    processes: Processes, one_slave: Manager
) -> None:
    def multiply() -> int:
        import numpy

        ones = numpy.ones((500, 500))
        assert (ones @ ones)[0, 0] == 500
        return len(list(Path("/proc/self/task").iterdir()))

    context = one_slave.get_context()
    context.add_task(multiply)
    assert list(context.get_results()) == [1]


class Elsewhere(Slave):
    """A slave that inherits nothing of the master's environment, as if on another machine."""

    def __init__(self, **there: str) -> None:
        self.there = there


class ElsewhereLauncher:
    """Starts a slave with what it has there."""

    @hookimpl
    def imp_parallel_launch(self, slaves: Slave, bootstraps: Any, accept: Any) -> Any:
        if not isinstance(slaves, Elsewhere):
            return None
        there = [f"{name}={value}" for name, value in slaves.there.items()]
        path = f"PATH={os.environ['PATH']}"
        return start_processes(
            bootstraps,
            accept,
            lambda argv, bootstrap: ["env", "-i", path, *there, *argv],
        )


class GrantedSlave(Elsewhere):
    """A slave in the job of a batch system."""

    threads = "NSLOTS"


class Misnamed(Elsewhere):
    """A slave whose class names no variable that can be."""

    threads = "$(ls)"


@pytest.fixture
def launches_elsewhere(processes: Processes) -> Any:
    """Yield a Manager that launches slaves of strangers' classes."""
    with Manager(plugins=[ElsewhereLauncher()]) as manager:
        yield manager


def test_slaves_of_a_strangers_launcher_have_one_thread(launches_elsewhere: Manager) -> None:
    launches_elsewhere.add_slave(Elsewhere())
    assert found_in_tasks(launches_elsewhere) == with_all(1)


def test_what_the_user_has_set_on_the_slaves_machine_comes_before_what_the_master_has(
    launches_elsewhere: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")
    launches_elsewhere.add_slave(Elsewhere(OMP_NUM_THREADS="8"))
    expected = {"OMP_NUM_THREADS": "8", "NUMBA_NUM_THREADS": "2"}
    assert found_in_tasks(launches_elsewhere) == {**with_all(1), **expected}


@pytest.mark.parametrize(("granted", "threads"), [("6", 6), ("undefined", 1), ("0", 1)])
def test_a_slave_has_as_many_threads_as_its_batch_system_has_granted(
    launches_elsewhere: Manager, granted: str, threads: int
) -> None:
    launches_elsewhere.add_slave(GrantedSlave(NSLOTS=granted))
    assert found_in_tasks(launches_elsewhere) == with_all(threads)


def test_a_slave_without_a_grant_has_one_thread(launches_elsewhere: Manager) -> None:
    launches_elsewhere.add_slave(GrantedSlave())
    assert found_in_tasks(launches_elsewhere) == with_all(1)


def test_an_environment_that_is_given_reaches_tasks_of_all_runners(
    processes: Processes, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    given = {"CUDA_VISIBLE_DEVICES": "1", "WORDS": "a 'quoted' $word\nand a line", "EMPTY": ""}
    slave = LocalSlave(environment=given)
    manager.add_slave(slave)
    given["CUDA_VISIBLE_DEVICES"] = slave.environment["CUDA_VISIBLE_DEVICES"] = "2"  # type: ignore[index]  # it is a dict
    context = manager.get_context(max_attempts=1)
    for task in (
        lambda: dict(os.environ),
        lambda: os.kill(os.getpid(), 9),
        lambda: dict(os.environ),
    ):
        context.add_task(task)
    first, _, later = context.get_results(on_error="return")
    for found in (first, later):
        assert found["CUDA_VISIBLE_DEVICES"] == "1"
        assert found["WORDS"] == "a 'quoted' $word\nand a line"
        assert found["EMPTY"] == ""


class Number:
    """A whole number of another library's."""

    def __index__(self) -> int:
        return 3


@pytest.mark.parametrize("slave", [LocalSlave(threads=Number()), LocalSlaves(1, threads=Number())])  # type: ignore[arg-type]  # as numpy's
def test_a_whole_number_of_another_library_will_do(manager: Manager, slave: Slave) -> None:
    manager.add_slave(slave)
    assert found_in_tasks(manager) == with_all(3)


@pytest.mark.parametrize(
    ("slave", "error", "words"),
    [
        (LocalSlave(threads=0), ValueError, "LocalSlave(threads=0): threads=0: it must be"),
        (LocalSlave(threads=True), TypeError, "threads=True"),
        (LocalSlave(threads=1.5), TypeError, "threads=1.5"),  # type: ignore[arg-type]  # as a user may
        (LocalSlave(threads="$(ls)"), TypeError, "threads='$(ls)'"),  # type: ignore[arg-type]  # likewise
        (LocalSlave(threads="NSLOTS"), TypeError, "at least 1, or None, which leaves"),  # type: ignore[arg-type]  # likewise
        (LocalSlaves(threads="4"), TypeError, "threads='4': it must be a number"),  # type: ignore[arg-type]  # likewise
        (LocalSlaves(threads=-1), ValueError, "threads=-1"),
        (LocalSlaves(2, threads=[2]), TypeError, "threads=[2]"),  # type: ignore[arg-type]  # likewise
        (Misnamed(), TypeError, "threads='$(ls)'"),
        (LocalSlave(environment={"A B": "1"}), ValueError, "'A B'"),
        (LocalSlave(environment={"": "1"}), ValueError, "no shell can set a variable ''"),
        (LocalSlave(environment={"A": "\0"}), ValueError, "the value of A"),
        (LocalSlave(environment={"A": "\ud800"}), ValueError, "the value of A"),
        (LocalSlave(environment={"A": 1}), TypeError, "environment={'A': 1}"),  # type: ignore[dict-item]  # likewise
    ],
    ids=repr,
)
def test_what_no_slave_can_have_is_told_at_once(
    manager: Manager, slave: Slave, error: type[Exception], words: str
) -> None:
    with pytest.raises(error) as caught:
        manager.add_slave(slave)
    assert words in str(caught.value)
    assert manager.slaves == []


def test_no_command_line_shows_more_of_the_masters_environment_than_variables_for_threads() -> None:
    environment = {"TOKEN": "hidden treasure", "OMP_NUM_THREADS": "7"}
    bootstrap = Bootstrap(
        0, sys.executable, "/", None, [], masters_environment=MappingProxyType(environment)
    )
    text = " ".join(bootstrap.command("stdin"))
    assert "'OMP_NUM_THREADS': '7'" in text
    assert "treasure" not in text
    assert Path(sys.executable).name in text
