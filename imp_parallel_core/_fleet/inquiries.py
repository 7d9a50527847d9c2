"""Asking a launch how a slave or runner ended, and putting the answer into words."""

from __future__ import annotations

import time
from collections.abc import Callable

from .._light_typing import NamedTuple
from .._plugins.launch import LaunchPhase, LaunchState, quoted_output
from .record import SlaveRecord

_ANSWER_S = 1.0  # how long the scheduler waits to be told; then it goes on without


class Evidence(NamedTuple):
    """What a launch says of one of its slaves."""

    state: LaunchState | None = None
    output: str = ""
    command: str = ""

    def of_end(self, record: SlaveRecord, how: str) -> str:
        """Return how a slave ended: in a line, with its command if it never ran, its output."""
        parts = [how]
        if self.state is not None and self.state.phase is LaunchPhase.ENDED:
            parts.append(_describe_exit(self.state))
        text = "; ".join(part for part in parts if part)
        if not record.has_joined and self.command:
            text += f"\n    command: {self.command}"
        return text + self.of_output(record)

    def of_output(self, record: SlaveRecord) -> str:
        """Return the end of a slave's output, quoted, on lines of its own."""
        return quoted_output(record.bootstrap.output_path, self.output)


def _describe_exit(state: LaunchState) -> str:
    if state.exit_code is None:
        return state.detail
    if state.exit_code < 0:
        return f"killed by signal {-state.exit_code}"
    return f"exit code {state.exit_code}"


class Inquiries:
    """The questions that are open, at most one for each slave.

    Args:
        call_at: runs a function in the engine's thread, at a monotonic time.
    """

    def __init__(self, call_at: Callable[[float, Callable[[], None]], None]) -> None:
        self._call_at = call_at
        self._open: dict[int, Callable[[Evidence], None]] = {}

    def ask(
        self, record: SlaveRecord, then: Callable[[Evidence], None], *, has_ended: bool
    ) -> None:
        """Ask a slave's launch; call ``then`` with the answer, or without one after a second.

        Args:
            has_ended: the slave's connection has ended, so its process should be ending too.
        """
        index = record.index
        if index in self._open:
            return
        self._open[index] = then
        if record.watch is not None:
            record.watch.explain(index, has_ended=has_ended)

        def go_on() -> None:
            if self._open.get(index) is then:
                self.answer(index, Evidence())

        self._call_at(time.monotonic() + _ANSWER_S, go_on)

    def answer(self, index: int, evidence: Evidence) -> None:
        """Pass an answer on to who has asked."""
        then = self._open.pop(index, None)
        if then is not None:
            then(evidence)

    def drop(self, index: int) -> None:
        """Forget the question about a slave."""
        self._open.pop(index, None)
