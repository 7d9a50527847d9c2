"""Submits an array and finds its job's number, also if the answer is odd or does not come."""

from __future__ import annotations

import queue
import shlex
import threading
import time

from imp_parallel_core import CommandResult, LaunchError, explained

from ._cluster import UNKNOWN, Cluster
from ._plugin_calls import call_for
from ._records import Array, Command, Submitted
from ._repeats import Repeats

_SUBMIT_S = 120.0  # a submission may pass through a site's slow verifier
_FIRST_S = 2.0  # then the job is looked for: the command may wait for something else
_GROWTH = 3.0
_TRIES = 3
_SHOWN_LINES = 10  # of the beginning, and of the end
_SHOWN_CHARACTERS = 300  # of a line
_PAUSE_S = 1.0


class OutOfReach(LaunchError):
    """An array was not submitted, since the batch system can't be reached for the moment."""


class Submission:
    """The submission of an array: one call of the command, and more if nobody is reached.

    Args:
        cluster: where to.
        array: what to submit. Its name is a text that no other job's description holds.
        cwd: where to run the command.
    """

    def __init__(self, cluster: Cluster, array: Array, cwd: str) -> None:
        self._cluster = cluster
        self._array = array
        self._cwd = cwd
        self._command = call_for(Command, cluster.system.submission, array)
        self._program = self._command.program
        self.argv = self._command.typed
        """Its command line, for messages."""
        self.options = array.options
        """The user's options."""
        self.name = call_for(str, cluster.system.job_name, array)
        """The job's name."""
        self.repeats = Repeats(cluster, self.name, array.name)
        """What to do about jobs that were submitted in vain, as it seemed."""
        self._count = 0
        self._is_asking = False
        self._may_be_there = False
        self._not_before = 0.0
        self._answers: queue.SimpleQueue[CommandResult | Exception] = queue.SimpleQueue()

    def submit(self) -> str:
        """Submit the array; return its job's number. Raises LaunchError; OutOfReach to try again.

        A command that goes on although its job is there is not waited for (some defaults of a site
        can't be undone). It is killed at its deadline, which the job survives.
        """
        self._count += 1
        self._is_asking = True
        try:
            return self._submit()
        finally:
            self._is_asking = False

    def _submit(self) -> str:
        begun_at = time.monotonic()
        logger = self._cluster.logger
        self._write_files()
        threading.Thread(target=self._run, name="imp_parallel submit", daemon=True).start()
        pause_s = _FIRST_S
        while True:
            try:
                answer = self._answers.get(timeout=pause_s)
                return self._understand(answer, time.monotonic() - begun_at)
            except queue.Empty:
                pass
            job, _ = self._find()
            if job is not None:
                text = "%s has not ended, but job %s (%s) is there"
                logger.info(text, self._program, job, self.name)
                return job
            waited_s = time.monotonic() - begun_at
            logger.warning(
                "%s has not answered for %.0f s (it is given %.0f s): is %s busy, or a site's "
                "verifier of jobs?",
                self._program,
                waited_s,
                _SUBMIT_S,
                self._cluster.system.name,
            )
            pause_s = (_GROWTH - 1) * waited_s

    def submit_again(self) -> str:
        """Submit it after an OutOfReach, unless the job is there. Raises as :meth:`submit` does.

        Nothing is submitted as long as nobody can say whether the job is there, nor at once after a
        submission that may be carried out yet.
        """
        job, trouble = self._find()
        if job is not None:
            return job
        if trouble:
            trouble = f"job {self.name} can't be looked for: {trouble}"
        elif time.monotonic() < self._not_before:
            trouble = f"job {self.name} may come to be there yet"
        if trouble:
            raise OutOfReach(trouble, command=self.argv)
        job = self.submit()
        return self.repeats.first_of(job) if self.may_be_repeated else job

    @property
    def may_be_repeated(self) -> bool:
        """Whether the array may be there, or come to be there, more than once."""
        return self._may_be_there and self._count > 1

    def look_once_more(self) -> str | None:
        """Return the job if it is there after all, before it is given up.

        People are told if that is not known, and the job may come to be there.
        """
        if not self._may_be_there:
            return None
        job, trouble = self._find()
        if trouble:
            self._tell_of_silence(trouble)
        return job

    def abandon(self) -> None:
        """Tell people if the job may come to be there after the end of the script."""
        if self._is_asking or self._may_be_there:
            self._tell_of_silence("the script ends before that is known")

    def _tell_of_silence(self, why: str) -> None:
        text = (
            f"it is not known whether {self._program} has submitted job {self.name} ({why}), which "
            f"may come to be there: {self._cluster.how_to_look(self.name)}"
        )
        self._cluster.logger.warning("%s", explained(text, "submission-unknown", once=True))

    def _write_files(self) -> None:
        files = {name: text.encode() for name, text in self._command.files.items()}
        if files:
            try:
                self._cluster.host.write_files(self._array.folder, files)
            except OSError as problem:
                raise LaunchError(f"can't write {', '.join(files)}: {problem}") from problem

    def _run(self) -> None:
        try:
            answer = self._cluster.run(self._command, _SUBMIT_S, cwd=self._cwd)
        except Exception as problem:  # after a bug, too, nobody must wait for ever
            self._answers.put(problem)
        else:
            self._answers.put(answer)

    def _understand(self, answer: CommandResult | Exception, took_s: float) -> str:
        if isinstance(answer, Exception):
            return self._search(str(answer), None)
        try:
            told = call_for(Submitted, self._cluster.system.submitted, answer, self._array)
        except ValueError as problem:
            return self._search(str(problem), answer)
        if told.refusal:
            return self._check_refusal(told, answer, took_s)
        if not told.job:
            return self._search(told.doubt or "its answer is not understood", answer)
        return told.job

    def _check_refusal(self, told: Submitted, answer: CommandResult, took_s: float) -> str:
        """Return the job that is there all the same. Raises LaunchError, as there usually is none.

        A command may fail after the batch system has taken the job, as when a connection breaks;
        but not if it has told the batch system nothing.
        """
        if told.is_untold:
            raise self._refusal(told, answer, "", LaunchError)
        job, trouble = self._find()
        if job is not None:
            return self._found(job, told.refusal, answer)
        is_temporary = call_for(bool, self._cluster.system.is_temporary, answer)
        if is_temporary and call_for(bool, self._cluster.system.may_have_been_taken, answer):
            self._may_be_there = True
            self._not_before = time.monotonic() + took_s  # a busy system may need as long again
        raise self._refusal(told, answer, trouble, OutOfReach if is_temporary else LaunchError)

    def _find(self) -> tuple[str | None, str]:
        """Return the array's job; None if it is not there, with the trouble if nobody can say."""
        try:
            return self._cluster.find(self.name, self._array.name), ""
        except UNKNOWN as problem:
            return None, str(problem)

    def _found(self, job: str, problem: str, answer: CommandResult | None) -> str:
        said = f"\n{_quoted(answer)}" if answer is not None else ""
        text = "%s: %s; but job %s (%s) is there%s"
        self._cluster.logger.warning(text, self._program, problem, job, self.name, said)
        return job

    def _search(self, problem: str, answer: CommandResult | None) -> str:
        """Look for the job by its name: after this answer it is not certain that it is there."""
        said = f"\n{_quoted(answer)}" if answer is not None else ""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE_S)
            job, trouble = self._find()
            if job is not None:
                return self._found(job, problem, answer)
        found = f"No job {self.name} was found"
        if trouble:
            found = f"The job {self.name} could not be looked for ({_indented(trouble)})"
        text = (
            f"it is not known whether the array was submitted: {problem}\n"
            f"    command: {shlex.join(self.argv)}{said}\n"
            f"    {found}, but it may come to be there: {self._cluster.how_to_look(self.name)}"
        )
        raise LaunchError(
            explained(text, "submission-unknown"),
            command=self.argv,
            exit_code=answer.exit_code if answer is not None else None,
            output=_shortened(answer.words) if answer is not None else "",
        )

    def _refusal(
        self, told: Submitted, answer: CommandResult, trouble: str, kind: type[LaunchError]
    ) -> LaunchError:
        advice = f"\n    {told.advice}" if told.advice else ""
        if trouble and kind is not OutOfReach:
            advice += (
                f"\n    Whether job {self.name} is there all the same could not be found out "
                f"({_indented(trouble)}): {self._cluster.how_to_look(self.name)}"
            )
        return kind(
            f"{told.refusal}\n    command: {shlex.join(self.argv)}\n{_quoted(answer)}{advice}",
            command=self.argv,
            exit_code=answer.exit_code,
            output=_shortened(answer.words),
        )


def _indented(words: str) -> str:
    """Return what a command has said, to be quoted within a line: more lines are below that."""
    return _shortened(words).replace("\n", "\n    | ")


def _quoted(answer: CommandResult) -> str:
    lines = _shortened(answer.words).splitlines()
    return "\n".join(f"    | {line}" for line in lines) or "    (it said nothing)"


def _shortened(words: str) -> str:
    """Return the beginning and the end of what was said: it may quote the whole job script."""
    lines = [line[:_SHOWN_CHARACTERS] for line in words.splitlines()]
    if len(lines) > 2 * _SHOWN_LINES:
        more = f"… ({len(lines) - 2 * _SHOWN_LINES} more lines)"
        lines[_SHOWN_LINES:-_SHOWN_LINES] = [more]
    return "\n".join(lines)
