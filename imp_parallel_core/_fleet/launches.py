"""The launches of slaves, as the engine sees them: begun, queued, running, failed, begun again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._errors import Error, LaunchError
from .._launch.watch import LaunchReports, LaunchWatch
from .._plugins.launch import LaunchPhase, LaunchState
from .._plugins.registry import Plugins
from .._printable import printable_lines
from .._wire.link import close_quietly
from .inquiries import Evidence
from .record import SlaveRecord
from .state import SlaveState

if TYPE_CHECKING:
    from .._loop import Loop
    from .._wire.stream import Stream

_logger = logging.getLogger("imp_parallel.launch")


class Launches:
    """All launches of a Manager, each in a thread of its own.

    Args:
        records: the slaves, by index.
        plugins: who launches.
        loop: the engine's.
        entered: called with a slave whose launch has news, its new state and the details.
        failed: called with a slave that could not be launched, and why.
        ended: called with a slave that won't connect any more, and why.
        stream_made: called with a slave's index and the stream that its launch made.
        explained: called with a slave's index and what its launch says of it, when asked.
    """

    def __init__(
        self,
        records: Mapping[int, SlaveRecord],
        plugins: Plugins,
        loop: Loop[Any],
        *,
        entered: Callable[[SlaveRecord, SlaveState, str], None],
        failed: Callable[[SlaveRecord, str], None],
        ended: Callable[[SlaveRecord, str], None],
        stream_made: Callable[[int, Stream], None],
        explained: Callable[[int, Evidence], None],
    ) -> None:
        self.stream_made = stream_made
        self.explained = explained
        self._records = records
        self._plugins = plugins
        self._call_at = loop.call_at
        self._entered = entered
        self._failed = failed
        self._ended = ended
        self._post = loop.post
        self._watches: list[LaunchWatch] = []
        self._speakers: dict[int, LaunchReports] = {}
        self._connect_by: dict[int, float] = {}  # when slaves that run must have connected
        self._is_over = False

    def begin(self, records: Sequence[SlaveRecord]) -> None:
        """Launch slaves of one description, for the first time or again; none after the end."""
        if self._is_over:
            return
        bootstraps = [record.bootstrap for record in records]
        reports = _PostedReports(self, self._post)
        watch = LaunchWatch(self._plugins, records[0].description, bootstraps, reports)
        for record in records:
            record.watch = watch
            record.host = ""
            self._speakers[record.index] = reports
            self._connect_by.pop(record.index, None)
        try:
            watch.start()
        except RuntimeError as problem:  # there can't be another thread
            error = LaunchError(
                f"{problem}: the master has reached a limit of processes and threads (ulimit -u). "
                "Raise the limit, or add fewer slaves."
            )
            reports.launch_failed([record.index for record in records], error)
            return
        self._watches = [earlier for earlier in self._watches if earlier.is_alive()]
        self._watches.append(watch)
        self._await_states(records, watch, records[0].connect_timeout_s)

    def look_after(self, record: SlaveRecord) -> None:
        """Have the launch of a slave that is there again look after it again."""
        for watch in self._watches:
            if watch.holds_again(record.index):
                record.watch = watch

    def cancel(self, grace_s: float) -> None:
        """End all launches and their slaves; begin no more."""
        self._is_over = True
        for watch in self._watches:
            watch.cancel(grace_s)

    def join(self, deadline: float) -> list[str]:
        """Wait for the launches' threads; return those that are still busy."""
        for watch in self._watches:
            watch.join(max(0.0, deadline - time.monotonic()))
        return [watch.name for watch in self._watches if watch.is_alive()]

    # ---- what launches report

    def is_current(self, index: int, speaker: LaunchReports) -> bool:
        """Whether this speaks for a slave's last launch; an earlier one has no say any more."""
        return self._speakers.get(index) is speaker

    def launch_failed(self, indices: Sequence[int], error: Exception) -> None:
        """A plugin could not launch slaves."""
        text = str(error) if isinstance(error, Error) else f"{type(error).__name__}: {error}"
        text = printable_lines(text)
        for index in indices:
            record = self._records[index]
            if record.host:  # it is connected, whatever its launch says
                _logger.warning("the launch of %s failed, which is connected: %s", record, text)
            else:
                self._failed(record, text)

    def launch_state(self, index: int, state: LaunchState) -> None:
        """A launch has news of a slave that has not connected."""
        record = self._records[index]
        if record.host or record.state is SlaveState.GONE:
            return
        if state.phase is LaunchPhase.ENDED:
            self._ended(record, "it ended before it had connected")
        elif state.phase is LaunchPhase.QUEUED:
            self._entered(record, SlaveState.QUEUED, state.detail)
        else:
            self._entered(record, SlaveState.LAUNCHING, state.detail)
        if state.phase is not LaunchPhase.RUNNING:
            self._connect_by.pop(index, None)
        elif index not in self._connect_by:
            due = time.monotonic() + record.connect_timeout_s
            self._connect_by[index] = due
            self._call_at(due, lambda: self._check_connected(record, due))

    def _await_states(
        self, records: Sequence[SlaveRecord], watch: LaunchWatch, pause_s: float
    ) -> None:
        """See to it that a launch says how its slaves are, until it has done so once."""
        due = time.monotonic() + pause_s
        self._call_at(due, lambda: self._check_states(records, watch, pause_s))

    def _check_states(
        self, records: Sequence[SlaveRecord], watch: LaunchWatch, pause_s: float
    ) -> None:
        awaited = [
            record
            for record in records
            if record.watch is watch and record.state is SlaveState.LAUNCHING and not record.host
        ]
        if self._is_over or not awaited or watch.answers.has_told_states:
            return
        timeout_s = records[0].connect_timeout_s
        if watch.launched_at is None:  # the plugin has a limit of its own, which may be long
            _logger.warning("%s has not come to its end for %.0f s", watch.name, pause_s)
            self._await_states(records, watch, 2 * pause_s)
            return
        left_s = watch.launched_at + timeout_s - time.monotonic()
        if left_s > 0:
            self._await_states(records, watch, left_s)
            return
        text = f"its launch has not said how it is within {timeout_s:g} s (connect_timeout)"
        for record in awaited:
            self._ended(record, f"{text}: {watch.answers.trouble}")

    def _check_connected(self, record: SlaveRecord, due: float) -> None:
        """A slave has run for its connect_timeout, unless it was stopped or launched again."""
        if self._connect_by.get(record.index) != due:
            return
        if record.state is SlaveState.LAUNCHING and not record.host:
            seconds = record.connect_timeout_s
            text = f"it was started, but did not connect within {seconds:g} s (connect_timeout)"
            self._ended(record, text)


