"""What slaves get: results come of each, and names and values arrive as they are."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from .._plugins.bootstrap import Bootstrap
from .._plugins.events import Event, TasksDone
from .._plugins.hookspecs import hookimpl
from ._check import wait_until
from ._launcher import Launcher

_HOSTILE = "a 'b' \"c\" $HOME `d` \\ ;&\n#\u00fc\u732b"  # no word of a name may mean anything
_OUTPUT_S = 20.0  # for output to come through all files on its way


def results_come(launcher: Launcher) -> None:
    """Tasks are run by the slaves, with the values of the set-up."""
    with launcher.manager() as manager:
        launcher.add_slaves(manager)
        context = manager.get_context(lambda: 1000)
        for number in range(20):
            context.add_task(lambda thousand, number=number: thousand + number)
        results = sorted(context.get_results_unordered())
    assert results == list(range(1000, 1020)), f"the results are {results}"


class _Places:
    """Notes on which slave each task was done."""

    def __init__(self) -> None:
        self.slave_of: dict[int, str] = {}
        self._changed = threading.Condition()

    @hookimpl
    def imp_parallel_observe(self, events: Sequence[Event]) -> None:
        with self._changed:
            self.slave_of.update(
                {task: e.slave for e in events if isinstance(e, TasksDone) for task in e.tasks}
            )
            self._changed.notify_all()

    def wait_for(self, count: int, limit_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: len(self.slave_of) >= count, limit_s)


def _meet(folder: Path, number: int, count: int) -> Callable[[], str]:
    """Return a task that waits until so many run at once, each on a slave of its own."""
    word = f"task{number}"

    def meet() -> str:
        import time

        (folder / word).touch()
        print(f"this is {word} of {count}", flush=True)
        deadline = time.monotonic() + 60.0
        while len(list(folder.glob("task*"))) < count and time.monotonic() < deadline:
            time.sleep(0.01)
        return word

    return meet


def each_slave_of_an_array_is_itself(launcher: Launcher) -> None:
    """All slaves of an array connect, each under its number, and write to their own files."""
    places = _Places()
    with launcher.manager(observers=[places]) as manager:
        count = launcher.add_slaves(manager, least=2)
        context = manager.get_context()
        for number in range(count):
            context.add_task(_meet(launcher.output_folder, number, count))
        list(context.get_results_unordered())
        assert places.wait_for(count, 60.0), "the observer did not hear of all tasks"
        outputs = {slave.name: Path(slave.output_path) for slave in manager.slaves}
    slaves = [places.slave_of[task] for task in sorted(places.slave_of)]
    assert len(set(slaves)) == count, f"of {count} slaves, only {sorted(set(slaves))} ran tasks"
    for number, slave in enumerate(slaves):
        said = f"this is task{number} of {count}"
        path = outputs[slave]
        assert wait_until(partial(_is_in, said, path), _OUTPUT_S), (
            f"{slave} ran a task, but what the task printed is not in {path}: the stream or the "
            "output of this slave is another one's"
        )


def _is_in(said: str, path: Path) -> bool:
    try:
        return said in path.read_text(errors="replace")
    except OSError:
        return False


@contextmanager
def _hostile_surroundings(launcher: Launcher, folder: Path) -> Iterator[None]:
    """Work in a folder, have it on ``sys.path``, and arguments that are as bad."""
    before, argv, path = Path.cwd(), getattr(sys, "argv", []), list(sys.path)
    try:
        os.chdir(folder)
        sys.argv = ["script", _HOSTILE, "", "--", "*"]
        sys.path.append(str(folder))
        yield
    finally:
        os.chdir(before)
        sys.argv = argv
        sys.path[:] = path


def folder_arguments_and_output_may_have_any_name(launcher: Launcher) -> None:
    """A slave has the master's folder, path and arguments, whatever characters are in them."""
    folder = launcher.output_folder / _HOSTILE
    (folder / "out").mkdir(parents=True)
    with _hostile_surroundings(launcher, folder):
        here = Path.cwd()
        expected = [entry for entry in sys.path if entry]
        with launcher.manager(output_folder=folder / "out") as manager:
            launcher.add_slaves(manager)
            context = manager.get_context()

            def look() -> tuple[str, list[str], list[str]]:
                print("this is a word", flush=True)
                return os.getcwd(), list(sys.path), list(sys.argv)

            context.add_task(look)
            ((where, path, argv),) = context.get_results_unordered()
        assert where == str(here), f"the slave works in {where!r}, not in {str(here)!r}"
        missing = [entry for entry in expected if entry not in path]
        assert not missing, f"the slave's sys.path lacks {missing}"
        assert argv == sys.argv, f"the slave's sys.argv is {argv}, not {sys.argv}"
    out = folder / "out"
    assert wait_until(
        lambda: any(_is_in("this is a word", path) for path in out.iterdir()), _OUTPUT_S
    ), f"what the task printed is in no output file in {out}: there is {list(out.iterdir())}"


def the_environment_of_the_bootstrap_is_added(launcher: Launcher) -> None:
    """A slave has what its bootstrap adds to its environment, and what there is besides."""
    value = "a 'quoted' $word\nand \u00fc"

    def add(bootstrap: Bootstrap) -> Bootstrap:
        environment = {**bootstrap.environment, "IMP_PARALLEL_ADDED": value}
        return bootstrap._replace(environment=environment)

    with launcher.manager(change=add) as manager:
        launcher.add_slaves(manager)
        context = manager.get_context()
        context.add_task(lambda: [os.environ.get(name) for name in ("IMP_PARALLEL_ADDED", "PATH")])
        ((added, path),) = context.get_results_unordered()
    assert added == value, f"the bootstrap's environment is not added: {added!r}, not {value!r}"
    assert path, "the slave has nothing but what its bootstrap adds to the environment"
