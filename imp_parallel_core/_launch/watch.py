"""The thread of one launch: calls the plugin, which may wait, so that the engine never does."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from .._plugins.contract import described, package_of
from .._plugins.launch import (
    LaunchPhase,
    LaunchState,
    can_end_slave,
    can_withdraw,
    is_informed,
)
from .._plugins.registry import Plugins
from .._plugins.slaves import describe
from .._printable import printable_lines
from .._wire.link import close_quietly
from .answers import Answers, is_known
from .calls import Call, Calls
from .late import Delays
from .queued import QueuedSlaves, Waiting
from .reports import LaunchReports

if TYPE_CHECKING:
    from .._plugins.bootstrap import Bootstrap
    from .._plugins.launch import Launch
    from .._plugins.slaves import Slave
    from .._wire.stream import Stream

_logger = logging.getLogger("imp_parallel.launch")

_FIRST_POLL_S = 0.1
_LAST_POLL_S = 30.0
_POLL_GROWTH = 1.5
_ENDING_S = 0.5  # how long after a connection's end the launch may take to notice
_ENDING_POLL_S = 0.005


class LaunchWatch(threading.Thread):
    """Launches slaves, looks after them until they have connected, and explains their ends.

    Args:
        plugins: whom to ask for the launch.
        slaves: the description.
        bootstraps: one for each slave.
        reports: whom to tell.
        waiting: what the launches of a Manager share.
    """

    def __init__(
        self,
        plugins: Plugins,
        slaves: Slave,
        bootstraps: Sequence[Bootstrap],
        reports: LaunchReports,
        waiting: Waiting,
    ) -> None:
        self.what = describe(slaves)
        """The launch, for messages."""
        super().__init__(name=f"imp_parallel launch of {self.what}", daemon=True)
        self._plugins = plugins
        self._slaves = slaves
        self._bootstraps = bootstraps
        self._reports = reports
        self._requests: queue.SimpleQueue[Callable[[Launch], None] | None] = queue.SimpleQueue()
        self._unconnected = {bootstrap.index for bootstrap in bootstraps}
        self._states: dict[int, LaunchState] = {}  # as they were last reported
        self._poll_failure = ""  # likewise
        self._calls = Calls()
        self._answers = Answers(self.what, self._calls)
        self._delays = Delays(bootstraps)
        self._queued = QueuedSlaves(self.what, waiting)
        self._pause_s = _FIRST_POLL_S
        self._streams: dict[int, Stream] = {}
        self._let_go: set[int] = set()
        self._is_over = False
        self._connected: set[int] = set()
        self._news: set[int] = set()  # of which slaves an InformedLaunch has to be told
        self._lock = threading.Lock()  # of these five
        self.can_withdraw = False
        """Whether the launch can take slaves out of a queue."""
        self._is_cancelled = threading.Event()
        self._grace_s = 0.0

    # ---- called by the engine

    def note_connection(self, index: int, *, is_connected: bool) -> None:
        """A slave has connected, and need not be polled for; or it has no connection any more.

        Args:
            index: the slave's.
            is_connected: False if its connection has broken, or if it is not heard.
        """
        with self._lock:
            if is_connected == (index in self._connected):
                return
            self._connected ^= {index}
            is_first = not self._news
            self._news.add(index)
        if is_first:  # who comes until the launch's thread has time is told of at once
            self._requests.put(self._tell_of_connections)

    def explain(self, index: int, question: int, *, has_ended: bool) -> None:
        """Report how a slave is, and the end of its output.

        Args:
            index: the slave's.
            question: a number for the answer.
            has_ended: its connection has ended, so the launch should see it end soon.
        """
        self._requests.put(lambda launch: self._explain(launch, index, question, has_ended))

    def withdraw(self, indices: Sequence[int]) -> None:
        """Have slaves taken out of the queue; they have been given up."""
        self._requests.put(lambda launch: self._withdraw(launch, indices))

    def let_go(self, index: int, grace_s: float = 0.0) -> None:
        """End what is left of one slave that was lost. The others go on; the last ends the thread.

        Args:
            index: the slave's.
            grace_s: if it is the last, how long it may take to leave by itself.
        """
        with self._lock:
            self._let_go.add(index)
            is_last = len(self._let_go) == len(self._bootstraps)
            stream = self._streams.pop(index, None)
        if stream is not None:
            close_quietly(stream)
        if is_last:
            self.cancel(grace_s)
        else:
            self._requests.put(lambda launch: self._end_slave(launch, index))

    def holds_again(self, index: int) -> bool:
        """Look after a slave again that was let go of, if it was; return whether."""
        with self._lock:
            if index not in self._let_go or self._is_cancelled.is_set():
                return False
            self._let_go.discard(index)
            return True

    @property
    def plugin(self) -> str:
        """What messages call the plugin that the slaves are from."""
        return self._plugins.label_of(type(self._slaves))

    @property
    def call(self) -> Call | None:
        """The call of the plugin's that has not returned; None between calls."""
        return self._calls.current

    def cancel(self, grace_s: float) -> None:
        """End all slaves of the launch, then the thread."""
        self._grace_s = grace_s
        self._is_cancelled.set()
        self._requests.put(None)

    # ---- the thread

    def run(self) -> None:
        """Launch, poll, answer; until cancelled."""
        if self._is_cancelled.is_set():
            return
        try:
            launch = self._launch()
        except BaseException as error:  # a plugin's, perhaps a SystemExit: it becomes the reason
            self._reports.launch_failed([b.index for b in self._bootstraps], error)
            return
        self._reports.launched()
        try:
            self._watch(launch)
        except BaseException as error:  # a plugin's bug must not leave anybody waiting
            _logger.exception("the launch of %s failed", self.what)
            self._reports.launch_failed([b.index for b in self._bootstraps], error)
        finally:
            self._is_cancelled.wait()
            self._cancel(launch)

    def _launch(self) -> Launch:
        via = self._slaves.via
        if via is not None:
            # this takes a while, which most slaves need not wait for
            from .._plugins.gateway import Gateway
            from .gateway_launch import launch_via
        if via is None or not isinstance(via, Gateway):
            return self._plugins.launch(self._slaves, self._bootstraps, self._accept)
        return launch_via(
            via,
            self._bootstraps,
            lambda there: self._plugins.launch(self._slaves, there, self._accept),
        )

    def _accept(self, index: int, stream: Stream) -> None:
        """Take a slave's stream from the plugin; in any thread."""
        with self._lock:
            if self._is_over or self._is_cancelled.is_set() or index in self._let_go:
                close_quietly(stream)
                return
            self._streams[index] = stream
        self._reports.stream_made(index, stream)

    def _watch(self, launch: Launch) -> None:
        self.can_withdraw = can_withdraw(launch)
        while not self._is_cancelled.is_set():
            pause_s = min(self._pause_s, self._delays.longest_pause_s)
            try:
                request = self._requests.get(timeout=pause_s if self._unconnected else None)
            except queue.Empty:
                self._poll(launch)
            else:
                if request is not None:
                    request(launch)

    def _forget(self, index: int) -> None:
        self._unconnected.discard(index)
        self._delays.note(index, time.monotonic(), is_running=False)

    def _tell_of_connections(self, launch: Launch) -> None:
        with self._lock:
            news, self._news = self._news, set()
            connected = news & self._connected
        for index in connected:
            self._forget(index)
        if connected:
            self._queued.forget()
        if is_informed(launch):
            what = "tell of the connections of slaves to"
            with self._calls.to("note_connections"):
                self._try(
                    launch, lambda: launch.note_connections(connected, news - connected), what
                )

    def _poll(self, launch: Launch) -> None:
        self._pause_s = min(self._pause_s * _POLL_GROWTH, _LAST_POLL_S)
        states = self._answers.poll(launch)
        for index, state in states.items():
            if index in self._unconnected and self._states.get(index) != state:
                self._states[index] = state
                is_running = state.phase is LaunchPhase.RUNNING
                if is_running:
                    self._pause_s = _FIRST_POLL_S
                self._delays.note(index, time.monotonic(), is_running=is_running)
                self._reports.launch_state(index, state)
        answers = self._answers
        if answers.poll_failure != self._poll_failure:
            self._poll_failure = answers.poll_failure
            self._reports.poll_failed(sorted(self._unconnected), self._poll_failure)
        self._delays.tell(time.monotonic(), lambda index: answers.log_tail(launch, index))
        awaited = () if self._connected else self._unconnected
        is_told = bool(getattr(launch, "reminds_of_queue", False))
        trouble = answers.trouble
        self._queued.tell(time.monotonic(), states, awaited, is_told=is_told, trouble=trouble)

    def _explain(self, launch: Launch, index: int, question: int, has_ended: bool) -> None:
        answers = self._answers
        state = answers.poll(launch).get(index)
        deadline = time.monotonic() + _ENDING_S
        while has_ended and time.monotonic() < deadline and not is_known(state):
            self._is_cancelled.wait(_ENDING_POLL_S)
            state = answers.poll(launch).get(index)
        tail = answers.log_tail(launch, index)
        command = answers.command(launch, index)
        self._reports.explained(index, question, state, tail, command, answers.trouble)

    def _withdraw(self, launch: Launch, indices: Sequence[int]) -> None:
        for index in indices:
            self._forget(index)
        if can_withdraw(launch):
            with self._calls.to("withdraw"):
                self._try(launch, lambda: launch.withdraw(indices), "withdraw slaves of")

    def _end_slave(self, launch: Launch, index: int) -> None:
        self._forget(index)
        if can_end_slave(launch):
            with self._calls.to("end_slave"):
                self._try(launch, lambda: launch.end_slave(index), f"end slave {index} of")

    def _cancel(self, launch: Launch) -> None:
        self._queued.forget()
        with self._lock:
            self._is_over = True
            for stream in self._streams.values():  # too late, perhaps, for the engine to take it
                close_quietly(stream)
        self._try(launch, lambda: launch.cancel(self._grace_s), "end")

    def _try(self, launch: Launch, end: Callable[[], None], what: str) -> None:
        """Have a plugin end something; if it fails, people are told, and nobody waits for it."""
        try:
            end()
        except BaseException as error:  # the plugin's
            text = printable_lines(described(error, package_of(type(launch).__module__)))
            _logger.warning("could not %s %s: %s", what, self.what, text)
