"""Submits an array and finds its job's number, also if qsub's answer is odd or does not come."""

from __future__ import annotations

import logging
import queue
import shlex
import threading
import time
from collections.abc import Sequence

from imp_parallel_core import CommandResult, LaunchError

from ._grid_engine import GridEngine
from ._queue_list import parse_submission, says_that_it_verifies

_logger = logging.getLogger("imp_parallel.sge")

_SUBMIT_S = 120.0  # a submission may pass through a site's slow verifier
_FIRST_S = 2.0  # then the job is looked for: qsub may wait for something else
_GROWTH = 3.0
_TRIES = 3
_SHOWN_LINES = 10  # of the beginning, and of the end
_SHOWN_CHARACTERS = 300  # of a line
_PAUSE_S = 1.0


class Submission:
    """One call of qsub.

    Args:
        grid_engine: whose qsub.
        argv: its command line.
        script: the job's script.
        cwd: where to run it.
        count: how many tasks the array has.
        mark: a text that neither the name nor the output path of any other job holds.
    """

    def __init__(
        self,
        grid_engine: GridEngine,
        argv: Sequence[str],
        script: str,
        cwd: str,
        *,
        count: int,
        mark: str,
    ) -> None:
        self._grid_engine = grid_engine
        self._argv = argv
        self._script = script
        self._cwd = cwd
        self._count = count
        self._mark = mark
        self.name = _name_in(argv)
        """The job's name."""
        self._answers: queue.SimpleQueue[CommandResult | Exception] = queue.SimpleQueue()

    def submit(self) -> int:
        """Submit the array; return its job's number. Raises LaunchError.

        A qsub that goes on although its job is there is not waited for (``-sync y`` in a file of
        default options can't be undone). It is killed at its deadline, which the job survives.
        """
        begun_at = time.monotonic()
        threading.Thread(target=self._run, name="imp_parallel qsub", daemon=True).start()
        pause_s = _FIRST_S
        while True:
            try:
                return self._understand(self._answers.get(timeout=pause_s))
            except queue.Empty:
                pass
            number = self._grid_engine.find(self.name, self._mark)
            if number is not None:
                _logger.info("qsub has not ended, but job %d (%s) is there", number, self.name)
                return number
            waited_s = time.monotonic() - begun_at
            _logger.warning(
                "qsub has not answered for %.0f s (it is given %.0f s): is qmaster busy, or a "
                "site's verifier of jobs?",
                waited_s,
                _SUBMIT_S,
            )
            pause_s = (_GROWTH - 1) * waited_s

    def _run(self) -> None:
        try:
            answer = self._grid_engine.host.run(
                self._argv, input=self._script.encode(), cwd=self._cwd, timeout_s=_SUBMIT_S
            )
        except Exception as problem:  # after a bug, too, nobody must wait for ever
            self._answers.put(problem)
        else:
            self._answers.put(answer)

    def _understand(self, answer: CommandResult | Exception) -> int:
        if isinstance(answer, Exception):
            return self._search(str(answer), None)
        answered = parse_submission(answer.stdout, self._count)
        arrays = answered | parse_submission(answer.stderr, self._count)
        if not arrays and says_that_it_verifies(f"{answer.stdout}\n{answer.stderr}"):
            raise self._only_verified(answer)
        if answer.exit_code != 0:
            if not arrays:
                raise self._refusal(answer)
            return self._search(f"exit code {answer.exit_code}", answer)
        if len(arrays) == len(answered) == 1:
            return answered.pop()
        if len(arrays) > 1:
            return self._search("its answer speaks of several arrays", answer)
        return self._search("its answer is not understood", answer)

    def _search(self, problem: str, answer: CommandResult | None) -> int:
        """Look for the job by its name: after qsub's answer it is not certain that it is there."""
        said = f"\n{_quoted(answer)}" if answer is not None else ""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE_S)
            number = self._grid_engine.find(self.name, self._mark)
            if number is not None:
                _logger.warning(
                    "qsub: %s; but job %d (%s) is there%s", problem, number, self.name, said
                )
                return number
        raise LaunchError(
            f"it is not known whether the array was submitted: {problem}\n"
            f"    command: {shlex.join(self._argv)}{said}\n"
            f"    No job {self.name} was found, but it may come to be there: look for it with "
            f"qstat -j {self.name}, and delete it with qdel.",
            command=self._argv,
            exit_code=answer.exit_code if answer is not None else None,
            output=_shortened(answer.words) if answer is not None else "",
        )

    def _refusal(self, answer: CommandResult) -> LaunchError:
        return LaunchError(
            f"qsub refused the array: exit code {answer.exit_code}\n"
            f"    command: {shlex.join(self._argv)}\n{_quoted(answer)}\n"
            "    Compare the options with what works for qsub by hand (qconf -sql lists the "
            "queues, qconf -sc what -l may ask for).",
            command=self._argv,
            exit_code=answer.exit_code,
            output=_shortened(answer.words),
        )

    def _only_verified(self, answer: CommandResult) -> LaunchError:
        return LaunchError(
            "nothing was submitted: your default options for qsub only verify (-verify, -w v or "
            "-w p). They are in ~/.sge_request, in .sge_request of the script's folder, or in "
            "$SGE_ROOT/$SGE_CELL/common/sge_request: take the option out.\n"
            f"    command: {shlex.join(self._argv)}\n{_quoted(answer)}",
            command=self._argv,
            exit_code=answer.exit_code,
            output=_shortened(answer.words),
        )


def _name_in(argv: Sequence[str]) -> str:
    """Return the job's name: the last one that is given to qsub."""
    return argv[max(at for at, word in enumerate(argv[:-1]) if word == "-N") + 1]


def _quoted(answer: CommandResult) -> str:
    lines = _shortened(answer.words).splitlines()
    return "\n".join(f"    | {line}" for line in lines) or "    (it said nothing)"


def _shortened(words: str) -> str:
    """Return the beginning and the end of what qsub said: it may quote the whole job script."""
    lines = [line[:_SHOWN_CHARACTERS] for line in words.splitlines()]
    if len(lines) > 2 * _SHOWN_LINES:
        more = f"… ({len(lines) - 2 * _SHOWN_LINES} more lines)"
        lines[_SHOWN_LINES:-_SHOWN_LINES] = [more]
    return "\n".join(lines)
