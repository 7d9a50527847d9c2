"""The events of whole runs, a small one and a large one."""

from __future__ import annotations

from collections.abc import Iterable

from imp_parallel_core import (
    ContextDone,
    ContextOpened,
    Event,
    RunBegan,
    RunEnded,
    RunnerLost,
    SetupDone,
    SlaveChanged,
    TasksAdded,
    TasksDone,
    TasksReturned,
    TasksSent,
)

OWNED = "document.title='owned'"
HOSTILE = f'</script><script>{OWNED}</script><img src=x onerror="{OWNED}">'


def done(
    at: float,
    context: int,
    slave: str,
    tasks: Iterable[int],
    seconds: float,
    outcome: str = "value",
    error: str = "",
) -> TasksDone:
    """Return the event of tasks that took so long each."""
    numbers = list(tasks)
    count = len(numbers)
    columns = (numbers, [1] * count, [seconds] * count, [2048] * count, [0] * count)
    return TasksDone(at, context, slave, outcome, error, *columns)


def sent(at: float, context: int, slave: str, tasks: Iterable[int]) -> TasksSent:
    """Return the event of tasks that are sent."""
    numbers = list(tasks)
    return TasksSent(at, context, slave, numbers, [1] * len(numbers))


def small_run(name: str = "scoring", error: str = "ValueError: no distance") -> list[Event]:
    """Return the events of a run of 100 s with all that can happen."""
    return [
        RunBegan(1000.0, 1.7e9),
        SlaveChanged(1000.0, "slave 0", "launching"),
        SlaveChanged(1000.0, "slave 1", "queued", "Resources"),
        SlaveChanged(1005.0, "slave 0", "connected", "", "anna"),
        SlaveChanged(1005.0, "slave 0", "idle", "", "anna"),
        ContextOpened(1010.0, 1, name),
        TasksAdded(1010.0, 1, 4, 4),
        SlaveChanged(1010.0, "slave 0", "setting up", "", "anna", 1),
        SetupDone(1015.0, 1, "slave 0", 1010.0, 5.0),
        SlaveChanged(1015.0, "slave 0", "working", "", "anna", 1),
        sent(1015.0, 1, "slave 0", [0, 1]),
        SlaveChanged(1020.0, "slave 1", "idle", "", "bert"),
        SlaveChanged(1020.0, "slave 1", "setting up", "", "bert", 1),
        SetupDone(1022.0, 1, "slave 1", 1020.0, 2.0, "ImportError: no module"),
        SlaveChanged(1022.0, "slave 1", "idle", "", "bert"),
        done(1025.0, 1, "slave 0", [0], 10.0),
        done(1035.0, 1, "slave 0", [1], 10.0, "raised", error),
        sent(1035.0, 1, "slave 0", [2, 3]),
        RunnerLost(1045.0, "slave 0", "killed by SIGSEGV", 1, 2, 1, 1035.0, True),
        TasksReturned(1045.0, 1, "slave 0", [2, 3]),
        done(1045.0, 1, "slave 0", [2], 0.0, "lost", "killed by SIGSEGV"),
        sent(1046.0, 1, "slave 0", [3]),
        done(1060.0, 1, "slave 0", [3], 14.0),
        SlaveChanged(1060.0, "slave 0", "idle", "", "anna"),
        TasksAdded(1070.0, 1, 1, 5),
        sent(1070.0, 1, "slave 0", [4]),
        SlaveChanged(1070.0, "slave 0", "working", "", "anna", 1),
        SlaveChanged(1072.0, "slave 1", "gone", "its host was switched off"),
        done(1080.0, 1, "slave 0", [4], 10.0),
        SlaveChanged(1080.0, "slave 0", "idle", "", "anna"),
        ContextDone(1090.0, 1),
        RunEnded(1100.0),
    ]


def large_run(slaves: int, batches: int, size: int) -> Iterable[Event]:
    """Yield the events of a run of many short tasks."""
    yield RunBegan(0.0, 1.7e9)
    yield ContextOpened(0.0, 1, "many")
    yield TasksAdded(0.0, 1, slaves * batches * size, slaves * batches * size)
    for slave in range(slaves):
        yield SlaveChanged(0.0, f"slave {slave}", "working", "", "anna", 1)
    number = 0
    for batch in range(batches):
        for slave in range(slaves):
            tasks = range(number, number + size)
            number += size
            yield sent(float(batch), 1, f"slave {slave}", tasks)
            is_bad = (batch + slave) % 97 == 0
            outcome = ("raised", f"ValueError: {number}") if is_bad else ("value", "")
            yield done(batch + 1.0, 1, f"slave {slave}", tasks, 0.9 / size, *outcome)
    yield RunEnded(batches + 1.0)
