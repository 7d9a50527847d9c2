"""What is known of slaves on a system that runs functions: what they report, and why they wait."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._explained import explained
from .launch import LaunchPhase, LaunchState
from .output_files import open_output

if TYPE_CHECKING:
    from .bootstrap import Bootstrap
    from .sent_array import SentSlaveArray


class SentStates:
    """The states of the slaves of a :class:`~.sent_launch.SentLaunch`, which derives from it.

    Any thread may call its methods. Of a slave without a report, it says that it is queued.

    Args:
        slaves: the description.
    """

    def __init__(self, slaves: SentSlaveArray) -> None:
        self.slaves = slaves
        self._output_paths: dict[int, str | None] = {}
        self._states: dict[int, LaunchState] = {}
        self._started_before: dict[int, str] = {}  # why those that are queued again are so
        self._places: dict[int, str] = {}
        self._places_before: dict[int, str] = {}  # the system was asked
        self._changed = threading.Condition()

    def _begin(self, bootstraps: Sequence[Bootstrap]) -> None:
        for bootstrap in bootstraps:
            self._output_paths[bootstrap.index] = bootstrap.output_path
            self._states[bootstrap.index] = LaunchState(LaunchPhase.QUEUED)

    def reported(self, report: Mapping[str, Any]) -> None:
        """Take a report of a slave's: where it runs, how it ended, what it has written.

        May be called in any thread. A launcher may add two texts to a report: ``why``, if the slave
        was ended for a reason that the slave can't know; and ``at``, the system's own name of where
        it runs, for :meth:`restarted_unless_at`.
        """
        index = report["index"]
        host, code, output = str(report["host"]), report["exit_code"], report["output"]
        self._places[index] = str(report.get("at", ""))
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

    def failed(self, index: int, problem: BaseException) -> None:
        """Take note that what should keep a slave failed there, if the slave has not ended."""
        words = " ".join(str(problem).split())
        kind = type(problem).__name__
        text = f"its {self.slaves.kept_by} failed: {kind}: {words}"
        self.ended(index, explained(text, *self.slaves.explained_by))

    def restarted_unless_at(self, places: Collection[str]) -> None:
        """Take note that the system starts slaves anew that ran at a place that it has no more.

        For :meth:`look`. Slaves that have come since it was called are not meant.
        """
        for index in self._in_phase(LaunchPhase.RUNNING):
            place = self._places_before.get(index)
            if place and place not in places and place == self._places[index]:
                system = self.slaves.system
                why = f"its {system} worker {place} has gone, and {system} starts it anew"
                self._started_before[index] = f"{why}; "
                self._set(index, LaunchState(LaunchPhase.QUEUED, why))

    def _in_phase(self, *phases: LaunchPhase) -> list[int]:
        """Return the numbers of the slaves that are in these phases."""
        with self._changed:
            return [index for index, state in self._states.items() if state.phase in phases]

    def _note_places(self) -> None:
        """Note where slaves run, before the system is asked which places it has."""
        running = self._in_phase(LaunchPhase.RUNNING)
        self._places_before = {index: self._places[index] for index in running}

    def _known(self) -> dict[int, LaunchState]:
        with self._changed:
            return dict(self._states)

    def _wait_for_room(self, reason: str) -> None:
        """Note why slaves wait that are queued; the core tells people, at times."""
        for index in self._in_phase(LaunchPhase.QUEUED):
            before = self._started_before.get(index, "")
            self._set(index, LaunchState(LaunchPhase.QUEUED, before + reason))

    def _set(self, index: int, state: LaunchState) -> None:
        with self._changed:
            if state.phase is not LaunchPhase.QUEUED:
                self._started_before.pop(index, None)
            self._states[index] = state
            self._changed.notify_all()
