"""The command imp-parallel check, called in this process."""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from imp_parallel_core import Manager, NoSlaveStartedError, Slave
from imp_parallel_core._commands.main import main


class Checked(NamedTuple):
    """What a check has found.

    Attributes:
        exit_code: the command's.
        steps: all steps that it has told, in order.
    """

    exit_code: int
    steps: list[dict[str, Any]]

    def named(self, name: str) -> dict[str, Any]:
        """Return the one step of a name that decides something."""
        (step,) = [each for each in self.steps if each["name"] == name and each["status"] != "news"]
        return step

    def names(self, status: str) -> list[str]:
        """Return the names of the steps of a status, in order."""
        return [step["name"] for step in self.steps if step["status"] == status]

    def failure(self, name: str) -> str:
        """Return the evidence and the advice of the one step that has failed, which has a name."""
        assert self.exit_code == 1
        assert self.names("failed") == [name], self.steps
        assert name in ("gone", "expression") or self.named("gone")["status"] == "ok"
        step = self.named(name)
        return f"{step['text']}\n{step['advice']}"

    @property
    def said(self) -> str:
        """All that was told beside the steps that decide something."""
        return "\n".join(step["text"] for step in self.steps if step["status"] == "news")


def check(expression: str, *arguments: str) -> Checked:
    """Check an expression."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exit_code = main(["check", expression, "--json", *arguments])
    found = json.loads(printed.getvalue())
    assert found["works"] == (exit_code == 0)
    checked = Checked(exit_code, found["steps"])
    assert found["failed"] == checked.names("failed")
    return checked


def script_of_check(expression: str, *arguments: str) -> str:
    """Return the text of a script that runs a check, and prints what people read."""
    called = f"main({['check', expression, *arguments]!r})"
    return f"import sys\nfrom imp_parallel_core._commands.main import main\nsys.exit({called})\n"


def errors_of(
    slaves: Slave,
    *,
    step: str = "started",
    python: str | None = None,
    output: str | None = "slave%d.output",
) -> Iterator[str]:
    """Yield what a script is told of slaves that can't start, and then what a check says.

    Args:
        slaves: their description.
        step: the one of the check that fails.
        python: as for Manager, of both.
        output: as for Manager, of the script alone.
    """
    with Manager(python, output=output) as manager:
        manager.add_slave(slaves)
        context = manager.get_context()
        context.add_task(os.getpid)
        begun = time.monotonic()
        with pytest.raises(NoSlaveStartedError) as caught:
            list(context.get_results_unordered())
        assert time.monotonic() - begun < 60.0
    yield str(caught.value)
    line = [] if python is None else ["--python", python]
    yield check(repr(slaves), *line).failure(step)


def check_says_the_same(evidence: str, expression: str, *arguments: str) -> None:
    """See to it that a check of slaves that can't start has all that a script is told of them.

    Args:
        evidence: what the script is told.
        expression: makes the same slaves.
        arguments: further arguments of the check.
    """
    text = check(expression, *arguments).failure("started")
    missing = [line for line in evidence.splitlines() if line.strip() not in text]
    assert not missing, text


CHAIN = [
    *("plugin", "checked", "submitted", "started", "connected", "versions", "task", "round trip"),
    *("payload", "environment"),
]
"""The steps of a check without modules that come before the end, if all goes well."""
