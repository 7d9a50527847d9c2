"""Parses the output of qsub, qstat, qdel and qacct. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple
from xml.etree import ElementTree

from imp_parallel_core import LaunchPhase, LaunchState

_ERROR_REASON = re.compile(r"error reason\s+(\d+):\s+(?:[\d/]+ [\d:]+ \[[\d:]+\]: )?(.*)")
_SCHEDULING = "scheduling info:"
_REASON_LINES = 4
_SHOWN = 80
_KILLED = 128  # an exit code beyond this is a signal's
_LETTERS = {
    "d": "is being deleted",
    "h": "is held",
    "R": "is restarted",
    "s": "is suspended",
    "S": "is suspended with its queue",
    "T": "is suspended by a threshold",
    "t": "is being transferred",
}

_GOES_ON = ("24", "25", "26")  # what qacct says of migrating and rescheduling

_SUSPENDED = frozenset("sST")


class Task(NamedTuple):
    """One task of a job array in the queue: its state's letters, where it runs, its job's name."""

    state: str
    queue: str = ""
    job_name: str = ""

    def phase(self) -> LaunchPhase:
        """Return how far the task has come; ENDED for a task in error, which will not start."""
        if "E" in self.state:
            return LaunchPhase.ENDED
        if "q" in self.state:
            return LaunchPhase.QUEUED
        is_stopped = not _SUSPENDED.isdisjoint(self.state)
        return LaunchPhase.SUSPENDED if is_stopped else LaunchPhase.RUNNING

    def launch_state(self, reason: str) -> LaunchState:
        """Return the task's state for the core.

        Args:
            reason: why the task waits, or its error, in the batch system's own words.
        """
        told = [meaning for letter, meaning in _LETTERS.items() if letter in self.state]
        detail = f"{self.state} ({', '.join(told)})" if told else self.state
        phase = self.phase()
        if phase in (LaunchPhase.RUNNING, LaunchPhase.SUSPENDED):
            return LaunchState(phase, f"{detail} in {self.queue}" if told else "")
        return LaunchState(phase, f"{detail}: {reason}" if reason else detail)


Jobs = Mapping[int, Mapping[int, Task]]


def parse_queue(text: str) -> Jobs:
    """Return the tasks by job and number, from the output of ``qstat -xml``.

    Raises ValueError if it isn't what it should be; then nothing may be concluded from it.
    """
    start, end = text.find("<?xml"), text.rfind(">") + 1  # a site's own words may be around it
    try:
        root = ElementTree.fromstring(text[max(start, 0) : end])  # noqa: S314 - the batch system's own
    except ElementTree.ParseError as problem:
        begin = text.strip()[:_SHOWN] or "nothing"
        raise ValueError(f"qstat's XML can't be read ({problem}); it begins: {begin!r}") from None
    if root.tag != "job_info":
        raise ValueError(f"qstat's XML is a {root.tag}, not a job_info")
    jobs: dict[int, dict[int, Task]] = {}
    for entry in root.iter("job_list"):
        job = int(entry.findtext("JB_job_number", ""))
        task = Task(
            entry.findtext("state", ""),
            entry.findtext("queue_name") or "",
            entry.findtext("JB_name") or "",
        )
        numbers = parse_ranges(entry.findtext("tasks") or "")
        jobs.setdefault(job, {}).update(dict.fromkeys(numbers, task))
    return jobs


def parse_submission(text: str, count: int) -> set[int]:
    """Return the jobs of which qsub speaks that are arrays of so many tasks.

    With ``-terse`` it says ``4.1-2:1``, else ``Your job-array 4.1-2:1 (…) has been submitted``; a
    site's own words may be around that, and may speak of another array. Any other number is no
    array's.
    """
    return {int(n) for n in re.findall(rf"(?<![\w.-])(\d+)\.1-{count}:1(?![\w.-])", text)}


def says_that_it_verifies(words: str) -> bool:
    """Return whether qsub says that it has only verified the job, as default options may ask."""
    return re.search(r"^(verification: |verify: +-verify)", words, re.MULTILINE) is not None


def parse_marked_jobs(text: str, mark: str = "") -> list[int]:
    """Return the jobs of which ``qstat -j`` says something that holds a mark."""
    blocks = re.split(r"^=+$", text, flags=re.MULTILINE)
    numbers = [re.search(r"^job_number: +(\d+)", block, re.MULTILINE) for block in blocks]
    return [int(n[1]) for n, block in zip(numbers, blocks, strict=True) if n and mark in block]


def says_that_it_is_gone(words: str, job: int | str) -> bool:
    """Return whether qdel or ``qstat -j`` says that a job of a number or name is not there."""
    name = re.escape(str(job))
    pattern = rf'job "?{name}"? does not exist|^Following jobs do not exist.*:\s*{name}(?!\S)'
    return re.search(pattern, words, re.MULTILINE) is not None


def parse_ranges(text: str) -> Iterator[int]:
    """Yield the numbers of such as ``1-7:2,9``. Raises ValueError."""
    for part in filter(None, text.split(",")):
        limits, _, step = part.partition(":")
        first, _, last = limits.partition("-")
        yield from range(int(first), int(last or first) + 1, int(step or 1))


def ranges_of(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last number of each run of successive ones. The numbers are in order."""
    first = 0
    for at, number in enumerate(numbers):
        if at + 1 == len(numbers) or numbers[at + 1] != number + 1:
            yield numbers[first], number
            first = at + 1


