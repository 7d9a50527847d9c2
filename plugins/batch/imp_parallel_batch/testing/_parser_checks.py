"""Checks of what a batch system reads: recorded output, whole, cut off, and garbage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from imp_parallel_core import CommandResult

from .._system import BatchSystem, Command, Description
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


def check_commands(system: BatchSystem, samples: Samples) -> None:
    """The commands are made of words, and hold what the array is known and found by."""
    array = samples.array
    submission = system.submission(array)
    texts = [*submission.argv, submission.input, *submission.files.values()]
    job = samples.submitted[0][1]
    commands = [submission, system.question(), system.accounting(job)]
    commands += [system.description(job, ""), system.description("", array.name)]
    first, last = system.first_task, system.first_task + 7
    ranges = (range(first, first + 1), range(last - 2, last + 1))
    assert system.deletion(job, ()), "there is no command that deletes a whole job"
    assert system.deletion(job, ranges), "there is no command that deletes ranges of tasks"
    commands += [*system.deletion(job, ()), *system.deletion(job, ranges)]
    for command in filter(None, commands):
        _check_words(command)
    for name, what in (
        (array.name, "the array's name"),
        (array.script, "the job script"),
        (array.early_output, "the path of the early output"),
        (str(array.size), "the array's size"),
    ):
        assert any(name in text for text in texts), f"the submission lacks {what}: {submission}"
    for word in array.options:
        assert any(word in text for text in texts), f"the submission lacks the option {word!r}"
    assert all(array.script not in word for word in submission.argv), (
        "the script is an argument of the command: give it as input, or as a file"
    )
    whole = [list(command.argv) for command in system.deletion(job, ())]
    for command in system.deletion(job, ranges):
        assert list(command.argv) not in whole, "tasks are deleted by what deletes a whole job"
    assert system.task_pattern in array.early_output, "the early output is one for all tasks"


def _check_words(command: Command) -> None:
    assert command.argv, "a command has no words"
    for word in command.argv:
        assert isinstance(word, str), f"{word!r} is no word: {command.argv}"
        assert "\0" not in word, f"a word holds a zero byte: {command.argv}"
    assert command.program, f"messages would call this nothing: {command.argv}"


def check_submissions_are_read(system: BatchSystem, samples: Samples) -> None:
    """A job is found in the answer; what is no refusal for certain is not taken for one."""
    array = samples.array
    for done, job in samples.submitted:
        told = system.submitted(done, array)
        assert told.job == job, f"{done} is about job {job}, and was read as {told}"
        for cut in _cuts(done):
            told = system.submitted(cut, array)
            assert told.job in ("", job), f"a part of {done} was read as {told}"
            assert not told.refusal, f"a part of {done} was taken for a refusal: {told}"
    for done in samples.refused:
        told = system.submitted(done, array)
        assert told.refusal, f"{done} is a refusal, and was read as {told}"
        assert not told.job, f"{done} is a refusal, and was read as {told}"
    for text in _GARBAGE:
        told = system.submitted(CommandResult(0, text, text), array)
        assert not told.job, f"{text!r} was read as {told}"
        assert not told.refusal, f"{text!r} was read as {told}"


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
    for done in _garbage():
        found = {job: tasks for job, tasks in (_phases(system, done) or {}).items() if tasks}
        assert not found, f"{done} was read as {found}"


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


def _phases(system: BatchSystem, done: CommandResult) -> Listed | None:
    try:
        listed = system.tasks_in(done)
    except ValueError:
        return None
    return {job: {n: task.phase for n, task in tasks.items()} for job, tasks in listed.items()}


def _descriptions(
    system: BatchSystem, done: CommandResult, asked: str
) -> Sequence[Description] | None:
    try:
        return system.descriptions_in(done, asked)
    except ValueError:
        return None


def _ends(system: BatchSystem, done: CommandResult) -> Mapping[int, int]:
    try:
        last = {run.task: run for run in system.ends_in(done)}
    except ValueError:
        return {}
    return {task: run.exit_code for task, run in last.items() if run.is_end}


def _numbers(system: BatchSystem, done: CommandResult) -> set[int]:
    return {run.task for run in system.ends_in(done)}


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
