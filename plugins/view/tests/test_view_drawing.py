"""What the progress bar shows of a model, in words and columns."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imp_parallel_view import _words
from imp_parallel_view._drawing import CONTEXTS, Bar, block, last_line
from imp_parallel_view._model import ContextCounts, RunModel
from imp_parallel_view._notebook import block_as_html
from imp_parallel_view._words import shortened
from rich.console import Console

from imp_parallel_core import (
    ContextDone,
    ContextOpened,
    RunBegan,
    RunEnded,
    SlaveChanged,
    TasksAdded,
    TasksDone,
)


def shown(model: RunModel, now: float, width: int = 100) -> list[str]:
    """Return the lines of the block, as they are on a terminal without colours."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=True)
    with console.capture() as captured:
        console.print(block(model, now))
    return [line.rstrip() for line in captured.get().splitlines()]


def some_run() -> RunModel:
    """Return a model of a run in its midst."""
    model = RunModel()
    model.tell(
        [RunBegan(0.0, 1.7e9), ContextOpened(0.0, 1, "scoring"), TasksAdded(0.0, 1, 400, 400)]
    )
    model.tell([SlaveChanged(0.0, f"slave {n}", "working", "", "anna", 1) for n in range(8)])
    model.tell([SlaveChanged(0.0, f"slave {n}", "queued", "Resources") for n in range(8, 98)])
    model.tell([SlaveChanged(0.0, "slave 98", "gone", "its host was switched off")])
    for second in range(1, 11):
        tasks = [10 * second, *[1] * 9]
        ones = [1] * 10
        event = TasksDone(float(second), 1, "slave 0", "value", "", tasks, ones, ones, ones, ones)
        model.tell([event])
    failed = TasksDone(10.0, 1, "slave 1", "raised", "ValueError", [5, 6], [1] * 2, *[[1, 1]] * 3)
    model.tell([failed])
    return model


def test_a_block_says_how_many_tasks_and_slaves_are_at_what() -> None:
    assert shown(some_run(), 10.0) == [
        "scoring  ━━━━━━━━━━━━━━━───────────────────────────────────────────── 102 of 400  25 %",
        "tasks    100 done, 2 failed, 8 running, 290 waiting, 10.2/s, 29 s left",
        "slaves   8 working, 90 queued (Resources), 1 lost (its host was switched off)",
    ]


def test_labels_stand_out_and_what_matters_less_stands_back() -> None:
    file = io.StringIO()
    console = Console(file=file, width=100, color_system="standard", force_terminal=True)
    console.print(block(some_run(), 10.0))
    for styled in ("\x1b[1mscoring", "\x1b[1;2mtasks", "\x1b[1;31m2 failed", "\x1b[2m290 waiting"):
        assert styled in file.getvalue()


def test_each_context_has_a_line_of_its_own_and_many_are_folded() -> None:
    model = RunModel()
    for number in range(1, 30):
        model.tell([ContextOpened(0.0, number, f"name {number}"), TasksAdded(0.0, number, 3, 3)])
    lines = shown(model, 0.0)
    assert [line.split("  ")[0] for line in lines] == [
        *(f"name {number}" for number in range(30 - CONTEXTS, 30)),
        f"{29 - CONTEXTS} more",
        *("tasks", "slaves"),
    ]


def test_text_of_others_can_neither_style_nor_control_a_terminal() -> None:
    model = RunModel()
    model.tell([ContextOpened(0.0, 1, "[red]\x1b[31m\nname"), TasksAdded(0.0, 1, 3, 3)])
    model.tell([SlaveChanged(0.0, "slave 0", "queued", "[blink]\x1b[2J\nreason")])
    text = "\n".join(shown(model, 0.0))
    assert "\x1b" not in text
    assert "[red]\\x1b[31m\\nname" in text
    assert "[blink]\\x1b[2J\\nreason" in text


