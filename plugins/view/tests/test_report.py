"""The report: what it says of a run, how large it gets, and how a browser shows it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imp_parallel_view._record_lines import header, lines_of
from imp_parallel_view._report import statistics
from imp_parallel_view._report.history import History
from imp_parallel_view._report.idleness import Reason
from imp_parallel_view._report.page import page
from imp_parallel_view._report.perfetto import trace
from imp_parallel_view._report.timeline import UNIT, timeline
from imp_parallel_view._slaves import Doing
from view_events import any_event
from view_runs import HOSTILE, done, large_run, small_run

from imp_parallel_core import (
    ContextOpened,
    Event,
    RunBegan,
    RunnerLost,
    SlaveChanged,
)
from tests.support.packages import need, need_programs

BROWSER = "chromium-headless-shell"


def test_a_slaves_time_is_accounted_for_and_its_idleness_explained() -> None:
    first, second = statistics.slave_times(History(small_run()))
    assert first.by_doing == {
        Doing.STARTING: 5.0,
        Doing.IDLE: 35.0,
        Doing.SETTING_UP: 5.0,
        Doing.WORKING: 55.0,
    }
    assert first.by_reason == {
        Reason.NOTHING_ADDED: 5.0,
        Reason.NOT_ADDED_YET: 10.0,
        Reason.ALL_DONE: 20.0,
    }
    assert (first.tasks, first.deaths) == (5, 1)
    # tasks waited until 1035, and for a second from 1045; its own set-up had failed
    assert second.by_doing[Doing.QUEUED] == 20.0
    assert second.by_reason == {
        Reason.SETUP_FAILED: 14.0,
        Reason.NOT_ADDED_YET: 34.0,
        Reason.NONE_LEFT: 2.0,
    }
    assert second.last == "lost: its host was switched off"


def test_failures_are_put_together_by_their_causes() -> None:
    events = [
        RunBegan(0.0, 1.7e9),
        ContextOpened(0.0, 1, "scoring"),
        *(done(n, 1, f"slave {n % 3}", [n], 1.0, "raised", f"ValueError: {n}") for n in range(40)),
        done(50.0, 1, "slave 0", [50, 51], 1.0, "raised", "KeyError: 'a'"),
    ]
    causes, left_out = statistics.causes(History(events))
    assert [(each.times, each.cause, each.slaves) for each in causes] == [
        (40, "ValueError: 0", 3),
        (2, "KeyError: 'a'", 1),
    ]
    assert causes[1].examples == ["50", "51"]
    assert left_out == 0


def test_durations_are_counted_in_bins_that_hold_them() -> None:
    seconds = [1e-4, 2.0, 2.0, 30.0]
    events = [done(float(n), 1, "slave 0", [n], each) for n, each in enumerate(seconds)]
    took = statistics.durations(History([RunBegan(0.0, 0.0), *events]))
    assert took is not None
    assert (took.tasks, took.median_s, took.longest_s) == (4, 2.0, 30.0)
    assert sum(each.done for each in took.bins) == 4
    assert took.bins[0].begin_s <= 1e-4 < took.bins[0].end_s
    assert took.bins[-1].begin_s <= 30 < took.bins[-1].end_s


def test_the_timeline_holds_long_tasks_as_they_are() -> None:
    drawn = timeline(History(small_run()))
    first = drawn["rows"][0]
    assert [item[:2] for item in first["tasks"]] == [
        [UNIT * 15 // 100, UNIT // 10],
        [UNIT * 25 // 100, UNIT // 10],
        [UNIT * 46 // 100, UNIT * 14 // 100],
        [UNIT * 70 // 100, UNIT // 10],
    ]
    why = drawn["details"].index("killed by SIGSEGV")
    assert first["deaths"] == [[UNIT * 45 // 100, why, UNIT * 35 // 100]]
    states = [(drawn["doing"][kind], drawn["details"][why]) for *_, kind, why in first["states"]]
    assert ("idle", Reason.NOT_ADDED_YET.value) in states


@pytest.mark.parametrize(("slaves", "batches", "size"), [(1, 2000, 50), (500, 5, 20)])
def test_a_page_is_of_bounded_size_however_many_tasks_there_were(
    slaves: int, batches: int, size: int
) -> None:
    made = page(History(large_run(slaves, batches, size)), {"script": "many.py"})
    assert len(made) < 3_000_000
    assert f"{slaves * batches * size:,}" in made


@given(st.lists(any_event(), max_size=40))
def test_a_record_that_somebody_has_changed_gives_a_page_all_the_same(events: list[Event]) -> None:
    history = History(events)
    assert page(history, {}).endswith("</html>\n")
    assert json.loads("".join(trace(history)))["traceEvents"]


def test_a_page_of_many_contexts_and_deaths_is_of_bounded_size() -> None:
    events: list[Event] = [RunBegan(0.0, 1.7e9), SlaveChanged(0.0, "slave 0", "working")]
    for number in range(1, 20_000):
        events.append(ContextOpened(float(number), number, "short"))
        events.append(
            RunnerLost(float(number), "slave 0", "SIGSEGV", number, 0, 1, number - 0.5, True)
        )
    assert len(page(History(events), {})) < 1_500_000


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``imp-parallel report``."""
    return subprocess.run(
        [sys.executable, "-m", "imp_parallel_core", "report", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def write_record(path: Path, events: Iterable[Event]) -> Path:
    """Write a record."""
    path.write_text(header({"script": "/home/anna/score.py", "host": "laptop"}) + lines_of(events))
    return path


def test_the_command_writes_a_page_beside_the_record(tmp_path: Path) -> None:
    record = write_record(tmp_path / "run.jsonl", small_run())
    run = command(record)
    assert (run.returncode, run.stdout, run.stderr) == (0, f"{tmp_path / 'run.html'}\n", "")
    text = (tmp_path / "run.html").read_text()
    assert "<title>score.py: report of a run</title>" in text
    assert "The record has no end" not in text
    assert command(record, "--perfetto", tmp_path / "run.json").returncode == 0
    assert json.loads((tmp_path / "run.json").read_text())["traceEvents"]


def test_the_page_of_a_run_that_was_killed_says_so(tmp_path: Path) -> None:
    record = write_record(tmp_path / "run.jsonl", small_run()[:-12])
    record.write_text(record.read_text() + "nonsense\n" + '{"event":"Tas')
    assert command(record).returncode == 0
    text = (tmp_path / "run.html").read_text()
    assert "The record has no end: the run still goes on, or it was killed." in text
    assert "1 line of the record" in text


def test_the_command_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("my results")
    for name, words in (("mine", "is no record"), ("nowhere", "No such file")):
        run = command(tmp_path / name)
        assert run.returncode == 1
        assert words in run.stderr
        assert "Traceback" not in run.stderr
        assert ("More: imp-parallel explain no-record" in run.stderr) == (name == "mine")
    record = write_record(tmp_path / "run.html", small_run())
    assert "is the record itself" in command(record, "-o", record).stderr


def test_the_command_overwrites_what_it_has_made_and_nothing_else(tmp_path: Path) -> None:
    record = write_record(tmp_path / "run.jsonl", small_run())
    trace = ("--perfetto", tmp_path / "run.json")
    for options in ((), trace, (), trace):
        assert command(record, *options).returncode == 0
    for options, name in (((), "run.html"), (trace, "run.json")):
        (tmp_path / name).write_text("my own")
        run = command(record, *options)
        assert run.returncode == 1
        assert "is nothing that this command has made, and is not overwritten" in run.stderr
        assert (tmp_path / name).read_text() == "my own"


InBrowser = Callable[[str], tuple[str, str]]


@pytest.fixture(name="in_browser")
def _in_browser(tmp_path: Path) -> InBrowser:
    """Return what opens a page: the document when its scripts have run, and the browser's log."""
    need("in a browser", lambda: need_programs({BROWSER: BROWSER}))

    def in_browser(html: str) -> tuple[str, str]:
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        options = ["--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
        run = subprocess.run(
            [BROWSER, *options, f"--user-data-dir={tmp_path}", "--dump-dom", path.as_uri()],
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
            env={**os.environ, "HOME": str(tmp_path)},
        )
        return run.stdout, run.stderr

    return in_browser


@pytest.mark.timeout(400)
def test_a_browser_shows_the_page_and_runs_nothing_of_others(in_browser: InBrowser) -> None:
    events = small_run(name=f"scoring {HOSTILE}", error=f"ValueError: {HOSTILE}")
    text, log = in_browser(page(History(events), {"script": f"{HOSTILE}.py"}))
    assert not re.search(r"CONSOLE.*(error|violates|refused)", log, re.IGNORECASE), log
    title = re.search(r"<title>(.*?)</title>", text)
    assert title is not None
    assert title[1].endswith("py: report of a run")
    assert "<img" not in text
    assert text.count("<script") == 2
    for words in ("Timeline", "Where the slaves' time went", "killed by SIGSEGV", "Slaves", "anna"):
        assert words in text
    assert "ImportError: no module" in text
    # drawn by the script: the canvas has a size, and contexts have their colours
    assert re.search(r'<canvas[^>]* width="\d+"[^>]*style="width: \d+px', text)
    assert re.search(r'data-context="1" style="background: rgb', text)


@pytest.mark.timeout(400)  # the first of these tests installs the browser
def test_a_browser_opens_the_page_of_a_million_tasks_within_seconds(in_browser: InBrowser) -> None:
    made = page(History(large_run(100, 100, 100)), {"script": "many.py"})
    began = time.monotonic()
    text, _ = in_browser(made)
    assert time.monotonic() - began < 60  # two, on a machine that does nothing else
    assert "1,000,000" in text
    assert len(made) < 5_000_000
