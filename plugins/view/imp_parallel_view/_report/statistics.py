"""The numbers of a report: where the time went, how long tasks took, what failed."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from heapq import nlargest
from typing import NamedTuple

from .._slaves import Doing
from .history import VALUE, Failure, History
from .idleness import Idleness, Reason

SLOWEST = 20
CAUSES = 50
EXAMPLES = 5
BINS_PER_DECADE = 10
_SHORTEST_S = 1e-6
_NUMBERS = re.compile(r"\d+")


class Bin(NamedTuple):
    """A bin of the histogram: durations from ``begin_s`` to ``end_s``."""

    begin_s: float
    end_s: float
    done: int
    failed: int


class Durations(NamedTuple):
    """How long tasks took; those that did not run to an end are left out."""

    tasks: int
    total_s: float
    median_s: float
    p90_s: float
    longest_s: float
    bins: list[Bin]


class Cause(NamedTuple):
    """A way in which something failed."""

    what: str
    cause: str
    times: int
    context: str
    examples: list[str]
    slaves: int


class SlaveTimes(NamedTuple):
    """Where the time of one slave went, in seconds."""

    name: str
    host: str
    tasks: int
    deaths: int
    by_doing: dict[Doing, float]
    by_reason: dict[Reason, float]
    last: str


def durations(history: History) -> Durations | None:
    """Return how long tasks took; None if none has run."""
    tasks = history.tasks
    ran = [row for row, seconds in enumerate(tasks.duration) if seconds > 0.0]
    if not ran:
        return None
    in_order = sorted(tasks.duration[row] for row in ran)
    done: Counter[int] = Counter()
    failed: Counter[int] = Counter()
    for row in ran:
        place = _bin(tasks.duration[row])
        (done if tasks.outcome[row] == VALUE else failed)[place] += 1
    first, last = _bin(in_order[0]), _bin(in_order[-1])
    bins = [
        Bin(_edge(place), _edge(place + 1), done[place], failed[place])
        for place in range(first, last + 1)
    ]
    count = len(in_order)
    median, p90 = in_order[count // 2], in_order[min(count * 9 // 10, count - 1)]
    return Durations(count, math.fsum(in_order), median, p90, in_order[-1], bins)


def _bin(seconds: float) -> int:
    return math.floor(math.log10(max(seconds, _SHORTEST_S)) * BINS_PER_DECADE)


def _edge(place: int) -> float:
    return float(10.0 ** (place / BINS_PER_DECADE))


def slowest(history: History) -> list[int]:
    """Return the rows of the tasks that took longest."""
    column = history.tasks.duration
    return [row for row in nlargest(SLOWEST, range(len(column)), column.__getitem__) if column[row]]


def causes(history: History) -> tuple[list[Cause], int]:
    """Return the ways in which something failed, most frequent first, and how many are left out.

    Causes that differ in numbers alone are one; the first of them is told.
    """
    alike: dict[tuple[str, str, int], list[Failure]] = defaultdict(list)
    for failure in history.failures:
        text = _NUMBERS.sub("0", failure.cause)
        alike[failure.what, text, failure.context].append(failure)
    found = []
    for (what, _, context), failures in alike.items():
        cause = failures[0].cause
        numbers = dict.fromkeys(number for each in failures for number in each.tasks[:EXAMPLES])
        slaves = {each.slave for each in failures if each.slave}
        shown = list(map(str, numbers)) or sorted(slaves)
        count = sum(len(each.tasks) for each in failures) if what == "task" else len(failures)
        name = history.model.contexts[context].name if context in history.model.contexts else ""
        found.append(Cause(what, cause, count, name, shown[:EXAMPLES], len(slaves)))
    found.sort(key=lambda each: -each.times)
    return found[:CAUSES], len(found[CAUSES:])


def slave_times(history: History) -> list[SlaveTimes]:
    """Return where the time of each slave went."""
    idleness = Idleness(history)
    times = []
    for name, slave in history.model.slaves.items():
        by_doing: dict[Doing, float] = defaultdict(float)
        by_reason: dict[Reason, float] = defaultdict(float)
        for span in history.spans.get(name, ()):
            by_doing[span.doing] += span.end - span.begin
            for reason, begin, end in idleness.reasons(name, span):
                by_reason[reason] += end - begin
        last = f"{slave.doing.value}: {slave.detail}" if slave.detail else slave.doing.value
        deaths = slave.runners_lost
        times.append(
            SlaveTimes(name, slave.host, slave.tasks_done, deaths, by_doing, by_reason, last)
        )
    return times
