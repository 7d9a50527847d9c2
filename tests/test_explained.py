"""The last line of a message names what explains it: once, however messages quote each other."""

from __future__ import annotations

import copy
import pickle

import pytest

from imp_parallel_core import (
    ClosedError,
    Error,
    LaunchError,
    NoSlaveStartedError,
    PluginError,
    RemoteError,
    SetupError,
    explained,
    printable,
)
from imp_parallel_core._explained import without_keys

LINE = "More: imp-parallel explain"


def test_the_last_line_names_the_keys() -> None:
    assert explained("it rains", "wet-feet") == f"it rains\n{LINE} wet-feet"
    assert explained("it rains", "wet-feet", "no-hat") == f"it rains\n{LINE} wet-feet no-hat"
    assert explained("it rains") == "it rains"
    assert explained("", "wet-feet") == ""


def test_an_error_of_a_class_that_is_explained_says_so_without_being_told() -> None:
    assert str(ClosedError("this is over")) == f"this is over\n{LINE} already-closed"
    assert str(Error("this is new")) == "this is new"
    assert str(SetupError("no file")).endswith(f"{LINE} setup-failed"), "its base's key is not it"


def test_an_error_that_quotes_others_has_one_line_which_names_theirs_first() -> None:
    inner = LaunchError(explained("the host is off", "host-off"))
    lost = f"- slave 0: {inner}; exit code 3\n    command: ssh host\n- slave 1: {inner}"
    assert str(NoSlaveStartedError(f"no slave could be started:\n{lost}")) == (
        "no slave could be started:\n- slave 0: the host is off; exit code 3\n"
        "    command: ssh host\n- slave 1: the host is off\n"
        f"{LINE} host-off no-slave-started"
    )


def test_the_line_of_an_error_that_is_quoted_in_the_middle_of_a_sentence_is_moved() -> None:
    inner = ClosedError("the door is shut")
    text = str(PluginError(f"plugin x: {inner} (door.py, line 3, in open)"))
    assert text == (f"plugin x: the door is shut (door.py, line 3, in open)\n{LINE} already-closed")


def test_of_many_errors_that_are_quoted_the_first_two_are_named() -> None:
    text = "\n".join(explained(f"fault {n}", f"fault-{n}") for n in range(9))
    assert explained(text, "all-faults").endswith(f"fault 8\n{LINE} fault-0 fault-1 all-faults")


@pytest.mark.parametrize("quoted", ["    | no\n    | {}", "no\n\t{}", "no\r\n{}", "{}"])
def test_a_line_that_a_slaves_quoted_output_holds_is_moved_too(quoted: str) -> None:
    text = str(LaunchError(quoted.format(f"{LINE} other-python")))
    assert text.count(LINE) == (quoted != "{}")
    assert text.endswith(f"\n{LINE} other-python") or quoted == "{}"


def test_a_line_in_a_quotation_on_one_line_is_taken_out() -> None:
    text = printable(explained("the\nend", "the-end"))
    assert without_keys(f"poll failed: {text} (3 in a row)") == (
        r"poll failed: the\nend (3 in a row)",
        ["the-end"],
    )


def test_words_of_a_sentence_are_not_taken_for_keys() -> None:
    text = f"no\n{LINE} wet-feet and then more"
    assert without_keys(text) == ("no and then more", ["wet-feet"])
    assert without_keys(f"read {LINE}s in full") == (f"read {LINE}s in full", [])


def test_a_message_that_is_said_again_and_again_has_the_line_the_first_time_only() -> None:
    inner = explained("it rains", "wet-feet")
    assert explained("no sun", "no-sun", once=True).endswith(f"{LINE} no-sun")
    assert explained("no sun", "no-sun", once=True) == "no sun"
    assert (
        explained(f"no sun: {inner}", "no-sun", once=True) == f"no sun: it rains\n{LINE} wet-feet"
    )
    assert explained(f"no sun: {inner}", "no-sun", once=True) == "no sun: it rains"
    assert explained("no sun", "no-sun").endswith(LINE + " no-sun"), "an error always has it"


def test_a_copy_of_an_error_has_the_line_once() -> None:
    error = RemoteError("ValueError: no")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert str(again) == str(error) == f"ValueError: no\n{LINE} task-raised"
