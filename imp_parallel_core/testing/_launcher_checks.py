"""Checks of what the core expects of a launcher."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from .._api.manager import Manager
from .._errors import NoMoreSlavesError
from .._fleet.record import SlaveRecord
from .._plugins.slaves import Slave

_GONE_S = 10.0
_MORE_THAN_FITS_BYTES = 4 << 20  # … into a socket's buffer

MakeSlave = Callable[[], Slave]


def check_launcher(
    make_slave: MakeSlave, *, output_folder: Path, plugins: Iterable[Any] = ()
) -> None:
    """Run all checks.

    Args:
        make_slave: returns a new description, as a user would give it to ``add_slave``; of one
            slave or an array.
        output_folder: an empty folder that master and slaves can write to.
        plugins: the plugin, if it isn't installed.

    Raises AssertionError for the first thing that is not as it should be.
    """
    for check in _CHECKS:
        folder = output_folder / check.__name__
        folder.mkdir()
        check(make_slave, output_folder=folder, plugins=plugins)


def _manager(output_folder: Path, plugins: Iterable[Any]) -> Manager:
    return Manager(output=str(output_folder / "slave%d.output"), plugins=plugins)


def check_results_come(
    make_slave: MakeSlave, *, output_folder: Path, plugins: Iterable[Any] = ()
) -> None:
    """Tasks are run by the slaves, with the values of the set-up."""
    with _manager(output_folder, plugins) as manager:
        manager.add_slave(make_slave())
        context = manager.get_context(lambda: 1000)
        for number in range(20):
            context.add_task(lambda thousand, number=number: thousand + number)
        results = sorted(context.get_results_unordered())
    assert results == list(range(1000, 1020)), f"the results are {results}"


def check_the_slave_has_the_masters_folder_and_path(
    make_slave: MakeSlave, *, output_folder: Path, plugins: Iterable[Any] = ()
) -> None:
    """A slave works in the master's working directory, and imports from its ``sys.path``."""
    with _manager(output_folder, plugins) as manager:
        manager.add_slave(make_slave())
        context = manager.get_context()
        context.add_task(lambda: (os.getcwd(), list(sys.path)))
        ((folder, path),) = context.get_results_unordered()
    assert folder == str(Path.cwd()), f"the slave works in {folder}, not in {Path.cwd()}"
    missing = [entry for entry in sys.path if entry and entry not in path]
    assert not missing, f"the slave's sys.path lacks {missing}"


def check_what_kills_a_slave_loses_nothing(
    make_slave: MakeSlave, *, output_folder: Path, plugins: Iterable[Any] = ()
) -> None:
    """A slave that is killed with ``kill -9`` loses no task, if another can go on."""
    mark = output_folder / "killed"

    def kill_the_slave_once() -> str:
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return "ran again"
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
        return "not killed"

    with _manager(output_folder, plugins) as manager:
        for _ in range(2):
            manager.add_slave(make_slave())
        context = manager.get_context()
        context.add_task(kill_the_slave_once)
        for number in range(5):
            context.add_task(lambda number=number: number)
        results = list(context.get_results_unordered())
    assert "ran again" in results, f"the task of the killed slave did not run again: {results}"
    assert len(results) == 6, f"of 6 results {len(results)} came: {results}"


def check_what_the_slave_says_is_found(
    make_slave: MakeSlave, *, output_folder: Path, plugins: Iterable[Any] = ()
) -> None:
    """A slave whose Python fails is an error that quotes what it said, and its exit code."""
    manager = Manager(
        python="echo my last $((40 + 2)) words; exit 43;",
        output=str(output_folder / "slave%d.output"),
        plugins=plugins,
    )
    with manager:
        manager.add_slave(make_slave())
        context = manager.get_context()
        context.add_task(os.getpid)
        try:
            list(context.get_results_unordered())
        except NoMoreSlavesError as error:
            text = str(error)
        else:
            raise AssertionError("a Python that exits at once gave results")
    assert "my last 42 words" in text, f"log_tail() was not quoted: {text}"
    assert "43" in text, f"the exit code is missing: {text}"


def check_a_slave_that_reads_nothing_is_explained(
    make_slave: MakeSlave, *, output_folder: Path, plugins: Iterable[Any] = ()
) -> None:
    """A slave that ends before it has read its bootstrap document is an error that says how."""
    argv = getattr(sys, "argv", [])
    sys.argv = ["x" * _MORE_THAN_FITS_BYTES]  # which a document holds
    try:
        check_what_the_slave_says_is_found(make_slave, output_folder=output_folder, plugins=plugins)
    finally:
        sys.argv = argv


class _AddsToTheEnvironment(Manager):
    """Its bootstraps have something to add to the environment."""

    def _new_record(self, *arguments: Any) -> SlaveRecord:
        record = super()._new_record(*arguments)
        environment = {"IMP_PARALLEL_ADDED": "a 'quoted' $word"}
        record.bootstrap = record.bootstrap._replace(environment=environment)
        return record


def check_the_bootstraps_environment_is_added(
    make_slave: MakeSlave, *, output_folder: Path, plugins: Iterable[Any] = ()
) -> None:
    """A slave has what its bootstrap adds to its environment, and what there is besides."""
    output = str(output_folder / "slave%d.output")
    with _AddsToTheEnvironment(output=output, plugins=plugins) as manager:
        manager.add_slave(make_slave())
        context = manager.get_context()
        context.add_task(lambda: [os.environ.get(name) for name in ("IMP_PARALLEL_ADDED", "PATH")])
        ((added, path),) = context.get_results_unordered()
    assert added == "a 'quoted' $word", f"the bootstrap's environment is not added: {added}"
    assert path, "the slave has nothing but what its bootstrap adds to the environment"


def check_nothing_is_left(
    make_slave: MakeSlave, *, output_folder: Path, plugins: Iterable[Any] = ()
) -> None:
    """When the Manager has been closed in the middle of a task, no process of the slave is left."""
    pids = output_folder / "pids"

    def work() -> None:
        pids.write_text(f"{os.getpid()} {os.getppid()}")
        time.sleep(600)

    with _manager(output_folder, plugins) as manager:
        manager.add_slave(make_slave())
        context = manager.get_context()
        context.add_task(work)
        _wait_until(lambda: pids.exists() and len(pids.read_text().split()) == 2, 60.0)
    for pid in map(int, pids.read_text().split()):
        _wait_until(partial(_has_ended, pid), _GONE_S)
        assert _has_ended(pid), f"process {pid} is still there after close()"


def _wait_until(condition: Callable[[], bool], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def _has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False  # no /proc on this system
    return state in "ZX"


_CHECKS = (
    check_results_come,
    check_the_slave_has_the_masters_folder_and_path,
    check_what_kills_a_slave_loses_nothing,
    check_what_the_slave_says_is_found,
    check_a_slave_that_reads_nothing_is_explained,
    check_the_bootstraps_environment_is_added,
    check_nothing_is_left,
)
