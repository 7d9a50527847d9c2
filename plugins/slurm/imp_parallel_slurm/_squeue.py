"""What squeue prints, and the states of jobs. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from imp_parallel_batch import BatchEnd, BatchTask

from imp_parallel_core import LaunchPhase

END = "(the end of the list)"
"""A line that follows a list which is whole."""
LIST = ("--array", "--format", "%F|%K|%T|%r|%N|%k|%j")
"""Options for a list with a line for each task; :func:`rows_in` reads it."""
ENDS = ("--array", "--noheader", "--Format", "ArrayTaskID:12,State:24,exit_code:16,Reason:64")
"""Options for a list of how tasks ended; :func:`ends_in` reads it."""

_HEAD = "ARRAY_JOB_ID|ARRAY_TASK_ID|STATE|"
_ROW = re.compile(r"(\d+)\|(\d+|N/A)\|([A-Z_]+)\|([^|]*)\|([^|]*)\|(.*)")
_SHOWN = 80
_WAITING = {
    "CONFIGURING": "its node is being made ready",
    "PENDING": "",
    "REQUEUED": "is started anew",
    "REQUEUE_FED": "is started anew",
    "REQUEUE_HOLD": "is held",
    "RESV_DEL_HOLD": "is held: its reservation is gone",
}
_STOPPED = {"STOPPED": "is stopped", "SUSPENDED": "is suspended"}
_ENDING = {"COMPLETING": "is ending", "STAGE_OUT": "is ending"}
_ENDED = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "REVOKED",
        "TIMEOUT",
    }
)
_IN_ERROR = "SPECIAL_EXIT"
_WILL_NOT_START = "launch failed requeued held"  # a reason
_IS_HELD = "JobHeld"  # begins a reason
_NO_REASON = ("", "None", "(null)")
_PLAIN_ENDS = {"FAILED|NonZeroExitCode", "COMPLETED"}  # its exit code tells all


class Row(NamedTuple):
    """A line of squeue's list: one task of an array, or a job that is none."""

    job: str
    task: int
    """Its number in the array; 0 for a job that is none."""
    state: str
    reason: str
    node: str
    mark: str
    """The job's comment and name."""


def rows_in(text: str) -> list[Row]:
    """Return the tasks and jobs that a list names.

    A site's own words may be before the list. The name of a job may hold anything, also a line's
    end: what follows that is passed over.

    Raises ValueError if the text is no such list, or is cut off.
    """
    lines = text.splitlines()
    heads = [at for at, line in enumerate(lines) if line.startswith(_HEAD)]
    if not heads:
        begin = text.strip()[:_SHOWN] or "nothing"
        raise ValueError(f"squeue's list can't be read; it begins: {begin!r}")
    if END not in lines:
        raise ValueError("squeue's list has been cut off")
    found = (_ROW.fullmatch(line) for line in lines[heads[0] + 1 :])
    return [Row(m[1], _number(m[2]), m[3], m[4].strip(), m[5], m[6]) for m in found if m]


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def task_of(row: Row) -> BatchTask | None:
    """Return the task that a line of the list tells of; None if it has ended."""
    state = row.state
    reason = "" if row.reason in _NO_REASON else row.reason
    if state in _ENDED:
        return None
    if state == _IN_ERROR or row.reason.replace("_", " ") == _WILL_NOT_START:
        return BatchTask(LaunchPhase.ENDED, f"{state} (is held)", reason, row.mark)
    if state in _WAITING:
        words = _WAITING[state] or ("is held" if reason.startswith(_IS_HELD) else "")
        detail = f"{state} ({words})" if words else state
        return BatchTask(LaunchPhase.QUEUED, detail, reason, row.mark)
    place = f" on {row.node}" if row.node else ""
    if state in _STOPPED:
        return BatchTask(LaunchPhase.SUSPENDED, f"{state} ({_STOPPED[state]}){place}", "", row.mark)
    if state in _ENDING:
        detail = f"{state} ({_ENDING[state]}){place}"
        return BatchTask(LaunchPhase.RUNNING, detail, "", row.mark, is_ending=True)
    # any other state is one of a task that was started, and is there
    detail = "" if state == "RUNNING" else f"{state}{place}"
    return BatchTask(LaunchPhase.RUNNING, detail, "", row.mark)


def ends_in(text: str) -> Iterator[BatchEnd]:
    """Yield how tasks have ended; those that have not, and what can't be read, are left out."""
    for line in text.splitlines():
        fields = line.split(maxsplit=3)
        if len(fields) < 3 or not fields[0].isdecimal() or fields[1] not in _ENDED:
            continue
        task, state, status = int(fields[0]), fields[1], fields[2]
        reason = fields[3].strip() if len(fields) > 3 else ""
        reason = "" if reason in _NO_REASON else reason
        exit_code = _exit_code(status)
        if exit_code is None:
            continue
        told = f"{state}|{reason}".rstrip("|")
        words = "" if told in _PLAIN_ENDS else told.replace("|", ": ")
        yield BatchEnd(task, exit_code, words)


def _exit_code(status: str) -> int | None:
    """Return the exit code of a status: as wait() gives it, or as ``code:signal``."""
    code, colon, signal = status.partition(":")
    if not code.isdecimal() or (colon and not signal.isdecimal()):
        return None
    if not colon:
        code, signal = str(int(code) >> 8 & 0xFF), str(int(code) & 0x7F)
    return 128 + int(signal) if int(signal) else int(code)
