"""All launches of a Manager, each in a thread of its own: begun, and what they report."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from .._errors import Error, LaunchError
from .._explained import explained
from .._launch.queued import waiting
from .._launch.reports import LaunchReports
from .._launch.watch import LaunchWatch
from .._plugins.launch import LaunchState
from .._plugins.registry import Plugins
from .._printable import printable_lines
from .actions import LifeAction
from .evidence import Evidence
from .record import SlaveRecord
from .state import Stage
from .stuck import StuckLaunches

if TYPE_CHECKING:
    from .._loop import Loop
    from .._wire.stream import Stream

_logger = logging.getLogger("imp_parallel.launch")


class Launches:
    """Begins launches, and brings what they report into the lives of slaves.

    Args:
        plugins: those of the Manager, which launch slaves.
        loop: the engine's.
        perform: performs what a life decides.
        stream_made: called with a slave's index, the stream that its launch made, and the number of
            that launch.
    """

    def __init__(
        self,
        plugins: Plugins,
        loop: Loop[Any],
        perform: Callable[[SlaveRecord, list[LifeAction]], None],
        stream_made: Callable[[int, Stream, int], None],
    ) -> None:
        self._plugins = plugins
        self._loop = loop
        self._perform = perform
        self._stream_made = stream_made
        self._numbers = count(1)
        self._watches: list[LaunchWatch] = []
        self._waiting = waiting()
        self._stuck = StuckLaunches(loop)
        self._is_over = False

    def begin(self, records: Sequence[SlaveRecord]) -> None:
        """Launch slaves of one description, for the first time or again; none after the end."""
        if self._is_over:
            return
        number, now = next(self._numbers), time.monotonic()
        bootstraps = [record.bootstrap for record in records]
        reports = _Reports(number, records, self._loop.post, self._perform, self._stream_made)
        watch = LaunchWatch(
            self._plugins, records[0].description, bootstraps, reports, self._waiting
        )
        for record in records:
            record.watch = watch
            self._perform(record, record.life.launch_begun(number, now))
        try:
            watch.start()
        except RuntimeError as problem:  # there can't be another thread
            text = (
                f"{problem}: the master has reached a limit of processes and threads (ulimit -u). "
                "Raise the limit, or add fewer slaves."
            )
            error = LaunchError(explained(text, "process-limit"))
            reports.launch_failed([record.index for record in records], error)
            return
        self._watches = [earlier for earlier in self._watches if earlier.is_alive()]
        self._watches.append(watch)
        self._stuck.look_after(watch)
        self._await_launched(watch, reports, records[0].life.timeouts.connect_s, now)

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

    def _await_launched(
        self, watch: LaunchWatch, reports: _Reports, waited_s: float, begun_at: float
    ) -> None:
        """Tell people of a plugin that takes long to launch: it has a limit of its own."""

        def look() -> None:
            if not self._is_over and reports.is_awaited:
                text = f"{watch.name} has not come to its end for {waited_s:.0f} s"
                _logger.warning("%s", explained(text, "plugin-hangs", once=True))
                self._await_launched(watch, reports, 2 * waited_s, begun_at)

        self._loop.call_at(begun_at + waited_s, look)


class _Reports(LaunchReports):
    """Brings the reports of one launch's thread into the engine's, and into the slaves' lives."""

    def __init__(
        self,
        launch: int,
        records: Sequence[SlaveRecord],
        post: Callable[[Callable[[], None]], None],
        perform: Callable[[SlaveRecord, list[LifeAction]], None],
        stream_made: Callable[[int, Stream, int], None],
    ) -> None:
        self._launch = launch
        self._records = {record.index: record for record in records}
        self._post = post
        self._perform = perform
        self._stream_made = stream_made
        self._is_launched = False

    @property
    def is_awaited(self) -> bool:
        """Whether a slave waits for the plugin to come to the end of its launch."""
        return not self._is_launched and any(
            record.life.launching.number == self._launch and record.life.stage is Stage.LAUNCHING
            for record in self._records.values()
        )

    def launched(self) -> None:
        def tell() -> None:
            self._is_launched = True
            now = time.monotonic()
            for record in self._records.values():
                self._perform(record, record.life.launched(self._launch, now))

        self._post(tell)

    def launch_failed(self, indices: Sequence[int], error: BaseException) -> None:
        text = str(error) if isinstance(error, Error) else f"{type(error).__name__}: {error}"
        why = printable_lines(text or type(error).__name__)

        def tell() -> None:
            now = time.monotonic()
            for index in indices:
                record = self._records[index]
                self._perform(record, record.life.launch_failed(self._launch, why, now))

        self._post(tell)

    def stream_made(self, index: int, stream: Stream) -> None:
        self._post(lambda: self._stream_made(index, stream, self._launch))

    def launch_state(self, index: int, state: LaunchState) -> None:
        def tell() -> None:
            record = self._records[index]
            life = record.life
            self._perform(record, life.launch_state(self._launch, state, time.monotonic()))

        self._post(tell)

    def poll_failed(self, indices: Sequence[int], trouble: str) -> None:
        def tell() -> None:
            now = time.monotonic()
            for index in indices:
                record = self._records[index]
                self._perform(record, record.life.poll_failed(self._launch, trouble, now))

        self._post(tell)

    def explained(
        self,
        index: int,
        question: int,
        state: LaunchState | None,
        tail: str,
        command: str,
        trouble: str,
    ) -> None:
        evidence = Evidence(state, tail, command, trouble)

        def tell() -> None:
            record = self._records[index]
            self._perform(record, record.life.answer(question, evidence, time.monotonic()))

        self._post(tell)
