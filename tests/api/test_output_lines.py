"""What slaves print becomes lines, each with the task that has printed it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from imp_parallel_core import OutputLine
from imp_parallel_core._api.output_lines import OutputLines
from imp_parallel_core._printed import without_marks
from imp_parallel_core._slave.announced import _MARK

SETUP, FIRST, SECOND = ((_MARK % (1, number)).encode() for number in ("", "0", "17"))
PRINTED = b"starting\n" + SETUP + b"reading\n" + FIRST + b"a\nb" + SECOND + b"\nc\r\nd"
EXPECTED = [
    OutputLine(3, None, None, "starting"),
    OutputLine(3, 1, None, "reading"),
    OutputLine(3, 1, 0, "a"),
    OutputLine(3, 1, 0, "b"),
    OutputLine(3, 1, 17, ""),
    OutputLine(3, 1, 17, "c"),
    OutputLine(3, 1, 17, "d"),
]


@given(st.lists(st.integers(0, len(PRINTED)), max_size=6))
def test_lines_do_not_depend_on_the_pieces_in_which_they_come(cuts: list[int]) -> None:
    lines = OutputLines(3)
    found: list[OutputLine] = []
    ends = [*sorted(cuts), len(PRINTED)]
    begin = 0
    for end in ends:
        found += lines.feed(PRINTED[begin:end])
        begin = end
    assert [*found, *lines.end()] == EXPECTED


def test_a_line_says_who_has_printed_it() -> None:
    assert [str(line) for line in EXPECTED[:3]] == [
        "[slave 3] starting",
        "[slave 3, set-up] reading",
        "[slave 3, task 0] a",
    ]


def test_a_line_can_not_steer_a_terminal_and_keeps_its_tabs() -> None:
    (line,) = OutputLines(0).feed(b"\x1b[31mred\tgreen\xff\n")
    assert line.text == "\\x1b[31mred\tgreen\ufffd"


def test_a_line_without_an_end_comes_in_pieces() -> None:
    lines = OutputLines(0)
    sizes = [len(line.text) for _ in range(10) for line in lines.feed(b"x" * 30_000)]
    assert sizes == [90_000] * 3


def test_what_was_left_out_may_have_begun_another_task() -> None:
    lines = OutputLines(0)
    list(lines.feed(FIRST + b"half a li"))
    assert lines.left_out(12345).text == "… 12,345 bytes are left out …"
    assert list(lines.feed(b"ne\n")) == [OutputLine(0, None, None, "ne")]


def test_evidence_has_no_marks() -> None:
    assert without_marks(PRINTED.decode()) == "starting\nreading\na\nb\nc\r\nd"
