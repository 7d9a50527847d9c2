"""A plugin that does not answer is named, ever more seldom."""

from __future__ import annotations

from typing import Any

import pytest

from imp_parallel_core._fleet.stuck import StuckLaunches
from imp_parallel_core._launch.calls import Call, Calls


class Watch:
    """The thread of a launch, in the call that a test says."""

    plugin = "godot-launcher"

    def __init__(self, what: str) -> None:
        self.what = what
        self.call: Call | None = Call("poll", 1000.0)


def test_a_plugin_that_does_not_answer_is_named_in_one_line_for_all_launches(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop: Any = None  # nobody looks by it
    stuck = StuckLaunches(loop)
    watches: list[Any] = [Watch("Godot(1)"), Watch("Godot(2)"), Watch("Pozzo(3)")]
    watches[2].call = Call("withdraw", 1000.0)
    for second in range(1000, 1050):
        if second == 1040:
            watches[0].call = None
        stuck.tell(watches, float(second))
    meanwhile = "meanwhile nobody knows how its slaves are that have not connected"
    said = [
        text.removesuffix("\nMore: imp-parallel explain plugin-hangs") for text in caplog.messages
    ]
    assert [text == whole for text, whole in zip(said, caplog.messages, strict=True)] == [
        False,
        *[True] * 3,
    ], "only the first names what explains it"
    assert [text.removesuffix(f"; {meanwhile}") for text in said] == [
        f"plugin godot-launcher: {what} has not returned for {after_s} s{more}"
        for after_s in (15, 45)
        for what, more in [
            (
                f"poll() of the launch of Godot({1 if after_s == 15 else 2})",
                " (and 1 more launches likewise)" if after_s == 15 else "",
            ),
            ("withdraw() of the launch of Pozzo(3)", ""),
        ]
    ]


def test_a_call_is_noted_until_it_has_returned_or_failed() -> None:
    calls = Calls()
    found: list[Call | None] = [calls.current]

    def poll() -> None:
        with calls.to("poll"):
            found.append(calls.current)
            raise KeyError

    with pytest.raises(KeyError):
        poll()
    before, during, after = *found, calls.current
    assert before is after is None
    assert during is not None
    assert during.method == "poll"
