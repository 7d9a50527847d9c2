"""What a plugin says of its batch system. Pure: nothing here runs a command, or waits."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from itertools import zip_longest
from typing import Protocol

from imp_parallel_core import CommandResult

from ._records import Array, BatchEnd, BatchTask, Command, Description, Submitted


class Starter(Protocol):
    """What starts slaves on the slots of a job that the script runs in, such as ``mpiexec``.

    Derive from this class, if slaves are started by a command and nothing need be asked of a batch
    system. Each :class:`BatchSystem` is one, too.

    Attributes:
        name: for messages: ``"mpiexec"``.
        key: a short word. Messages are logged by ``imp_parallel.`` and this.
        task_pattern: what would stand for a slave's number in the path of an output file.
    """

    name: str
    key: str
    task_pattern: str

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


class BatchSystem(Starter, Protocol):
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

    def is_temporary(self, done: CommandResult) -> bool:
        """Return whether a refusal says that the batch system can't be reached, and no more.

        The kit submits the array again then, with pauses, for as long as a slave may take to
        connect, if the list or the description says that the job is not there.

        Args:
            done: the answer to a submission that :meth:`submitted` calls a refusal.
        """
        return False

    def may_have_been_taken(self, done: CommandResult) -> bool:
        """Return whether a job may come of a temporary refusal after all.

        That is so if the command got no answer, but may have been heard. Then another job of the
        array, which may come to be there when it has been submitted again, is looked for and
        deleted.

        Args:
            done: the answer to a submission that :meth:`is_temporary` is true of.
        """
        return True

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

    def rehearsal(self, job: str) -> Command | None:
        """Return the command that says whether a job could start, and touches nothing.

        It is run for a job that waits while :meth:`description` and the list give no reason. By
        default None.
        """
        return None

    def obstacles_in(self, done: CommandResult) -> str:
        """Read what :meth:`rehearsal` printed: why the job does not start, in a line.

        "" if that is not known. Raises ValueError.
        """
        return ""

    def accounting(self, job: str) -> Command | None:
        """Return the command that tells how the tasks of a job ended; by default None."""
        return None

    def ends_in(self, done: CommandResult) -> Sequence[BatchEnd]:
        """Read what :meth:`accounting` printed, the records of a task in their order.

        What can't be read is left out.
        """
        return ()


def logger_of(system: Starter) -> logging.Logger:
    """Return the logger of a batch system, or of what starts slaves."""
    return logging.getLogger(f"imp_parallel.{system.key}")
