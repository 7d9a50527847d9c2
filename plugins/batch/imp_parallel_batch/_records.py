"""What the kit and a batch system tell each other: commands, arrays, and what answers mean."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from imp_parallel_core import LaunchPhase


class Command(NamedTuple):
    """A command line for the kit to run, without a shell, and with a deadline.

    Its arguments and its files hold no secret; the kit never puts one into what it hands over.

    Attributes:
        argv: its words.
        input: its standard input.
        files: files that it reads, by name: the kit writes them into ``Array.folder`` before.
        shown: what messages call it; by default the first word of ``argv``. If it is another word
            of ``argv``, those before it only prepare it (``env -u NAME``), and messages leave them
            out.
    """

    argv: Sequence[str]
    input: str = ""
    files: Mapping[str, str] = {}
    shown: str = ""

    @property
    def program(self) -> str:
        """What messages call it."""
        return self.shown or self.argv[0]

    @property
    def typed(self) -> Sequence[str]:
        """The command line as people would type it: from the word on that ``shown`` names."""
        words = list(self.argv)
        is_prepared = self.shown and self.shown in words
        return words[words.index(self.shown) :] if is_prepared else words


class Array(NamedTuple):
    """A job array that is to be submitted.

    Attributes:
        name: a name that no other array has, such as ``imp_parallel-0a1b2c``. It is the job's name,
            if the options give it no other; it must be found in what a :class:`Description` says of
            the job, in any case, so a system puts it into a comment of the job's too.
        size: how many tasks it has. The first has the number ``first_task``.
        options: the words of the user's options, in their order.
        script: the job script, for ``/bin/bash``: printable ASCII, without a secret.
        early_output: where a task's output and errors go until its script has opened the slave's
            output file: a path that holds ``task_pattern``. It is absolute, or relative to ``cwd``.
        folder: the private folder of the run, as an absolute path: ``Command.files`` go there.
        cwd: where the command is run, and the job is to start; "" if the batch system can't be told
            that path (see :meth:`BatchSystem.can_use`). The script goes there by itself, too.
    """

    name: str
    size: int
    options: Sequence[str]
    script: str
    early_output: str
    folder: str
    cwd: str


class Submitted(NamedTuple):
    """What the answer to a submission says. One of the three is given; else it is not understood.

    If it is in doubt, the kit looks for the job by its name.

    Attributes:
        job: the array's job, for certain: ``"5"``, or ``"5[].server"``.
        refusal: nothing was submitted: a sentence for the error, which quotes the answer. The kit
            looks for the job all the same before it says so, as a command may fail after the job
            was taken.
        doubt: the job may be there or not: why that is not certain.
        advice: what to do about a refusal: a sentence or two.
        is_untold: whether the refusal is such that nothing was ever said to the batch system, as
            when the command finds no settings: no job is looked for then.
    """

    job: str = ""
    refusal: str = ""
    doubt: str = ""
    advice: str = ""
    is_untold: bool = False


class BatchTask(NamedTuple):
    """A task as the batch system lists it.

    Attributes:
        phase: ENDED for a task that has ended, or that is in error and will not start by itself.
        detail: its state in the system's word, and what that means: ``hqw (is held)``. "" if it
            runs.
        reason: why it waits or is in error, where the list says so; else the description is asked
            for it.
        mark: text in which the array's name is looked for: the job's name or comment, if it is
            listed.
        is_ending: whether it is being deleted: nothing need be done any more, whatever time that
            takes.
        exit_code: of a task that has ended, if it is listed.
    """

    phase: LaunchPhase
    detail: str = ""
    reason: str = ""
    mark: str = ""
    is_ending: bool = False
    exit_code: int | None = None


class Description(NamedTuple):
    """What the batch system says of one job, when it is asked for this job alone.

    Attributes:
        job: its number.
        text: all that it says of the job. A job without the array's name in this text is another's,
            and is not touched.
        running: the numbers of tasks that have been started, and are there.
        reason: why the job waits, in a line.
        errors: why tasks are in error, by their numbers.
    """

    job: str
    text: str
    running: Collection[int] = ()
    reason: str = ""
    errors: Mapping[int, str] = {}


class BatchEnd(NamedTuple):
    """A record of the accounting: one run of a task has ended.

    Attributes:
        task: its number.
        exit_code: that of the job script, or 128 and more for a signal.
        words: the batch system's own trouble with it: ``failed 100 : assumedly after job``, or
            ``OUT_OF_MEMORY``.
        is_end: whether the task has ended with this run; False if the system starts it anew.
        job_name: the job's name, if numbers are used again; None if the job's number tells enough.
        submitted_at: likewise, when it was submitted, in wall-clock seconds.
    """

    task: int
    exit_code: int
    words: str = ""
    is_end: bool = True
    job_name: str | None = None
    submitted_at: float | None = None
