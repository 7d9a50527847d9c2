"""What comes from elsewhere can't steer the terminal that it is shown on, or look like ours."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imp_parallel_core import (
    Bootstrap,
    CommandResult,
    Launch,
    LaunchError,
    LaunchPhase,
    LaunchState,
    Manager,
    NoMoreSlavesError,
    Slave,
    hookimpl,
    printable,
    printable_lines,
)
from imp_parallel_core._errors import Error
from imp_parallel_core._wire.handshake import hello_of, read_hello, slave_identity

EVIL = "\x1b]0;title\x07\x1b[2J\x9b31m\rdone\u202e\u2028\x00"


@given(st.text())
def test_a_line_is_printable_and_one_line(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) >= len(text)


@given(st.text())
def test_what_is_printable_already_is_left_as_it_is(text: str) -> None:
    shown = printable(text)
    assert printable(shown) == shown


@given(st.text())
def test_lines_keep_their_ends_and_tabs_and_nothing_else_that_can_not_be_printed(text: str) -> None:
    shown = printable_lines(text)
    assert shown.replace("\n", "").replace("\t", "").isprintable()
    assert shown.count("\n") == text.count("\n")
    assert printable_lines(shown) == shown


@pytest.mark.parametrize("kind", [Error, LaunchError, NoMoreSlavesError])
def test_the_message_of_every_error_is_printable_also_after_a_journey(kind: type[Error]) -> None:
    error = kind(f"it said:\n{EVIL}")
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert str(one).replace("\n", "").isprintable()
        assert str(one).startswith("it said:\n")


def test_the_output_that_an_error_carries_is_printable() -> None:
    assert LaunchError("no", output=EVIL).output.isprintable()
    assert LaunchError("no", output="a\r\nb\tc").output == "a\nb\tc"


def test_what_a_command_said_is_printable_in_messages_and_whole_in_its_streams() -> None:
    done = CommandResult(1, "", EVIL)
    assert done.words.replace("\n", "").isprintable()
    assert done.stderr == EVIL


def test_the_host_that_a_slave_says_it_is_on_is_printable() -> None:
    hello = hello_of({**slave_identity(0), "host": EVIL, "cloudpickle": "1"}, 0)
    assert read_hello(hello).host.isprintable()


class EvilSlave(Slave):
    def __repr__(self) -> str:
        return f"EvilSlave({EVIL})"


class EvilLaunch:
    """A launch whose every word steers the terminal."""

    command: Sequence[str] = ("launch", EVIL)

    def poll(self) -> Mapping[int, LaunchState]:
        return {0: LaunchState(LaunchPhase.ENDED, EVIL)}

    def log_tail(self, index: int) -> str:
        return EVIL

    def cancel(self, grace_s: float) -> None:
        raise OSError(EVIL)


class EvilPlugin:
    @hookimpl
    def imp_parallel_launch(self, slaves: Slave, bootstraps: Sequence[Bootstrap]) -> Launch | None:
        return EvilLaunch() if isinstance(slaves, EvilSlave) else None


def test_what_a_launch_says_is_printable_in_errors_and_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "imp_parallel")
    with Manager(output=f"{tmp_path}/slave%d.output", plugins=[EvilPlugin()]) as manager:
        manager.add_slave(EvilSlave())
        context = manager.get_context()
        context.add_task(int)
        with pytest.raises(NoMoreSlavesError) as caught:
            list(context.get_results_unordered())
        details = [slave.detail for slave in manager.slaves]
    said = [str(caught.value), *caught.value.failures, *details, *caplog.messages]
    assert "title" in said[0]
    for text in said:
        assert text.replace("\n", "").replace("\t", "").isprintable(), text