def test_text_of_others_is_text_in_a_notebook() -> None:
    model = some_run()
    model.tell([ContextOpened(0.0, 1, "<script>alert(1)</script>")])
    model.tell([SlaveChanged(0.0, "slave 8", "queued", "<img src=x>")])
    html = block_as_html(model, 10.0)
    assert "<script" not in html
    assert "<img" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "102 of 400" in html


@given(*[st.integers(0, 10**6)] * 4, st.integers(1, 200))
def test_a_bar_is_as_wide_as_it_should_be_and_shows_a_single_failure(
    done: int, failed: int, cancelled: int, left: int, width: int
) -> None:
    total = done + failed + cancelled + left
    bar = Bar(ContextCounts(1, "", total, done, failed, cancelled))
    lengths = bar.lengths(width)
    assert min(lengths) >= 0
    assert sum(lengths) <= width
    assert (sum(lengths) == width) == (total > 0 and left == 0)
    if failed and sum(lengths):
        assert lengths[1] >= 1


@pytest.mark.parametrize("width", [1, 3, 8, 20, 40, 60, 200])
def test_a_block_fits_a_terminal_of_any_width(width: int) -> None:
    lines = shown(some_run(), 10.0, width)
    assert len(lines) == 3
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize("width", [50, 60, 70, 80, 81, 82, 83, 90])
def test_labels_are_whole_on_a_terminal_of_usual_width(width: int) -> None:
    labels = [line.split()[0] for line in shown(some_run(), 10.0, width)]
    assert labels == ["scoring", "tasks", "slaves"]


def test_a_long_name_leaves_the_counts_their_room_on_a_narrow_terminal() -> None:
    model = RunModel()
    model.tell([ContextOpened(0.0, 1, "scoring of all models " * 9), TasksAdded(0.0, 1, 50, 50)])
    lines = shown(model, 1.0, 40)
    assert any("0 of 50" in line for line in lines)
    assert any("50 waiting" in line for line in lines)


def test_long_names_that_begin_alike_stay_apart() -> None:
    model = RunModel()
    for number in (1, 2):
        name = f"scoring of all models with alpha=0.{number}"
        model.tell([ContextOpened(0.0, number, name), TasksAdded(0.0, number, 50, 50)])
    lines = shown(model, 1.0, 80)
    for number in (1, 2):
        assert any(line.startswith(f"scoring of a…h alpha=0.{number} ") for line in lines), lines


@given(st.text(), st.integers(1, 40))
def test_a_shortened_text_has_its_beginning_and_its_end(text: str, width: int) -> None:
    short = shortened(text, width)
    assert len(short) <= width
    middle = width // 2
    assert short[:middle] == text[:middle]
    assert short[middle + 1 :] == text[len(text) - len(short) + middle + 1 :]
    assert (short == text) == (len(text) <= width) or short[middle] == "…" == text[middle]


def test_the_last_line_says_how_it_went() -> None:
    model = some_run()
    model.tell([ContextDone(41.0, 1), RunEnded(41.2)])
    expected = "400 tasks in 41 s: 100 done, 2 failed, 298 without an outcome; 99 slaves, 1 lost"
    assert last_line(model) == expected


@given(st.floats(0.0, 1e9))
def test_a_duration_has_two_units_at_most_and_none_of_sixty(seconds: float) -> None:
    words = _words.duration(seconds).split()
    assert len(words) in (2, 4)
    assert words[0] != "0" or seconds < 1e-6
    if "min" in words or "s" in words[2:]:
        assert all(int(number) < 60 for number in words[::2] if words[1] != "h")


@given(st.floats(1e-6, 1e7))
def test_a_rate_and_a_size_are_near_the_number(number: float) -> None:
    text, unit = _words.rate(number).split("/")
    per_s = float(text.replace(",", "")) / {"s": 1, "min": 60, "h": 3600}[unit]
    assert per_s == pytest.approx(number, rel=0.006)
    text, unit = _words.size(number * 1e6).split()
    factor = 1000 ** ("bytes", "kB", "MB", "GB", "TB").index(unit)
    assert float(text) * factor == pytest.approx(number * 1e6, rel=0.06, abs=0.5)