def parse_error_reasons(text: str) -> dict[int, str]:
    """Return why tasks are in error, by number, from the output of ``qstat -j``."""
    found = map(_ERROR_REASON.match, text.splitlines())
    return {int(match[1]): match[2].removeprefix("error: ") for match in found if match}


def parse_running_tasks(text: str) -> set[int]:
    """Return the tasks that have been started, from the output of ``qstat -j`` of an array."""
    return {int(n) for n in re.findall(r"^(?:usage|binding) +(\d+):", text, re.MULTILINE)}


def parse_scheduling(text: str) -> str:
    """Return why a job waits, in a line, from the output of ``qstat -j``; "" if it doesn't say."""
    _, found, after = text.partition(_SCHEDULING)
    lines = [line.strip() for line in after.splitlines() if line.strip()] if found else []
    lines = list(dict.fromkeys(lines))
    if len(lines) > _REASON_LINES:
        lines[_REASON_LINES - 1 :] = [f"and {len(lines) - _REASON_LINES + 1} more reasons"]
    return "; ".join(lines)


class Account(NamedTuple):
    """The record of one run of a task."""

    task: int
    exit_code: int
    failure: str = ""
    """Grid Engine's own trouble with it, as a number and words."""
    job_name: str = ""
    submitted_at: float | None = None
    """In wall-clock seconds, by the host that was asked; None if that can't be read."""

    @property
    def is_end(self) -> bool:
        """Whether the task has ended with it: one that is moved or started anew goes on."""
        return self.failure.partition(" ")[0] not in _GOES_ON

    @property
    def description(self) -> str:
        """The end in words; for a task whose script has not said by itself that it ended."""
        if self.failure:
            return f"exit code {self.exit_code}; failed {self.failure}"
        if self.exit_code >= _KILLED:
            return f"exit code {self.exit_code}"
        return (
            f"exit code {self.exit_code}, before its script had begun. Does a profile "
            "(/etc/profile, ~/.bash_profile, ~/.profile) end the shell, by exit or exec? It may do "
            "so only where $- holds an i."
        )


def parse_accounting(text: str) -> list[Account]:
    """Return the records of tasks, in order, from the output of ``qacct -j``."""
    found = []
    for block in re.split(r"^=+$", text, flags=re.MULTILINE):
        fields = dict(re.findall(r"^(\w+) +(.*?) *$", block, re.MULTILINE))
        try:
            number, exit_status = int(fields["taskid"]), int(fields["exit_status"].split()[0])
        except (KeyError, ValueError, IndexError):
            continue
        failure = re.sub(r"\s+", " ", fields.get("failed", "0"))
        name, time_text = fields.get("jobname", ""), fields.get("qsub_time", "")
        failure = "" if failure == "0" else failure
        found.append(Account(number, exit_status, failure, name, _seconds(time_text)))
    return found


def _seconds(text: str) -> float | None:
    """Return a time that is written as ``Sun Nov 29 01:57:52 2026`` or ``11/29/2026 01:57:52``."""
    from datetime import datetime  # both are seldom needed, and take a while
    from email.utils import parsedate

    words = re.sub(r"^(\d+)/(\d+)/(\d+) ", r"\3-\1-\2 ", text)
    try:
        if words != text:
            return datetime.fromisoformat(words.partition(".")[0]).timestamp()
        parsed = parsedate(text)
        return None if parsed is None else time.mktime(parsed)
    except (ValueError, OverflowError):
        return None
