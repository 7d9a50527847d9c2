"""Parses the output of qsub, qstat, qdel and qacct. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from xml.etree import ElementTree

from imp_parallel_batch import BatchEnd, BatchTask, Description, parse_ranges

from imp_parallel_core import LaunchPhase

_ERROR_REASON = re.compile(r"error reason\s+(\d+):\s+(?:[\d/]+ [\d:]+ \[[\d:]+\]: )?(.*)")
_SCHEDULING = "scheduling info:"
_REASON_LINES = 4
_SHOWN = 80
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


def task_of(state: str, queue: str = "", job_name: str = "") -> BatchTask:
    """Return a task as its state's letters tell it; ENDED for one in error, which will not start.

    Args:
        state: the letters.
        queue: where it runs; "" if it does not.
        job_name: the name of its job.
    """
    told = [meaning for letter, meaning in _LETTERS.items() if letter in state]
    detail = f"{state} ({', '.join(told)})" if told else state
    if "E" in state:
        phase = LaunchPhase.ENDED
    elif "q" in state:
        phase = LaunchPhase.QUEUED
    else:
        is_stopped = not _SUSPENDED.isdisjoint(state)
        phase = LaunchPhase.SUSPENDED if is_stopped else LaunchPhase.RUNNING
        detail = f"{detail} in {queue}" if told else ""
    return BatchTask(phase, detail, mark=job_name, is_ending="d" in state)


def parse_queue(text: str) -> Mapping[str, Mapping[int, BatchTask]]:
    """Return the tasks by job and number, from the output of ``qstat -xml``.

    Raises ValueError if it isn't what it should be; then nothing may be concluded from it.
    """
    start, end = text.find("<?xml"), text.rfind(">") + 1  # a site's own words may be around it
    try:
        root = ElementTree.fromstring(text[max(start, 0) : end])  # noqa: S314 - the batch system's own
    except ElementTree.ParseError as problem:
        begin = text.strip()[:_SHOWN] or "nothing"
        raise ValueError(f"its XML can't be read ({problem}); it begins: {begin!r}") from None
    if root.tag != "job_info":
        raise ValueError(f"its XML is a {root.tag}, not a job_info")
    jobs: dict[str, dict[int, BatchTask]] = {}
    for entry in root.iter("job_list"):
        job = str(int(entry.findtext("JB_job_number", "")))
        task = task_of(
            entry.findtext("state", ""),
            entry.findtext("queue_name") or "",
            entry.findtext("JB_name") or "",
        )
        numbers = parse_ranges(entry.findtext("tasks") or "")
        jobs.setdefault(job, {}).update(dict.fromkeys(numbers, task))
    return jobs


def parse_submission(text: str, size: int) -> set[str]:
    """Return the jobs of which qsub speaks that are arrays of so many tasks.

    With ``-terse`` it says ``4.1-2:1``, else ``Your job-array 4.1-2:1 (…) has been submitted``; a
    site's own words may be around that, and may speak of another array. Any other number is no
    array's.
    """
    return set(re.findall(rf"(?<![\w.-])(\d+)\.1-{size}:1(?![\w.-])", text))


def says_that_it_verifies(words: str) -> bool:
    """Return whether qsub says that it has only verified the job, as default options may ask."""
    return re.search(r"^(verification: |verify: +-verify)", words, re.MULTILINE) is not None


def says_that_qmaster_is_out_of_reach(words: str) -> bool:
    """Return whether a command says that it could not reach qmaster, or got no answer of it."""
    pattern = (
        r"unable to (contact|send message to) qmaster|can't unpack gdi|"
        r"commlib error|failed receiving gdi request"
    )
    return re.search(pattern, words) is not None


def says_that_it_is_not_set_up(words: str) -> bool:
    """Return whether a command says that it does not find the settings of any cluster."""
    pattern = (
        r"can't open \S*act_qmaster|set the environment variable SGE_ROOT|"
        r"SGE_ROOT directory \S+ doesn't exist|[Cc]ell directory \S+ doesn't exist"
    )
    return re.search(pattern, words) is not None


def parse_descriptions(text: str) -> list[Description]:
    """Return what ``qstat -j`` says of each job."""
    blocks = re.split(r"^=+$", text, flags=re.MULTILINE)
    numbers = [re.search(r"^job_number: +(\d+)\s*\n", block, re.MULTILINE) for block in blocks]
    return [
        Description(
            number[1],
            block,
            running=parse_running_tasks(block),
            reason=parse_scheduling(block),
            errors=parse_error_reasons(block),
        )
        for number, block in zip(numbers, blocks, strict=True)
        if number
    ]


def says_that_it_is_gone(words: str, job: str) -> bool:
    """Return whether qdel or ``qstat -j`` says that a job of a number or name is not there."""
    name = re.escape(job)
    pattern = rf'job "?{name}"? does not exist|^Following jobs do not exist.*:\s*{name}(?!\S)'
    return re.search(pattern, words, re.MULTILINE) is not None


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
    return _joined(after.splitlines()) if found else ""


def parse_verification(text: str) -> str:
    """Return why a job can't start, in a line, from the output of ``qalter -w v``.

    That is of the queues without any job in them: if some are suitable, they are full. It says
    nothing of a job that is held.
    """
    if re.search(r"^verification: found suitable queue", text, re.MULTILINE):
        return "qalter -w v finds suitable queues, so these are full or closed now"
    lines = [re.sub(r"^Job \d+ ", "", line) for line in text.splitlines()]
    reasons = [line for line in lines if not line.startswith("verification: ")]
    if not reasons and "verification: no suitable queues" in lines:
        return "qalter -w v finds no suitable queues"
    return _joined(reasons)


def _joined(lines: Iterable[str]) -> str:
    """Return lines as one, with the last ones counted if they are many."""
    found = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if len(found) > _REASON_LINES:
        found[_REASON_LINES - 1 :] = [f"and {len(found) - _REASON_LINES + 1} more reasons"]
    return "; ".join(found)


def parse_accounting(text: str) -> list[BatchEnd]:
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
        is_end = failure.partition(" ")[0] not in _GOES_ON
        words = "" if failure == "0" else f"failed {failure}"
        found.append(BatchEnd(number, exit_status, words, is_end, name, _seconds(time_text)))
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
