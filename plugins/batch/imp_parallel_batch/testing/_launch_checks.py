"""A check of a whole launch, on a host whose commands answer with samples."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imp_parallel_core import Bootstrap, CommandResult, LaunchError, LaunchPhase, LocalHost

from .._array import BatchSlaveArray
from .._beginning import begin
from .._launch import BatchLaunch
from .._pending_launch import PendingLaunch
from .._queue_watch import watch_of
from .._records import Array, Command
from .._system import BatchSystem
from ._samples import Samples

_LIMIT_S = 20.0
_LOOK_S = 0.05
_NO_ANSWER = CommandResult(1, "", "it does not answer")
_FAILURES: Sequence[CommandResult | OSError] = (
    OSError("the command can't be run"),
    TimeoutError("the command did not end within 15 s"),
    _NO_ANSWER,
    CommandResult(0, "\0garbage\n" * 3, ""),
)


class _Recording:
    """A batch system that remembers what it has said of submissions and deletions."""

    def __init__(self, system: BatchSystem) -> None:
        self._system = system
        self.submission_argv: Sequence[str] = ()
        self.deletions: list[Sequence[str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._system, name)

    def submission(self, array: Array) -> Command:
        command = self._system.submission(array)
        self.submission_argv = list(command.argv)
        return command

    def deletion(self, job: str, ranges: Sequence[range]) -> Sequence[Command]:
        commands = self._system.deletion(job, ranges)
        self.deletions += [list(command.argv) for command in commands]
        return commands


class _SampledHost(LocalHost):
    """Real files; commands that answer with samples, as if these were about the array's own job."""

    def __init__(self, system: _Recording, samples: Samples) -> None:
        self._system = system
        self._samples = samples
        self._job = samples.submitted[0][1]
        self._name = samples.array.name
        self.list: CommandResult | OSError = self._list_with(job_is_in=True)
        self.asked = 0
        self.deleted = 0

    def _list_with(self, *, job_is_in: bool) -> CommandResult:
        return next(
            done for done, jobs in self._samples.listed if bool(jobs.get(self._job)) == job_is_in
        )

    def run(
        self, argv: Sequence[str], *, timeout_s: float, input: bytes = b"", cwd: str | None = None
    ) -> CommandResult:
        """Answer a command."""
        words = list(argv)
        if words == self._system.submission_argv:
            found = re.search(r"imp_parallel-\w+", " ".join([*words, input.decode()]))
            self._name = found[0] if found else self._name
            return self._samples.submitted[0][0]
        if words == list(self._system.question().argv):
            self.asked += 1
            if isinstance(self.list, OSError):
                raise self.list
            return self._renamed(self.list)
        if words in self._system.deletions:
            self.deleted += 1
            self.list = self._list_with(job_is_in=False)
            return CommandResult(0, "", "")
        description = self._system.description(self._job, "")
        if description is not None and words == list(description.argv):
            described = [done for done, asked in self._samples.described if asked == self._job]
            return self._renamed(described[0]) if described else _NO_ANSWER
        if words[:2] == ["sh", "-c"]:  # the kit's own
            return super().run(argv, timeout_s=timeout_s, input=input, cwd=cwd)
        return _NO_ANSWER

    def _renamed(self, done: CommandResult) -> CommandResult:
        return done._replace(stdout=done.stdout.replace(self._samples.array.name, self._name))


def check_a_launch_concludes_nothing_from_failures(
    system: BatchSystem, samples: Samples, folder: Path
) -> None:
    """No slave counts as ended while the batch system does not answer, or answers nonsense.

    Args:
        system: the batch system.
        samples: recorded answers.
        folder: an empty folder.
    """
    recording = _Recording(system)
    host = _SampledHost(recording, samples)
    kind = type("SampledArray", (BatchSlaveArray,), {"system": recording})
    count = samples.array.size
    bootstraps = [
        Bootstrap(place, "python3", str(folder), f"{folder}/slave{place}.output", [])
        for place in range(count)
    ]
    try:
        launch = begin(kind(count, via=host), bootstraps)
    except LaunchError as problem:
        raise AssertionError(f"the array was not launched: {problem}") from problem
    job = samples.submitted[0][1]
    assert launch.job == job, f"the job of the launch is {launch.job}, not {job}"
    expected = _phases(launch)
    listed = next(jobs[job] for _, jobs in samples.listed if jobs.get(job))
    for number, phase in listed.items():
        place = number - system.first_task
        found = expected.get(place)
        assert found in (None, phase), f"task {number} is {found}, and the list says {phase}"
    watch = watch_of(system, host)
    for host.list in _FAILURES:
        asked, deadline = host.asked, time.monotonic() + _LIMIT_S
        while host.asked == asked and time.monotonic() < deadline:
            watch.look(0.0)
            time.sleep(_LOOK_S)
        phases = _phases(launch)
        assert phases == expected, f"after {host.list!r} the slaves are {phases}, not {expected}"
    try:
        launch.cancel(0.0)
    except LaunchError as problem:
        raise AssertionError(f"the job is not deleted at the end: {problem}") from problem
    assert host.deleted, "the job is not deleted at the end"
    assert not list(folder.glob(".imp_parallel-*")), "the documents are left at the end"


def _phases(launch: BatchLaunch | PendingLaunch) -> dict[int, LaunchPhase]:
    return {index: state.phase for index, state in launch.poll().items()}
