"""Checks of what a batch system reads: recorded output, whole, cut off, and garbage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from imp_parallel_core import CommandResult

from .._records import Array, Description, Submitted
from .._system import BatchSystem
from ._asking import read, read_all, told
from ._samples import Listed, Samples

_GARBAGE = (
    "",
    "\n",
    "\0\x1b[2J\ufffd\ufffd",
    "Connection to login closed by remote host.\n",
    "<html><body>502 Bad Gateway</body></html>\n",
    "*** The cluster is down for maintenance on 2026-11-30, 08:00-12:00. ***\n",
    "|||||\n,,,,,\n:::::\n-----\n[1-]\n[]\n",
    "1 2 3 4 5 6 7 8 9\n" * 3,
)
_CUTS = 400  # of a long answer, at most


def check_submissions_are_read(system: BatchSystem, samples: Samples) -> None:
    """A job is found in the answer; what is no refusal for certain is not taken for one."""
    array = samples.array
    for done, job in samples.submitted:
        said = _submitted(system, done, array)
        assert said.job == job, f"{done} is about job {job}, and was read as {said}"
        for cut in _cuts(done):
            said = _submitted(system, cut, array)
            assert said.job in ("", job), f"a part of {done} was read as {said}"
            assert not said.refusal, f"a part of {done} was taken for a refusal: {said}"
    for done in [*samples.refused, *samples.unreachable]:
        said = _submitted(system, done, array)
        assert said.refusal, f"{done} is a refusal, and was read as {said}"
        assert not said.job, f"{done} is a refusal, and was read as {said}"
        is_temporary = told(system.is_temporary, done)
        expected = done in samples.unreachable
        assert is_temporary == expected, f"is_temporary returns {is_temporary} for {done}"
    for text in _GARBAGE:
        said = _submitted(system, CommandResult(0, text, text), array)
        assert not said.job, f"{text!r} was read as {said}"
        assert not said.refusal, f"{text!r} was read as {said}"


def check_deletions_are_read(system: BatchSystem, samples: Samples) -> None:
    """A job counts as gone only if the answer to a deletion says so for certain."""
    job = samples.submitted[0][1]
    for done, is_gone in samples.deleted:
        found = told(system.is_gone, done, job)
        assert found == is_gone, f"is_gone returns {found} for job {job} and {done}"
        for cut in _cuts(done) if not is_gone else ():
            assert not told(system.is_gone, cut, job), f"job {job} was taken for gone: {cut}"
    known = [done for done, is_gone in samples.deleted if is_gone]
    for done in (CommandResult(0, "", ""), CommandResult(1, "", "no answer"), *_garbage()):
        if done not in known:
            assert not told(system.is_gone, done, job), f"job {job} was taken for gone: {done}"


def check_lists_are_read(system: BatchSystem, samples: Samples) -> None:
    """Each task is found, in its phase; of a list that is cut off nothing else is concluded."""
    for done, expected in samples.listed:
        phases = _phases(system, done)
        assert phases == expected, f"{done} was read as {phases}, and means {expected}"
        for cut in _cuts(done):
            for job, tasks in (_phases(system, cut) or {}).items():
                for number, phase in tasks.items():
                    meant = expected.get(job, {}).get(number)
                    assert phase == meant, (
                        f"of a list that is cut off, task {number} of job {job} is {phase}, and "
                        f"it is {meant}: {cut}"
                    )
    _check_the_first_job(system, samples)
    for done in _garbage():
        found = {job: tasks for job, tasks in (_phases(system, done) or {}).items() if tasks}
        assert not found, f"{done} was read as {found}"


def _check_the_first_job(system: BatchSystem, samples: Samples) -> None:
    """See that the kit knows the array's own job in the list, and its tasks."""
    job, array = samples.submitted[0][1], samples.array
    has_description = told(system.description, job, "") is not None
    for done, _ in samples.listed:
        tasks = (read(system.tasks_in, done) or {}).get(job, {})
        first, last = system.first_task, system.first_task + array.size - 1
        outside = [number for number in tasks if not first <= number <= last]
        assert not outside, (
            f"the list has the tasks {outside} of job {job}, and the array has {first} to {last}: "
            "is first_task right?"
        )
        is_marked = any(array.name in task.mark for task in tasks.values())
        assert has_description or not tasks or is_marked, (
            f"no task of job {job} has a mark that holds the array's name {array.name!r}, and "
            f"there is no description: the kit would not know its own job in {done}"
        )


def check_descriptions_are_read(system: BatchSystem, samples: Samples) -> None:
    """A job that is there is described; it has gone only where that is said for certain."""
    for done, asked in samples.described:
        whole = _descriptions(system, done, asked)
        assert whole, f"{done} describes {asked}, and was read as {whole}"
        jobs = {each.job for each in whole}
        for cut in _cuts(done):
            found = _descriptions(system, cut, asked)
            assert found is None or found, f"job {asked} was taken for gone: {cut}"
            assert {each.job for each in found or ()} <= jobs, f"{cut} was read as {found}"
    for done, asked in samples.gone:
        found = _descriptions(system, done, asked)
        assert found is not None, f"{done} says that {asked} has gone, and can't be read"
        assert not found, f"{done} says that {asked} has gone, and was read as {found}"
    asked = samples.submitted[0][1]
    known = [done for done, _ in samples.gone]
    for done in _garbage() if samples.described else ():
        if done not in known:
            found = _descriptions(system, done, asked)
            assert found is None, f"from {done} it was concluded: {found}"


def check_accounts_are_read(system: BatchSystem, samples: Samples) -> None:
    """The ends of tasks are found; an account that is cut off tells no other end."""
    for done, expected in samples.accounted:
        ends = _ends(system, done)
        assert ends == expected, f"{done} was read as {ends}, and means {expected}"
        for cut in _cuts(done):
            # the last run of a task may be cut off, so the one before counts: that is no other task
            assert _ends(system, cut).keys() <= _numbers(system, done), f"of {cut}"
    for done in _garbage():
        assert not _ends(system, done), f"{done} tells no end, and was read as one"


def _submitted(system: BatchSystem, done: CommandResult, array: Array) -> Submitted:
    said = read(system.submitted, done, array) or Submitted()
    assert isinstance(said, Submitted), f"{done} was read as {said!r}, which is no Submitted"
    return said


def _phases(system: BatchSystem, done: CommandResult) -> Listed | None:
    listed = read(system.tasks_in, done)
    if listed is None:
        return None
    return {job: {n: task.phase for n, task in tasks.items()} for job, tasks in listed.items()}


def _descriptions(
    system: BatchSystem, done: CommandResult, asked: str
) -> Sequence[Description] | None:
    return read_all(system.descriptions_in, done, asked)


def _ends(system: BatchSystem, done: CommandResult) -> Mapping[int, int]:
    last = {run.task: run for run in read_all(system.ends_in, done) or ()}
    return {task: run.exit_code for task, run in last.items() if run.is_end}


def _numbers(system: BatchSystem, done: CommandResult) -> set[int]:
    return {run.task for run in read_all(system.ends_in, done) or ()}


def _cuts(done: CommandResult) -> Iterator[CommandResult]:
    """Yield an answer that is cut off at many places, as where a connection breaks."""
    step = max(1, len(done.stdout) // _CUTS)
    for length in range(0, len(done.stdout), step):
        yield done._replace(stdout=done.stdout[:length])


def _garbage() -> Iterator[CommandResult]:
    for text in _GARBAGE:
        yield CommandResult(0, text, "")
        yield CommandResult(1, text, "it does not answer")
        yield CommandResult(255, "", text)