class _PostedReports(LaunchReports):
    """Brings the reports of one launch's thread into the engine's."""

    def __init__(self, launches: Launches, post: Callable[[Callable[[], None]], None]) -> None:
        self._launches = launches
        self._post = post

    def launch_failed(self, indices: Sequence[int], error: Exception) -> None:
        def tell() -> None:
            current = [index for index in indices if self._launches.is_current(index, self)]
            self._launches.launch_failed(current, error)

        self._post(tell)

    def stream_made(self, index: int, stream: Stream) -> None:
        self._tell(
            index,
            lambda: self._launches.stream_made(index, stream),
            lambda: close_quietly(stream),
        )

    def launch_state(self, index: int, state: LaunchState) -> None:
        self._tell(index, lambda: self._launches.launch_state(index, state))

    def explained(self, index: int, state: LaunchState | None, tail: str, command: str) -> None:
        evidence = Evidence(state, tail, command)
        self._tell(index, lambda: self._launches.explained(index, evidence))

    def _tell(
        self, index: int, tell: Callable[[], None], drop: Callable[[], None] | None = None
    ) -> None:
        """Have something told of a slave, or dropped if it is launched again by then."""

        def tell_or_drop() -> None:
            if self._launches.is_current(index, self):
                tell()
            elif drop is not None:
                drop()

        self._post(tell_or_drop)
