"""What the page of a run says in words and numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from imp_parallel_view._report.charts import WIDTH, histogram
from imp_parallel_view._report.history import History
from imp_parallel_view._report.page import page
from imp_parallel_view._report.statistics import Bin
from test_report import command, write_record
from view_runs import done, small_run

from imp_parallel_core import (
    ContextDone,
    ContextOpened,
    Event,
    RunBegan,
    RunEnded,
    SlaveChanged,
    TasksAdded,
    TasksForgotten,
)


def tiles(events: list[Event]) -> dict[str, tuple[str, str]]:
    """Return the value and the small words of each tile, by its title."""
    found = re.findall(
        r'<div class="tile[^"]*"><span>(.*?)</span><b>(.*?)</b><small>(.*?)</small></div>',
        page(History(events), {}),
    )
    return {title: (value, words) for title, value, words in found}


def begun(name: str = "scoring") -> list[Event]:
    """Return the events of the beginning of a run of a hundred tasks."""
    return [
        RunBegan(0.0, 1.7e9),
        SlaveChanged(0.0, "slave 0", "working", "", "anna", 1),
        ContextOpened(0.0, 1, name),
        TasksAdded(0.0, 1, 100, 100),
    ]


@pytest.mark.parametrize("forgotten", [97, 60, 0])
def test_tasks_that_were_dropped_and_those_that_never_ran_have_no_outcome(forgotten: int) -> None:
    shown = tiles(
        [
            *begun(),
            done(1.0, 1, "slave 0", range(2), 0.1),
            done(2.0, 1, "slave 0", [2], 0.1, "raised", "ValueError"),
            *([TasksForgotten(2.0, 1, forgotten)] if forgotten else []),
            ContextDone(3.0, 1),
            RunEnded(4.0),
        ]
    )
    assert shown["without an outcome"][0] == "97"
    assert shown["tasks done"] == ("2", "of 100")


def test_a_slave_that_was_lost_and_launched_again_was_not_lost_never() -> None:
    gone = SlaveChanged(1.0, "slave 0", "gone", "killed by signal 9")
    again = SlaveChanged(2.0, "slave 0", "idle", "", "anna")
    assert tiles([*begun(), RunEnded(9.0)])["slaves"] == ("1", "none lost")
    assert tiles([*begun(), gone, again, RunEnded(9.0)])["slaves"] == (
        "1",
        "1 loss, launched again",
    )
    assert tiles([*begun(), gone, RunEnded(9.0)])["slaves"] == ("1", "1 lost")
    assert tiles([*begun(), gone, again, gone])["slaves"] == ("1", "1 lost, 2 losses in all")


def test_a_record_without_an_end_is_not_said_to_have_one() -> None:
    assert tiles(begun())["took"][1] == "from the Manager to the end of the record"
    assert tiles([*begun(), RunEnded(9.0)])["took"][1] == "from the Manager to its end"


def test_no_slave_is_no_slave() -> None:
    assert "<span>0 slaves</span>" in page(History([RunBegan(0.0, 1.7e9), RunEnded(9.0)]), {})


def test_a_long_name_leaves_room_for_the_cause() -> None:
    made = page(History([*begun("x" * 100_000), RunEnded(9.0)]), {})
    assert "x" * 20 in made
    assert "x" * 200 not in made


@pytest.mark.parametrize("place", [0, 59])
def test_no_label_of_the_histogram_is_cut_off(place: int) -> None:
    bins = [Bin(10.0**at, 10.0 ** (at + 1), at == place and 1_000_000, 0) for at in range(60)]
    ((middle, label),) = re.findall(r'<text x="([\d.]+)" [^>]*>([\d,]+)</text>', histogram(bins))
    assert label == "1,000,000"
    assert 30 < float(middle) < WIDTH - 30


def test_a_page_and_a_trace_can_go_to_the_standard_output(tmp_path: Path) -> None:
    record = write_record(tmp_path / "run.jsonl", small_run())
    for option, start in (("-o", "<!doctype html>"), ("--perfetto", '{"displayTimeUnit"')):
        made = command(record, option, "-")
        assert made.returncode == 0
        assert made.stdout.startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == ["run.jsonl"]
