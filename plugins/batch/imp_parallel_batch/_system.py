"""What a plugin says of its batch system. Pure: nothing here runs a command, or waits."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple, Protocol

from imp_parallel_core import CommandResult, LaunchPhase


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
    """

    job: str = ""
    refusal: str = ""
    doubt: str = ""
    advice: str = ""


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


class BatchSystem(Protocol):
    """A batch system: derive from this class; what has a value here may stay as it is.

    It is pure: a method returns a :class:`Command`, which the kit runs on the user's machine or a
    login node, or reads what a command printed. The kit calls it from several threads. A method
    that reads raises ValueError for what it can't read for certain; then nothing is concluded from
    it, and the kit asks again. It must expect output that is cut off, and a site's own words.

    Attributes:
        name: for messages: ``"Grid Engine"``.
        key: a short word: ``"sge"``. Messages are logged by ``imp_parallel.`` and this.
        programs: the commands that must be in the PATH: ``("qsub", "qstat", "qdel")``. The first
            submits.
        advice: what to do if one of them is missing: a sentence.
        task_variable: the variable of a job's environment that holds the task's number.
        task_pattern: what stands for that number in the path of an output file: ``%a``,
            ``$TASK_ID``.
        first_task: the number of the first task.
        least_tasks: the size of the smallest array that can be submitted. The kit makes a smaller
            one as large; the tasks that are too many leave at once.
        reserved_options: options that users may not give, and why: ``{"-t": "the array's size is
            its first argument"}``. An option of two words is written with a space: ``"-w v"``.
        reserved_exit_codes: exit codes of a job that mean something to the batch system, such as
            "run it again". The job script ends with 1 instead; the kit learns the real code in
            another way.
        restarted: an arithmetic expression of bash that is true in a task that has been started
            anew, as ``${SLURM_RESTART_COUNT:-0} > 0``.
        warns_children: whether the signals by which it warns a job reach all processes of the job.
            If they reach the script alone, the script passes them on to the slave.
        cluster_variables: variables of the environment that tell one cluster from another, such as
            ``SGE_ROOT``. What a run that was killed has left is removed by a run for the same
            cluster alone.
    """

    name: str
    key: str
    programs: Sequence[str]
    advice: str

    # ---- the array and its script

    task_variable: str
    task_pattern: str
    first_task: int = 1
    least_tasks: int = 1
    reserved_options: Mapping[str, str] = {}
    reserved_exit_codes: Collection[int] = ()
    restarted: str = "0"
    warns_children: bool = True
    cluster_variables: Sequence[str] = ()

    def notice(self, options: Sequence[str]) -> str:
        """Return lines of bash that set ``notify``, for the job script.

        That is how many seconds before it stops or ends a job the system warns it by a signal
        (USR1, USR2, XCPU, or TERM); 0 if it does not, or if that is not known.

        Args:
            options: the words of the user's options.
        """
        return "notify=0"

    def can_use(self, path: str) -> bool:
        """Return whether a job can be started in this folder, and have its output there.

        A system that expands ``$`` or ``%`` in paths can't use a path that holds it.
        """
        return path.isprintable()

    def check_options(self, words: Sequence[str]) -> None:
        """Raise ValueError for options that the plugin sets itself. Called when an array is made.

        By default those of ``reserved_options``, also as ``--option=value``. If the command takes a
        word that belongs to no option for the name of a script, refuse such words, too: the user's
        script would run once for each slave.
        """
        for word, value in zip_longest(words, words[1:], fillvalue=""):
            for option in (word, f"{word} {value}", word.partition("=")[0]):
                if option in self.reserved_options:
                    why = self.reserved_options[option]
                    raise ValueError(
                        f"the {self.programs[0]} option {option} can't be used here: {why}"
                    )

    def job_name(self, array: Array) -> str:
        """Return the job's name: that of the options, if they give one."""
        return array.name

    # ---- submission and deletion

    @abstractmethod
    def submission(self, array: Array) -> Command:
        """Return the command that submits an array: called once, and given two minutes.

        Set whatever a site or the user may have changed by default, and what the array depends on.
        """

    @abstractmethod
    def submitted(self, done: CommandResult, array: Array) -> Submitted:
        """Read the answer to a submission, whatever its exit code. :func:`understood` helps."""

    @abstractmethod
    def deletion(self, job: str, ranges: Sequence[range]) -> Sequence[Command]:
        """Return the commands that delete a whole job, or some of its tasks.

        The kit repeats them until the tasks have gone: deleting what has gone does no harm.

        Args:
            job: as :class:`Submitted` has it.
            ranges: the numbers of the tasks, in order; empty for the whole job.
        """

    def is_gone(self, done: CommandResult, job: str) -> bool:
        """Return whether the answer to a deletion says for certain that there is no such job."""
        return False

    # ---- questions

    @abstractmethod
    def question(self) -> Command:
        """Return the command that lists the tasks of all jobs of the user.

        The kit asks once for all arrays of the process, ever more seldom while nothing changes, and
        never twice at a time. The list must name each task that waits or runs; it may name those
        that have ended.
        """

    @abstractmethod
    def tasks_in(self, done: CommandResult) -> Mapping[str, Mapping[int, BatchTask]]:
        """Read that list: return the tasks by job and number. Raises ValueError.

        A task that is not listed counts as ended only after it has been asked for by
        :meth:`description` and in the accounting. :func:`output_of` raises for an exit code that is
        not 0.
        """

    def description(self, job: str, name: str) -> Command | None:
        """Return the command that describes one job, or the jobs of a name.

        By default None: then the kit reads all from the list, whose tasks have a ``mark`` then.

        Args:
            job: its number; "" to ask by name.
            name: its name, if the number is not given.
        """
        return None

    def descriptions_in(self, done: CommandResult, asked: str) -> Sequence[Description]:
        """Read what :meth:`description` printed; empty if there is no such job, for certain.

        A job all of whose tasks have ended is not there. Raises ValueError.

        Args:
            done: how the command ended.
            asked: the job's number, or the name, by which it was asked for.
        """
        raise ValueError("there are no descriptions")

    def accounting(self, job: str) -> Command | None:
        """Return the command that tells how the tasks of a job ended; by default None."""
        return None

    def ends_in(self, done: CommandResult) -> Sequence[BatchEnd]:
        """Read what :meth:`accounting` printed, the records of a task in their order.

        What can't be read is left out.
        """
        return ()


def logger_of(system: BatchSystem) -> logging.Logger:
    """Return the logger of a batch system."""
    return logging.getLogger(f"imp_parallel.{system.key}")


def output_of(done: CommandResult) -> str:
    """Return what a command has printed. Raises ValueError, with its words, if it has failed."""
    if done.exit_code != 0:
        raise ValueError(f"exit code {done.exit_code}: {done.words}")
    return done.stdout


def understood(
    done: CommandResult, jobs: Collection[str], *, program: str, advice: str = ""
) -> Submitted:
    """Return what the answer to a submission says, as it usually does.

    Args:
        done: the answer.
        jobs: the jobs that it speaks of and that may be the array's.
        program: the command, for messages.
        advice: what to do if it has refused the array.
    """
    if done.exit_code != 0:
        code = f"exit code {done.exit_code}"
        if not jobs:
            return Submitted(refusal=f"{program} refused the array: {code}", advice=advice)
        return Submitted(doubt=code)
    if len(jobs) == 1:
        return Submitted(next(iter(jobs)))
    if jobs:
        return Submitted(doubt="its answer speaks of several arrays")
    return Submitted(doubt="its answer is not understood")
