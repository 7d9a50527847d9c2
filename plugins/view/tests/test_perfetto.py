"""The trace for Perfetto: each slice is shown, and each attempt has one."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from imp_parallel_view._report.history import History
from imp_parallel_view._report.perfetto import trace
from imp_parallel_view._report.rows import between, microseconds, one_by_one
from view_events import any_event
from view_runs import HOSTILE, small_run

from imp_parallel_core import Event, RunBegan, SetupDone, SlaveChanged, TasksDone

NS = st.integers(0, 10_000) | st.integers(0, 1 << 50)
PIECES = st.lists(st.tuples(NS, NS).map(lambda times: (min(times), max(times))))


def trace_of(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Return the events of the trace of a run."""
    made: list[dict[str, Any]] = json.loads("".join(trace(History(events))))["traceEvents"]
    return made


def left_out(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the slices that a viewer leaves out: those that end after one that they began in."""
    rows = defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            begin, length = int(event["ts"] * 1000.0), int(event["dur"] * 1000.0)
            rows[event["tid"]].append((begin, -length, event))
    missing = []
    for row in rows.values():
        open_ones: list[int] = []
        for begin, minus_length, event in sorted(row, key=lambda each: each[:2]):
            while open_ones and open_ones[-1] <= begin:
                open_ones.pop()
            if any(end < begin - minus_length for end in open_ones):
                missing.append(event)
            else:
                open_ones.append(begin - minus_length)
    return missing


def test_a_trace_is_json_with_a_slice_for_each_task() -> None:
    events = trace_of(small_run(HOSTILE))
    tasks = [event for event in events if event.get("cat") == "task"]
    assert [(event["ts"], event["dur"], event["args"]["task"]) for event in tasks] == [
        (15e6, 10e6, 0),
        (25e6, 10e6, 1),
        (46e6, 14e6, 3),
        (70e6, 10e6, 4),
    ]
    names = [event["args"]["name"] for event in events if event["name"] == "thread_name"]
    assert names == ["slave 0 (anna)", "slave 1 (bert)"]
    assert {event["ph"] for event in events} == {"M", "X", "i"}
    assert {"ts", "pid", "tid", "name"} <= set(tasks[0])


def test_an_attempt_that_ended_its_process_has_a_slice_with_the_cause() -> None:
    events = trace_of(small_run(HOSTILE))
    (attempt,) = [event for event in events if event.get("cat") == "attempt"]
    assert (attempt["ts"], attempt["dur"], attempt["tid"]) == (35e6, 10e6, 1)
    assert attempt["args"] == {"task": 2, "attempt": 1, "cause": "killed by SIGSEGV"}
    lost = [event["args"]["cause"] for event in events if event["name"] == "slave lost"]
    assert lost == ["its host was switched off"]


def test_tasks_that_seem_to_overlap_are_all_shown() -> None:
    count = 50
    began = [0.1 + number * 0.01 for number in range(count)]
    took = [0.0101 + number % 3 * 1e-7 for number in range(count)]
    zeros, ones = [0] * count, [1] * count
    columns = (list(range(count)), ones, took, zeros, zeros)
    events: list[Event] = [
        RunBegan(0.0, 1.7e9),
        SlaveChanged(0.0, "slave 0", "idle", "", "anna"),
        SetupDone(0.1, 1, "slave 0", 0.05, 0.0512345),
        SlaveChanged(0.10004, "slave 0", "working", "", "anna", 1),
        SlaveChanged(0.3, "slave 0", "paused", "", "anna", 1),
        SlaveChanged(0.305, "slave 0", "working", "", "anna", 1),
        *[
            TasksDone(begin + seconds, 1, "slave 0", "value", "", *columns_of(columns, number))
            for number, (begin, seconds) in enumerate(zip(began, took, strict=True))
        ],
    ]
    made = trace_of(events)
    tasks = [event for event in made if event.get("cat") == "task"]
    assert [event["args"]["task"] for event in tasks] == list(range(count))
    assert {event["name"] for event in made if event.get("cat") == "state"} == {"idle", "paused"}
    assert left_out(made) == []


def columns_of(columns: Sequence[Sequence[Any]], row: int) -> Any:
    """Return the columns of one task."""
    return [[column[row]] for column in columns]


@given(PIECES, PIECES, st.booleans())
@example([(0, 2)], [(1, 1)], True)
def test_no_piece_overlaps_another(
    work: list[tuple[int, int]], states: list[tuple[int, int]], also_within: bool
) -> None:
    placed = one_by_one((begin, end, index) for index, (begin, end) in enumerate(work))
    assert sorted(index for _, _, index in placed) == list(range(len(work)))
    times = [(begin, end) for begin, end, _ in placed]
    assert all(begin < end for begin, end in times)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(times))
    begins, ends = [begin for begin, _ in times], [end for _, end in times]
    for state in states:
        for piece in between(*state, begins, ends, also_within):
            assert state[0] <= piece[0] < piece[1] <= state[1]
            for begin, end in times:
                is_within = also_within and begin <= piece[0] and piece[1] <= end
                assert is_within or piece[1] <= begin or end <= piece[0]


@given(NS)
def test_a_time_becomes_the_same_nanoseconds_again(nanoseconds: int) -> None:
    shown = json.loads(json.dumps(microseconds(nanoseconds)))
    assert int(shown * 1000.0) == round(shown * 1000.0) == nanoseconds


@given(st.lists(any_event(), max_size=40))
def test_a_record_that_somebody_has_changed_gives_a_trace_all_the_same(events: list[Event]) -> None:
    assert trace_of(events)
