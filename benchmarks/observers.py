"""What observers cost a run of many tiny tasks: a counting one, the progress bar, the record.

Run it with ``python benchmarks/observers.py [--rounds 12]`` on a machine that has nothing else to
do. Each round runs 50,000 no-op tasks on two local slaves with each kind of observer and without,
in an order that changes from round to round. The progress bar is drawn on a terminal, which is a
pseudo-terminal here. Printed are medians, and for each observer the median of its ratios to the run
without one in the same round: of the whole run, from making the Manager to its end, and of the
tasks alone, which slaves that are there already take. What comes from ``imp_parallel_view`` is left
out if that is not installed.

A single ratio says little, since the same run takes up to a quarter more from one time to the next:
``--only "bar and record" --rounds 60`` measures one kind often.
"""

from __future__ import annotations

import argparse
import os
import pty
import statistics
import subprocess
import tempfile
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from imp_parallel_local import LocalSlave
from tasks import Noop

from imp_parallel_core import Event, Manager, TasksDone, hookimpl

_TASKS = 50_000
_WARM_UP = 300
_PAUSE_S = 0.2
_NONE = "none"


class Counting:
    """Counts the tasks that have ended."""

    def __init__(self) -> None:
        self.done = 0

    @hookimpl
    def imp_parallel_observe(self, events: Sequence[Event]) -> None:
        """Count."""
        self.done += sum([len(event) for event in events if isinstance(event, TasksDone)])


@contextmanager
def a_terminal() -> Iterator[TextIO]:
    """Return a terminal of 100 columns, whose other end is read by a process of its own."""
    reads, draws = pty.openpty()
    termios.tcsetwinsize(draws, (40, 100))
    with os.fdopen(draws, "w") as terminal:
        reader = subprocess.Popen(["cat"], stdin=reads, stdout=subprocess.DEVNULL)
        try:
            yield terminal
        finally:
            reader.kill()
            reader.wait()
            os.close(reads)


def kinds_of_observers(folder: Path, terminal: TextIO) -> dict[str, Callable[[], list[Any]]]:
    """Return what makes the plugins of a run, by the name of the kind."""
    kinds: dict[str, Callable[[], list[Any]]] = {
        _NONE: list,
        "counting": lambda: [Counting()],
    }
    try:
        import imp_parallel_view as view
    except ImportError:
        print("imp_parallel_view is not installed: its observers are left out")
    else:
        record, compressed = folder / "run.jsonl", folder / "run.jsonl.gz"
        kinds["bar"] = lambda: [view.ProgressBar(terminal)]
        kinds["record"] = lambda: [view.Record(record)]
        kinds["compressed record"] = lambda: [view.Record(compressed)]
        kinds["bar and record"] = lambda: [view.ProgressBar(terminal), view.Record(record)]
    return kinds


class Taken(NamedTuple):
    """What a run took, in seconds."""

    run: float
    """From making the Manager to its end."""
    tasks: float
    """From the first task to the last result."""
    processor: float
    """How much time of processors the script's process had for the tasks."""


def run_once(plugins: list[Any]) -> Taken:
    """Return what a run with these observers takes."""
    made_at = time.perf_counter()
    with Manager(output=None, plugins=plugins) as manager:
        for _ in range(2):
            manager.add_slave(LocalSlave())
        context = manager.get_context()
        for number in range(_WARM_UP):
            context.add_task(Noop(number))
        list(context.get_results_unordered())
        begun_at, begun_with = time.perf_counter(), time.process_time()
        for number in range(_TASKS):
            context.add_task(Noop(number))
        count = sum(1 for _ in context.get_results_unordered())
        taken_s, used_s = time.perf_counter() - begun_at, time.process_time() - begun_with
    if count != _TASKS:
        raise SystemExit(f"{count} results of {_TASKS}")
    return Taken(time.perf_counter() - made_at, taken_s, used_s)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=12, help="how many rounds")
    parser.add_argument("--only", nargs="+", metavar="KIND", help="which observers; all by default")
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)  # for the slaves
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kinds = kinds_of_observers(folder, stack.enter_context(a_terminal()))
        if arguments.only:
            if unknown := set(arguments.only) - set(kinds):
                parser.error(
                    f"no such observers: {', '.join(unknown)}; there are {', '.join(kinds)}"
                )
            kinds = {name: kinds[name] for name in (_NONE, *arguments.only)}
        results: dict[str, list[Taken]] = {name: [] for name in kinds}
        for number in range(arguments.rounds):
            names = list(kinds)
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                results[name].append(run_once(kinds[name]()))
                time.sleep(_PAUSE_S)
    plain = results[_NONE]
    heads = "".join(f"{part + ' (s)':>15}{'ratio':>8}{'range':>12}" for part in Taken._fields)
    print(f"{'observers':20}{heads}")
    for name, taken in results.items():
        words = ""
        for part in range(len(Taken._fields)):
            ratios = [one[part] / base[part] for one, base in zip(taken, plain, strict=True)]
            seconds = statistics.median([one[part] for one in taken])
            spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
            words += f"{seconds:15.3f}{statistics.median(ratios):8.3f}{spread:>12}"
        print(f"{name:20}{words}")


if __name__ == "__main__":
    main()
