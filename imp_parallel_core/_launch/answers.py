"""What a launch answers when it is asked. It is a plugin's: an answer may fail, or be none."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from .._explained import without_keys
from .._plugins.contract import (
    checked_states,
    checked_text,
    checked_words,
    described,
    package_of,
)
from .._plugins.launch import LaunchPhase, LaunchState, describe_command
from .._printable import printable, printable_lines
from .._printed import without_marks
from ..reminder import Reminder
from .calls import Calls

if TYPE_CHECKING:
    from .._plugins.launch import Launch

_T = TypeVar("_T")

_logger = logging.getLogger("imp_parallel.launch")


class Answers:
    """Asks a launch, in its thread. A failure is reported; what was known before holds on.

    Args:
        what: the launch, for messages.
        calls: notes which call it is in.
    """

    def __init__(self, what: str, calls: Calls) -> None:
        self._what = what
        self._calls = calls
        self._known: Mapping[int, LaunchState] = {}
        self._failures: dict[str, int] = {}  # in a row, by question
        self._reminders: dict[str, Reminder] = {}
        self.trouble = ""
        """Why it does not say how a slave is, if it does not."""
        self.poll_failure = ""
        """Why it could not be asked how slaves are, the last time; "" if it could."""

    def poll(self, launch: Launch) -> Mapping[int, LaunchState]:
        """Return the state of each slave, as it was last known."""
        known = self._known
        self._known = self._ask(launch, "poll", lambda: _printable(launch.poll()), known)
        return self._known

    def log_tail(self, launch: Launch, index: int) -> str:
        """Return the end of a slave's output, "" if the launch fails to."""
        return self._ask(
            launch, "log_tail", lambda: _unmarked(checked_text(launch.log_tail(index))), ""
        )

    def command(self, launch: Launch, index: int) -> str:
        """Return the command line that was run for a slave, likewise."""
        return self._ask(launch, "command", lambda: printable(_command_of(launch, index)), "")

    def _ask(self, launch: Launch, question: str, ask: Callable[[], _T], otherwise: _T) -> _T:
        try:
            with self._calls.to(question):
                answer = ask()
        except BaseException as problem:  # the plugin's, perhaps a SystemExit
            failures = self._failures[question] = self._failures.get(question, 0) + 1
            words, _ = without_keys(described(problem, package_of(type(launch).__module__)))
            text = printable(words)
            if question == "poll":
                self.trouble = self.poll_failure = f"poll failed: {text}"
            if self._reminders.setdefault(question, Reminder()).remind(failures):
                _logger.warning(
                    "%s: %s failed: %s (%d in a row; it is asked again)",
                    *(self._what, question, text, failures),
                )
            return otherwise
        self._failures.pop(question, None)
        self._reminders.pop(question, None)
        if question == "poll":
            self.trouble, self.poll_failure = "poll() does not say how this slave is", ""
        return answer


def is_known(state: LaunchState | None) -> bool:
    """Whether a slave has ended, or won't before long: nobody waits for more news of it."""
    phases = (LaunchPhase.ENDED, LaunchPhase.SUSPENDED)
    return state is not None and state.phase in phases


def _unmarked(output: str) -> str:
    """Return output for people: printable, and without the marks of tasks that begin."""
    return printable_lines(without_marks(output))


def _command_of(launch: Launch, index: int) -> str:
    command = launch.command
    if isinstance(command, Mapping):
        command = command.get(index, ())
    return describe_command(checked_words(command)) if command else ""


def _printable(answer: object) -> Mapping[int, LaunchState]:
    """Return the answer to ``poll``. Raises TypeError if it breaks the contract."""
    states = checked_states(answer)
    return {
        index: state._replace(detail=printable_lines(state.detail))
        for index, state in states.items()
    }
