"""Slaves that never start: people are told the command, its exit code and its last words."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .._errors import NoMoreSlavesError
from ._launcher import Launcher
from ._processes import marked, require_gone

_MORE_THAN_FITS_BYTES = 4 << 20  # … into a socket's buffer
_WORDS = "my last 42 words"
_SAY = "echo my last $((40 + 2)) words; "  # the command line itself does not hold these words
_FAIL = "exit $((90 + 7));"


def a_slave_that_fails_at_once_is_explained(launcher: Launcher) -> None:
    """A slave whose Python fails is an error that quotes what it said, and its exit code."""
    text = _error_of(launcher, _SAY + _FAIL)
    _require_words(text)
    _require_exit_code(text)


def a_slave_that_reads_nothing_is_explained(launcher: Launcher) -> None:
    """A slave that ends before it has read its bootstrap document is an error that says how."""
    with _large_document():
        text = _error_of(launcher, _SAY + _FAIL)
    _require_words(text)
    _require_exit_code(text)


def a_slave_that_fails_after_a_second_is_explained(launcher: Launcher) -> None:
    """A slave that ran for a moment, and never connected, is an error that says how it ended."""
    text = _error_of(launcher, f"sleep 1; {_SAY}{_FAIL}")
    _require_words(text)
    _require_exit_code(text)


def a_slave_that_fails_without_a_word_is_explained(launcher: Launcher) -> None:
    """A slave that says nothing is an error all the same, with the exit code."""
    _require_exit_code(_error_of(launcher, _FAIL))


def a_slave_that_has_ended_stays_ended(launcher: Launcher) -> None:
    """poll() says of a slave that has ended, each time again, that it has, and how."""
    with launcher.manager(python=_FAIL) as manager:
        launcher.add_slaves(manager)
        context = manager.get_context()
        context.add_task(os.getpid)
        try:
            list(context.get_results_unordered())
        except NoMoreSlavesError:
            pass
        changes = [change for launch in manager.launches for change in launch.changes]
    assert not changes, f"poll() does not stay with what it has said of {changes[0]}"


def _error_of(launcher: Launcher, python: str) -> str:
    """Return the error of slaves whose Python fails; see that nothing is left of them."""
    text = ""
    with launcher.manager(python=python, change=marked(launcher)) as manager:
        launcher.add_slaves(manager)
        context = manager.get_context()
        context.add_task(os.getpid)
        try:
            list(context.get_results_unordered())
        except NoMoreSlavesError as error:
            text = str(error)
    require_gone(launcher, [], "the slaves had failed, and the Manager was closed")
    assert text, "a Python that fails gave results"
    return text


def _require_words(text: str) -> None:
    assert _WORDS in text, f"log_tail() was not quoted, or does not say what the slave said: {text}"


def _require_exit_code(text: str) -> None:
    assert "exit code 97" in text, f"poll() did not tell the exit code, which was 97: {text}"


@contextmanager
def _large_document() -> Iterator[None]:
    """Have bootstrap documents that no buffer takes: they hold the script's arguments."""
    argv = getattr(sys, "argv", [])
    sys.argv = ["x" * _MORE_THAN_FITS_BYTES]
    try:
        yield
    finally:
        sys.argv = argv
