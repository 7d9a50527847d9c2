"""One slave on a host: its start, the bridges that it is reached by in turn, its end."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections.abc import Callable

from imp_parallel_core import (
    Accept,
    Bootstrap,
    Error,
)

from .._channel_wait import exit_status_at_end
from .._connection import Channel, Connection
from .._shipped_modules import Archive
from .bridge_client import BridgeClient, BridgeEnded, There, WrongPython
from .progress import Progress
from .shared_host import Host
from .start_order import StartOrder
from .watched_stream import WatchedStream

_logger = logging.getLogger("imp_parallel.ssh")

_CONNECT_S = 30.0  # for one attempt
_STATUS_S = 0.5  # how long after a channel's end its exit status may come
_STALE_S = 2.0
_AGAIN_S = 0.5
_BROKEN_S = 0.2  # before the first bridge after a stream that could not be read; it doubles …
_LONGEST_BROKEN_S = 3.0  # … up to this, for the slave does not wait long;
_BROKEN = 6  # after so many in a row there is no other
_STEADY_S = 10.0  # a stream that was there for so long counts as one that could be read
_numbers = itertools.count()


class RemoteSlave:
    """A slave on a host.

    Args:
        host: where.
        bootstrap: the slave's.
        python: what to run it by; None for a Python of this one's version.
        modules: of the user's, to be sent along.
        accept: is given its streams.
    """

    def __init__(
        self,
        host: Host,
        bootstrap: Bootstrap,
        python: str | None,
        modules: Archive | None,
        accept: Accept,
    ) -> None:
        self.host = host
        self.index = bootstrap.index
        self.progress = Progress(bootstrap, host.target)
        self.python = python
        self.folder = ""
        self.name = _new_name(bootstrap.index)
        self._bootstrap = bootstrap
        self._modules = modules
        self._accept = accept
        self._lock = threading.Lock()
        self._beginning: Channel | None = None
        """The channel of a bridge that is not there yet."""
        self._stream: WatchedStream | None = None
        """The last that was handed over."""
        self._broken = 0
        """The number of streams in a row that the engine has closed after a short time."""
        self._may_be_there = False
        self.is_cancelled = threading.Event()

    # ---- what the launch asks

    @property
    def has_ended(self) -> bool:
        """Whether it has ended for certain, or never was."""
        return self.progress.has_ended or not self._may_be_there

    def start(self) -> None:
        """Begin to start it, in a thread."""
        self._in_thread(self._run_start)

    def begin_to_end(self) -> None:
        """Stop reaching for it: the master has told it to leave, or has given it up."""
        self.is_cancelled.set()
        with self._lock:
            if self._beginning is not None:
                self._beginning.close()  # this ends the wait for its answer

    def wait_for_end(self, deadline: float) -> None:
        """Wait for it to leave, until then at the latest (monotonic s)."""
        stream = self._stream
        if stream is None or self.has_ended:
            return
        if BridgeClient(stream.channel, deadline).wait_for_end():
            self.progress.end_as_told(stream.channel)

    def close(self) -> None:
        """Close its channels."""
        with self._lock:
            stream, beginning = self._stream, self._beginning
        if stream is not None:
            stream.channel.close()
        if beginning is not None:
            beginning.close()

    # ---- starting

    def _in_thread(self, function: Callable[[], None]) -> None:
        name = f"imp_parallel {self.name} on {self.host.target}"
        threading.Thread(target=self._guarded, args=(function,), name=name, daemon=True).start()

    def _guarded(self, function: Callable[[], None]) -> None:
        try:
            function()
        except Exception as problem:  # a bug must not leave anybody waiting
            if not self.is_cancelled.is_set():
                _logger.exception("%s on %s failed", self.name, self.host.target)
                self.progress.end(f"{type(problem).__name__}: {problem}")

    def _run_start(self) -> None:
        patience_s = self._bootstrap.connect_timeout_s
        deadline = time.monotonic() + patience_s
        while not self.is_cancelled.is_set():
            try:
                connection = self.host.connection(min(_CONNECT_S, patience_s), patience_s)
            except Error as problem:
                self.progress.end(str(problem))
                return
            self.progress.note(f"starting on {self.host.target}")
            if self._try_to_start(connection, deadline):
                return
            self.is_cancelled.wait(_AGAIN_S)

    def _try_to_start(self, connection: Connection, deadline: float) -> bool:
        """Start the slave; return False if the connection broke meanwhile, and time is left."""
        try:
            self._start_by_bridge(connection, deadline)
        except Error as problem:  # the host runs no commands
            self.progress.end(str(problem))
        except (BridgeEnded, OSError, WrongPython) as problem:
            was_lost = self._connection_was_lost(problem)
            self.close()
            if was_lost and time.monotonic() < deadline:
                _logger.info("%s on %s: %s; trying again", self.name, self.host.target, problem)
                return False
            if isinstance(problem, BridgeEnded):
                self.progress.end_without_bridge(self._beginning, problem.noise)
            else:
                self.progress.end(f"{self.host.target}: {problem}")
        return True

    def _connection_was_lost(self, problem: Exception) -> bool:
        """Whether a start failed only because the connection to the host broke meanwhile."""
        if isinstance(problem, BridgeEnded):
            return (
                self._beginning is not None
                and exit_status_at_end(self._beginning, _STATUS_S) is None
            )
        return isinstance(problem, ConnectionError)

    def _start_by_bridge(self, connection: Connection, deadline: float) -> None:
        """Start the slave; or reach it, if an earlier bridge may have started it."""
        bridge, there = self._begin_bridge(connection, deadline)
        if self._may_be_there:
            bridge.say("join", self.folder, self.name)
            if bridge.hear()[0] != "gone":
                self._hand_over(bridge)
                return
            self.name = _new_name(self.index)
        self._start_slave(bridge, there)

    def _begin_bridge(self, connection: Connection, deadline: float) -> tuple[BridgeClient, There]:
        return self.host.begin_bridge(
            connection, self.python, self.progress.take_errors, deadline, started=self._began
        )

    def _began(self, channel: Channel) -> None:
        with self._lock:
            self._beginning = channel
        if self.is_cancelled.is_set():
            channel.close()

    def _start_slave(self, bridge: BridgeClient, there: There) -> None:
        order = StartOrder(self._bootstrap, there, self._modules)
        answer = "gone"
        while answer == "gone" and not self.is_cancelled.is_set():
            try:
                folder = self.host.folder(bridge, order.archives())
            except FileNotFoundError:
                continue  # the last slave that was in it has just ended
            words, document = order.words(folder)
            self.folder = folder
            self._may_be_there = True
            bridge.say("start", folder, self.name, *words, more=[document])
            answer = bridge.hear_one_of("ready", "gone")[0]
            if answer == "gone":
                self.host.forget_folder(folder)
        self._hand_over(bridge)

    def _hand_over(self, bridge: BridgeClient) -> None:
        stream = WatchedStream(bridge.channel, self._stream_ended, self._stream_closed)
        with self._lock:
            if self.is_cancelled.is_set():
                return
            self._beginning = None
            self._stream = stream
        self._accept(self.index, stream)

    # ---- after the stream has ended

    def _stream_ended(self, stream: WatchedStream) -> None:
        """Called by the engine's thread, which can't wait."""
        if stream is self._stream and not self.is_cancelled.is_set():
            self._in_thread(lambda: self._run_again(stream))

    def _stream_closed(self, stream: WatchedStream) -> None:
        """The engine needs it no more: it has ended, or another took its place.

        Or it could not be read, or the slave was given up. Or all is over, and
        :meth:`wait_for_end` still wants to read it.
        """
        if stream is self._stream and self.is_cancelled.is_set():
            return
        is_whole = stream is self._stream and not stream.has_ended
        self._in_thread(lambda: self._replace(stream) if is_whole else self._drop(stream))

    def _drop(self, stream: WatchedStream) -> None:
        is_last = stream is self._stream and self.is_cancelled.wait(_STALE_S)
        if not is_last or stream is not self._stream:
            stream.channel.close()

    def _replace(self, closed: WatchedStream) -> None:
        """Reach the slave by another bridge, since the engine closed a stream that had not ended.

        Its session may go on, if something else wrote into that stream; if not, the slave is told
        so and leaves. A channel that is never clean must not be tried for ever.
        """
        self._broken = self._broken + 1 if closed.age_s < _STEADY_S else 1
        pause_s = min(_BROKEN_S * 2 ** (self._broken - 1), _LONGEST_BROKEN_S)
        if self.is_cancelled.wait(pause_s):
            return  # all is over
        closed.channel.close()
        if self._broken > _BROKEN:
            text = "%s on %s: its stream could not be read again and again, and is given up"
            _logger.warning(text, self.name, self.host.target)
        elif closed is self._stream and not self.progress.has_ended:
            self._reach_again()

    def _run_again(self, ended: WatchedStream) -> None:
        """Find out whether the slave has ended; if not, reach it by another bridge."""
        if not self.progress.end_as_told(ended.channel):
            self._reach_again()

    def _reach_again(self) -> None:
        deadline = time.monotonic() + self._bootstrap.reconnect_timeout_s
        self.progress.note(f"reaching {self.host.target} again")
        while not self.is_cancelled.is_set():
            try:
                connection = self.host.connection_again(deadline, _CONNECT_S, self.is_cancelled)
                bridge, _ = self._begin_bridge(connection, deadline)
                self._join(bridge)
            except Error as problem:
                _logger.warning("%s on %s: %s", self.name, self.host.target, problem)
            except (BridgeEnded, OSError, WrongPython):
                if self._beginning is not None:
                    self._beginning.close()
                if time.monotonic() < deadline and not self.is_cancelled.wait(_AGAIN_S):
                    continue
            return  # the core gives it up in time, if it can't be reached

    def _join(self, bridge: BridgeClient) -> None:
        bridge.say("join", self.folder, self.name)
        if bridge.hear_one_of("ready", "gone")[0] == "gone":
            self.progress.end("it ended while it could not be reached")
            bridge.channel.close()
        else:
            self._hand_over(bridge)


def _new_name(index: int) -> str:
    """Return what a slave is called on its host: no two have the same name there."""
    return f"slave{index}-{next(_numbers)}"
