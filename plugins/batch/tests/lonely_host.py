"""A host that does not reach its batch system, and what tests ask of an array that waits there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from imp_parallel_batch import BatchSlaveArray, launch_array
from imp_parallel_batch._pending_launch import PendingLaunch
from made_up_host import MadeUpHost

from imp_parallel_core import Bootstrap, CommandResult, LaunchPhase

NOBODY = CommandResult(1, "", "put: nobody is in the stable\n")
TAKEN = CommandResult(0, "job 7\n", "")


def launch_on(host: MadeUpHost, *, limit_s: float = 60.0, **members: Any) -> PendingLaunch:
    """Launch slaves 3 and 4 of a queue that says when it can't be reached."""

    def is_temporary(self: Any, done: CommandResult) -> bool:
        return "nobody" in done.stderr

    members = {"is_temporary": is_temporary, **members}
    system = type("Other", (type(host.queue),), members)()
    kind = type("Slaves", (BatchSlaveArray,), {"system": system})
    bootstraps = [
        Bootstrap(
            *(index, "python3", str(host.folder), f"{host.folder}/{index}.out", []),
            connect_timeout_s=limit_s,
        )
        for index in (3, 4)
    ]
    launch = launch_array(kind(2, via=host), bootstraps)
    assert isinstance(launch, PendingLaunch)
    return launch


def tried_again(host: MadeUpHost, times: int = 2) -> Callable[[], bool]:
    """Return whether the array was submitted so many times again."""
    goal = len(host.asked("put")) + times
    return lambda: len(host.asked("put")) >= goal


def are(launch: PendingLaunch, phase: LaunchPhase) -> Callable[[], bool]:
    """Return whether all slaves are in a phase."""
    return lambda: {state.phase for state in launch.poll().values()} == {phase}


def folders(host: MadeUpHost) -> list[Path]:
    """Return the folders with documents."""
    return list(host.folder.glob(".imp_parallel-*"))


class Silence:
    """A list that can't be read, as long as a test wants that."""

    def __init__(self, host: MadeUpHost) -> None:
        self._read: Callable[[Any, CommandResult], Mapping[str, Any]] = type(host.queue).tasks_in
        self.lasts = True
        self.asked = 0

    def tasks_in(self, system: Any, done: CommandResult) -> Mapping[str, Any]:
        """Read the list."""
        self.asked += 1
        if self.lasts:
            raise ValueError("cut off")
        return self._read(system, done)


class Late:
    """A host's queue, in which jobs come to be there after a command has been run so often.

    Args:
        host: whose queue.
        program: the command.
        count: how often.
        lines: the list, then.
    """

    def __init__(self, host: MadeUpHost, program: str, count: int, lines: list[str]) -> None:
        self._run = host.run
        self._host = host
        self._program = program
        self._count = count
        self._lines = lines

    def run(self, argv: Sequence[str], **how: Any) -> CommandResult:
        """Run a command."""
        done = self._run(argv, **how)
        if argv[0] == self._program and len(self._host.asked(self._program)) == self._count:
            self._host.lines = self._lines
        return done
