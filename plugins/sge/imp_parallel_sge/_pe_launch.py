"""Slaves on the slots of a parallel environment: the first runs here, qrsh starts the others."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping, Sequence

from imp_parallel_batch.allocation import documents_of_job, slave_line, warn_if_only_here

from imp_parallel_core import (
    Accept,
    Bootstrap,
    Launch,
    LaunchPhase,
    LaunchState,
    start_processes,
)

from ._pe_array import granted_slots
from ._system import GRID_ENGINE

_LEAVE_S = 30.0  # for slaves that still start to find that the master has gone
_TERMINATED_S = 2.0  # for qrsh to end its slave
_NOT_ACCEPTED = "didn't accept task"  # says qrsh, where control_slaves is FALSE


class PELaunch:
    """The slaves of one parallel environment: local processes, of which all but one are qrsh.

    Args:
        bootstraps: one for each slot.
        accept: is given the stream of the first; the others come through the transport.

    Raises LaunchError if a process can't be started.
    """

    def __init__(self, bootstraps: Sequence[Bootstrap], accept: Accept) -> None:
        if len(bootstraps) > 1:
            warn_if_only_here(GRID_ENGINE, bootstraps[1].addresses)
        slots = [grant.host for grant in granted_slots() for _ in range(grant.slots)]
        self._hosts = {each.index: host for each, host in zip(bootstraps, slots, strict=True)}
        self._tasks = {each.index: number for number, each in enumerate(bootstraps, 1)}
        self._bootstraps = {each.index: each for each in bootstraps}
        self._documents = documents_of_job(
            GRID_ENGINE,
            bootstraps[0].cwd,
            dict(enumerate(bootstraps[1:], 2)),  # the first has its own through a socket
            job=os.environ.get("JOB_ID", ""),
            name=os.environ.get("JOB_NAME", ""),
        )
        self._launches: list[Launch] = []
        try:
            self._launches.append(start_processes(bootstraps[:1], accept))
            self._launches.append(
                start_processes(
                    bootstraps[1:],
                    accept,
                    self._behind_qrsh,
                    document="file",
                    terminate_s=_TERMINATED_S,
                )
            )
        except BaseException:
            self.cancel(0.0)
            raise
        self.command = {index: self._shown_command(index) for index in self._tasks}

    def _behind_qrsh(self, argv: Sequence[str], bootstrap: Bootstrap) -> Sequence[str]:
        line = slave_line(GRID_ENGINE, bootstrap, self._document(bootstrap.index))
        return ["qrsh", "-inherit", self._hosts[bootstrap.index], line]

    def _shown_command(self, index: int) -> Sequence[str]:
        """Return what errors show: the lines that only guard the start are left out."""
        bootstrap = self._bootstraps[index]
        if self._tasks[index] == 1:
            return bootstrap.command("stdin")
        argv = bootstrap.command("file", self._document(index))
        return ["qrsh", "-inherit", self._hosts[index], *argv]

    def _document(self, index: int) -> str:
        return f"{self._documents.folder}/{self._tasks[index]}"

    def poll(self) -> Mapping[int, LaunchState]:
        """Return which slaves run, and how the others ended: as their qrsh did."""
        states: dict[int, LaunchState] = {}
        for launch in self._launches:
            states.update(launch.poll())
        for index, state in states.items():
            if state.phase is LaunchPhase.ENDED and _NOT_ACCEPTED in self.log_tail(index):
                states[index] = LaunchState(LaunchPhase.ENDED, _not_accepted(state.exit_code))
        return states

    def note_connections(self, connected: Collection[int], parted: Collection[int]) -> None:
        """Remove the documents of slaves that have connected; qrsh starts none of them anew."""
        self._documents.forget(self._tasks[index] for index in connected)

    def cancel(self, grace_s: float) -> None:
        """Let the slaves leave, then end them: a slave ends with its qrsh.

        Grid Engine ends the whole job, and the user's script with it, when a task of the parallel
        environment is killed. So slaves that have not connected yet get the time to start, to find
        nobody, and to leave.
        """
        deadline = time.monotonic() + max(grace_s, _LEAVE_S)
        for launch in self._launches:
            launch.cancel(max(0.0, deadline - time.monotonic()))
        self._documents.remove()

    def log_tail(self, index: int) -> str:
        """Return the end of a slave's output."""
        return self._documents.tail(self._tasks[index], self._bootstraps[index])


def _not_accepted(code: int | None) -> str:
    name = os.environ.get("PE", "NAME")
    return (
        f"exit code {code}: its host takes no tasks of this job. The parallel environment must "
        f"have control_slaves TRUE (qconf -sp {name} shows it; an administrator sets it by "
        f"qconf -mp {name}); or use SGEQsubSlaveArray"
    )
