"""What observers cost a run of many tiny tasks: a counting one, the progress bar, the record.

Run it with ``python benchmarks/observers.py [--rounds 12]`` on a machine that has nothing else to
do. Each round runs 50,000 no-op tasks on two local slaves with each kind of observer and without,
in an order that changes from round to round. Printed are medians, and for each observer the median
of its ratios to the run without one in the same round. What comes from ``imp_parallel_view`` is
left out if that is not installed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from imp_parallel_local import LocalSlave
from tasks import Noop

from imp_parallel_core import Event, Manager, TasksDone, hookimpl

_TASKS = 50_000
_WARM_UP = 300
_PAUSE_S = 0.2


class Counting:
    """Counts the tasks that have ended."""

    def __init__(self) -> None:
        self.done = 0

    @hookimpl
    def imp_parallel_observe(self, events: Sequence[Event]) -> None:
        """Count."""
        self.done += sum([len(event) for event in events if isinstance(event, TasksDone)])


def kinds_of_observers(folder: Path) -> dict[str, Callable[[], list[Any]]]:
    """Return what makes the plugins of a run, by the name of the kind."""
    kinds: dict[str, Callable[[], list[Any]]] = {
        "no observer": list,
        "a counting observer": lambda: [Counting()],
    }
    try:
        import imp_parallel_view as view
    except ImportError:
        print("imp_parallel_view is not installed: its observers are left out")
    else:
        record = folder / "run.jsonl"
        kinds["the progress bar"] = lambda: [view.ProgressBar()]
        kinds["the record"] = lambda: [view.Record(record)]
        kinds["the record, compressed"] = lambda: [view.Record(folder / "run.jsonl.gz")]
        kinds["the progress bar and the record"] = lambda: [view.ProgressBar(), view.Record(record)]
    return kinds


def run_s(plugins: list[Any]) -> tuple[float, float]:
    """Return how long the tasks take, and how much time of processors the script's process has."""
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
    return taken_s, used_s


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=12, help="how many rounds")
    rounds = parser.parse_args().rounds
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)  # for the slaves
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kinds = kinds_of_observers(folder)
        results: dict[str, list[tuple[float, float]]] = {name: [] for name in kinds}
        for number in range(rounds):
            names = list(kinds)
            turn = number % len(names)
            for name in names[turn:] + names[:turn]:
                results[name].append(run_s(kinds[name]()))
                time.sleep(_PAUSE_S)
    plain = results["no observer"]
    print(f"{'':34}{'s':>8}{'ratio':>8}{'range':>15}{'CPU s of the master':>22}{'ratio':>8}")
    for name, taken in results.items():
        ratios = [one[0] / base[0] for one, base in zip(taken, plain, strict=True)]
        used = [one[1] / base[1] for one, base in zip(taken, plain, strict=True)]
        seconds, cpu = (statistics.median([one[at] for one in taken]) for at in (0, 1))
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        print(
            f"{name:34}{seconds:8.3f}{statistics.median(ratios):8.3f}{spread:>15}"
            f"{cpu:22.3f}{statistics.median(used):8.3f}"
        )


if __name__ == "__main__":
    main()
