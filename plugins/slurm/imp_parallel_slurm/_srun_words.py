"""What srun says of its tasks. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from imp_parallel_batch import parse_ranges

_END = re.compile(r"srun: error: \S+: tasks? \[?([\d,-]+)\]?: (.+)")
_CODE = re.compile(r"Exited with exit code (\d+)")
_LABELLED = re.compile(r" *(\d+): (.*)")
_WAITS = "step creation temporarily disabled"
_GOES_ON = "Step created"


class TaskEnd(NamedTuple):
    """The end of a task, in srun's words; its exit code, if it ended by itself."""

    words: str
    exit_code: int | None


def ends_in(text: str) -> dict[int, TaskEnd]:
    """Return how tasks of a step have ended, by their numbers, as far as srun has said so.

    It says nothing of tasks that end with 0.
    """
    ends = {}
    for line in text.splitlines():
        match = _END.fullmatch(line.strip())
        if match is None:
            continue
        code = _CODE.fullmatch(match[2])
        end = TaskEnd(match[2], int(code[1]) if code else None)
        try:
            ends.update(dict.fromkeys(parse_ranges(match[1]), end))
        except ValueError:
            continue
    return ends


def waits_in(text: str) -> str:
    """Return why srun has not begun yet, in its own words; "" if it has, or does not say so."""
    lines = [line for line in text.splitlines() if _WAITS in line or _GOES_ON in line]
    return lines[-1] if lines and _WAITS in lines[-1] else ""


def lines_for(task: int, text: str) -> Iterator[str]:
    """Yield the lines that a task has written, and those of srun that are for all tasks.

    Args:
        task: the task's number.
        text: the output of ``srun --label``.
    """
    for line in text.splitlines():
        labelled = _LABELLED.fullmatch(line)
        if labelled is not None:
            if int(labelled[1]) == task:
                yield labelled[2]
        elif _END.fullmatch(line) is None or task in ends_in(line):
            yield line
