"""Prints the steps of a check as they happen, or as JSON at the end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from .._printable import printable_lines
from .steps import Status, Step

_INDENT = " " * 34
_COLOURS = {"ok": "\x1b[32m", "FAILED": "\x1b[1;31m", "...": "\x1b[33m"}
_PLAIN = "\x1b[0m"


class StepPrinter:
    """Prints one check. An output that can't be written costs no slave that is being ended.

    Args:
        expression: what is checked.
        is_json: whether to print JSON, at the end.
        fail: told of an output that can't be written, once, in any thread.
    """

    def __init__(self, expression: str, fail: Callable[[OSError], None], *, is_json: bool) -> None:
        self._expression = expression
        self._fail = fail
        self._is_json = is_json
        self._has_failed = False
        self._steps: list[Step] = []
        self._begun_at = time.monotonic()

    def tell(self, step: Step) -> None:
        """Tell a step."""
        step = step._replace(at_s=time.monotonic() - self._begun_at)
        self._steps.append(step)
        if not self._is_json:
            self._print(_line(step, is_coloured=_is_terminal()))

    def finish(self, *, works: bool, interruption: str) -> None:
        """Print what the check has found.

        Args:
            works: whether all has worked.
            interruption: by what it was interrupted; "" if it was not.
        """
        failures = [step.name for step in self._steps if step.status is Status.FAILED]
        if self._is_json:
            import json

            listed = [
                {**step._asdict(), "status": step.status.name.lower()} for step in self._steps
            ]
            found = {"works": works, "failed": failures, "interrupted": interruption}
            self._print(json.dumps({**found, "steps": listed}, indent=2))
            return
        failed = f"{', '.join(failures)} FAILED, see above." if failures else ""
        if interruption:
            text = f"The check was interrupted by {interruption}, before it was known what works."
            self._print(f"{text} {failed}".rstrip())
        elif works:
            self._print(f"All of it works: {self._expression}")
        else:
            self._print(f"It does not work: {failed}")

    def _print(self, text: str) -> None:
        if self._has_failed:
            return
        try:
            print(text, flush=True)
        except OSError as problem:
            self._has_failed = True
            self._fail(problem)


def _line(step: Step, *, is_coloured: bool) -> str:
    """Return a step as it is printed."""
    status = f"{step.status.value:<7}"
    if is_coloured:
        status = f"{_COLOURS[step.status.value]}{status}{_PLAIN}"
    text = printable_lines(step.text)
    if step.advice:
        text += f"\nnext: {printable_lines(step.advice)}"
    first, *more = text.splitlines()
    begin = f"{step.at_s:8.2f} s  {status}  {step.name:<13}{first}"
    return "\n".join([begin, *((_INDENT + line).rstrip() for line in more)])


def _is_terminal() -> bool:
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not is_plain
