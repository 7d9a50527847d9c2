"""Launching slaves by a system that runs functions on machines of its own, such as Dask or Ray."""

from __future__ import annotations

import abc
import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..reminder import Reminder
from .kept_slave import ARCHIVE, WARNED_S, start_slave
from .launch import LaunchPhase, LaunchState, read_tail
from .output_files import open_output
from .sent import Sent

if TYPE_CHECKING:
    from .bootstrap import Bootstrap

_DROPPED_S = 10.0
_REMIND_S = 10.0  # after which people are told first that all slaves wait


def sent_slave(bootstrap: Bootstrap) -> Sent:
    """Return what starts a slave on a machine of a system that runs functions.

    There it is called with the bytes of :func:`slave_archive`, and returns a ``KeptSlave``, whose
    ``wait(limit_s)`` returns whether the slave has ended; whose ``report()`` is what
    :meth:`SentLaunch.reported` takes; and whose ``end()`` ends the slave and returns its last
    report. It has to be called in any case. The process that calls it keeps the slave: when the
    process ends, in whatever way, the slave is killed.

    The slave is run by the Python of that process, unless the user has given a ``python=``. Its
    class needs a transport. It writes to the same output file as on the master if that is
    there; otherwise its reports hold what it writes.
    """
    is_own = bootstrap.python == sys.executable
    python = "python3" if is_own else bootstrap.python
    there = bootstrap._replace(python=python, has_own_files=True)
    words = there.command("stdin", "warned", str(WARNED_S), code_path=ARCHIVE)
    if is_own:
        words[0] = ""
    output = bootstrap.output_path
    place = None if output is None else (output, os.stat(output).st_ino)
    return Sent(start_slave, words, there.document(), dict(bootstrap.environment), place)


class SentLaunch(abc.ABC):
    """The launch of such slaves, a WithdrawingLaunch; a launcher's own class derives from it.

    It knows each slave's state from its reports. Of a slave without a report, it says that it is
    queued. The subclass begins to start the slaves, hands their reports over, in any thread,
    implements :meth:`drop`, and overrides :meth:`poll` to tell why slaves wait and which have ended
    without a last report.

    Args:
        bootstraps: one for each slave.
        logger: tells people, now and then, that all slaves wait.
        what: the slaves, for that message.
    """

    def __init__(
        self, bootstraps: Sequence[Bootstrap], logger: logging.Logger, what: object
    ) -> None:
        self.command: dict[int, Sequence[str]] = {
            bootstrap.index: bootstrap._replace(has_own_files=True).command("stdin")
            for bootstrap in bootstraps
        }
        self._output_paths = {bootstrap.index: bootstrap.output_path for bootstrap in bootstraps}
        self._states = {index: LaunchState(LaunchPhase.QUEUED) for index in self._output_paths}
        self._started_before: dict[int, str] = {}  # why those that are queued again are so
        self._changed = threading.Condition()
        self._logger = logger
        self._what = what
        self._since = time.monotonic()
        self._reminder = Reminder(_REMIND_S)
        self.reminds_of_queue = False
        """Whether people are told here that all slaves wait, so that the core need not."""

    @abc.abstractmethod
    def drop(self, index: int) -> None:
        """Take a slave out of the system, whether it waits or runs, and end it; never wait.

        If no report of the slave's end will come, call :meth:`ended`. May be called twice.
        """

    def reported(self, index: int, report: Mapping[str, Any]) -> None:
        """Take a report of a slave's: where it runs, how it ended, what it has written.

        A launcher that has ended the slave may add why: ``{**report, "why": …}``.
        """
        host, code, output = str(report["host"]), report["exit_code"], report["output"]
        path = self._output_paths[index]
        if output and path is not None:
            with open_output(path) as file:
                file.write(output)
        if why := str(report.get("why", "")):
            self._set(index, LaunchState(LaunchPhase.ENDED, why))
            return
        phase = LaunchPhase.RUNNING if code is None else LaunchPhase.ENDED
        self._set(index, LaunchState(phase, f"on {host}, process {report['pid']}", code))

    def ended(self, index: int, why: str) -> None:
        """Take note that a slave ended, if it has not said so itself."""
        if self._states[index].phase is not LaunchPhase.ENDED:
            self._set(index, LaunchState(LaunchPhase.ENDED, why))

    def queued_again(self, index: int, why: str) -> None:
        """Take note that a slave has gone, and that the system starts it anew."""
        self._started_before[index] = f"{why}; "
        self._set(index, LaunchState(LaunchPhase.QUEUED, why))

    def in_phase(self, *phases: LaunchPhase) -> list[int]:
        """Return the numbers of the slaves that are in these phases."""
        with self._changed:
            return [index for index, state in self._states.items() if state.phase in phases]

    def wait_for_room(self, reason: str) -> None:
        """Take note of why slaves wait that are queued; tell people if all of them do, at times."""
        queued = self.in_phase(LaunchPhase.QUEUED)
        for index in queued:
            before = self._started_before.get(index, "")
            self._set(index, LaunchState(LaunchPhase.QUEUED, before + reason))
        waited_s = time.monotonic() - self._since
        self.reminds_of_queue = len(queued) == len(self._states)
        if self.reminds_of_queue and self._reminder.remind(waited_s):
            text = "all %d slaves of %s are still queued after %.0f s: %s"
            self._logger.warning(text, len(queued), self._what, waited_s, reason)

    def poll(self) -> Mapping[int, LaunchState]:
        """Return the state of each slave."""
        with self._changed:
            return dict(self._states)

    def withdraw(self, indices: Collection[int]) -> None:
        """Drop slaves that are not needed."""
        for index in indices:
            self.drop(index)
            self.ended(index, "it was withdrawn")

    def cancel(self, grace_s: float) -> None:
        """Wait for slaves to leave; then drop all, and wait until those that run have ended."""
        self._wait_for_ends(grace_s)
        for index in self._states:
            self.drop(index)
        self._wait_for_ends(_DROPPED_S)

    def _wait_for_ends(self, limit_s: float) -> None:
        with contextlib.suppress(Exception):  # the system's: of what has gone, nobody hears
            self.poll()
        with self._changed:
            self._changed.wait_for(lambda: not self.in_phase(LaunchPhase.RUNNING), limit_s)

    def log_tail(self, index: int) -> str:
        """Return the end of a slave's output, as far as it is known here."""
        return read_tail(self._output_paths[index])

    def _set(self, index: int, state: LaunchState) -> None:
        with self._changed:
            if state.phase is not LaunchPhase.QUEUED:
                self._started_before.pop(index, None)
            self._states[index] = state
            self._changed.notify_all()
