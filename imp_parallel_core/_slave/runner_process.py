"""The supervisor's hold on its runner: give it items, take them back, learn its end."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable, Sequence
from struct import Struct

from .._errors import ProtocolError
from .._light_typing import NamedTuple
from .._wire import heads, protocol
from .._wire.link import Link
from .._wire.protocol import Message
from .._wire.stream import SocketStream
from . import process
from .runner_start import StartedRunner, Surroundings

_NEVER = float("inf")
_TOKEN = Struct("!Q")
_TOKENS_BYTES = 8 * 8192  # all that can be under way
_VALUES_BYTES = 1 << 16  # all that a pipe holds
_ITEM_S = 1e-5  # what there is to do around an item, at least
_RECORD_BYTES = heads.VALUE_RECORD.size
_LINGER_S = 0.2  # how long a runner may live without its wire


class RunnerEnd(NamedTuple):
    """How a runner ended."""

    blamed_item: int
    """The item that it was at; 0 if it was at none."""
    description: str
    peak_memory_bytes: int
    was_asked: bool
    """Whether the master had asked for this end."""


class RunnerProcess:
    """One runner, from its start to the moment that it has been reaped.

    Args:
        started: the runner, which has just been started.
        surroundings: what its tasks are to find.
        selector: the supervisor's loop.
        became_ready: called once, with the version of cloudpickle that the runner has.
        reported: called with each OUTCOME, and with VALUES made of what came by the pipe, when
            they have been taken note of here.
    """

    def __init__(
        self,
        started: StartedRunner,
        surroundings: Surroundings,
        selector: selectors.BaseSelector,
        became_ready: Callable[[str], None],
        reported: Callable[[Message], None],
    ) -> None:
        self.pid = started.pid
        self.is_ready = False
        self.has_ended = False
        self._became_ready = became_ready
        self._reported = reported
        self._go_ahead: int | None = started.go_ahead
        self._taken_tokens = started.taken_tokens
        self._values = started.values
        self._value_begun = b""  # a record of which the rest has not come
        self._work_left_s = 0.0  # after the last value that came by the pipe; 0 if none has since
        self._selector = selector
        self._items: dict[int, float] = {}  # given, without an outcome yet: their time limits
        self._deadline = _NEVER  # of the item that runs, or of a runner without its wire
        self._timed_item = 0
        self._overdue = ""  # what to say of it then
        self._killed_because = ""
        self._was_asked = False
        self._wire = Link(
            SocketStream(started.wire),
            selector,
            greeted=self._greeted,
            received=self._received,
            ended=self._wire_ended,
        )
        # the runner is of the same package, on the same system
        self._wire.session.passes_descriptors = self._wire.can_pass_descriptors
        selector.register(self._values, selectors.EVENT_READ, self._values_ready)
        # no JSON: the runner starts faster
        welcome = b"\0".join(map(os.fsencode, (surroundings.folder, *surroundings.sys_path)))
        self._wire.session.send_control(protocol.WELCOME, welcome)
        argv = b"\0".join(map(os.fsencode, surroundings.argv))  # may be longer than a WELCOME
        self._wire.send(protocol.ARGUMENTS, segments=[argv])
        self.flush()

    # ---- items

    @property
    def is_busy(self) -> bool:
        """Whether it has any item without an outcome."""
        return bool(self._items)

    def give(self, message: Message, items: Sequence[int], timeout_s: float = 0.0) -> None:
        """Pass a message on; begin its items (each with a time limit, 0 for none) in turn.

        A message without items is read when the runner is next between two items.
        """
        self.pass_on(message)
        self._items.update(dict.fromkeys(items, timeout_s))
        self.flush()  # a token says that it is there
        self._allow(items or [0])

    def pass_on(self, message: Message) -> None:
        """Pass a message on that is only needed by the items that follow it."""
        self._wire.send(message.kind, message.head, message.segments)

    def flush(self) -> None:
        """Write what can be written without waiting."""
        self._wire.flush()

    def _allow(self, items: Sequence[int]) -> None:
        if self._go_ahead is None:
            return
        try:
            os.write(self._go_ahead, Struct(f"!{len(items)}Q").pack(*items))
        except OSError:
            pass  # it has died; the items are found without a token then

    def take_back(self) -> list[int]:
        """Take back and return the items that the runner has not begun, in order."""
        tokens = self._take_tokens()
        if 0 in tokens:
            self._allow([0])
        items = [item for item in tokens if item]
        for item in items:
            self._items.pop(item, None)
        return items

    def _take_tokens(self) -> list[int]:
        try:
            data = os.read(self._taken_tokens, _TOKENS_BYTES)
        except BlockingIOError:
            return []
        return [number for (number,) in _TOKEN.iter_unpack(data)]

    # ---- what it says

    def _greeted(self, link: Link, kind: int, body: bytes) -> None:
        self.is_ready = True
        self._became_ready(body.decode(errors="replace"))

    def _received(self, link: Link, message: Message) -> None:
        try:
            self._take(message)
        except ProtocolError as problem:  # a task has written to the wire
            self.kill(f"broke the protocol: {problem}")

    def _take(self, message: Message) -> None:
        if message.kind == protocol.OUTCOME:
            item = heads.unpack_outcome(message.head).item
            self._items.pop(item, None)
            if item == self._timed_item:
                self._deadline = _NEVER
            self._reported(message)
        elif message.kind == protocol.BEGAN:
            self._began(heads.unpack_item(message.head))

    def _began(self, item: int) -> None:
        """An item with a time limit has begun: its time counts from now."""
        limit_s = self._items.get(item)
        if limit_s:
            self._timed_item = item
            self._deadline = time.monotonic() + limit_s
            self._overdue = f"overran its time limit of {limit_s:g} s"

    def _values_ready(self, events: int) -> None:
        self._read_values()

    def _read_values(self) -> bool:
        """Pass on values that have come by the pipe, all in one; return whether any had."""
        try:
            data = os.read(self._values, _VALUES_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._listen_no_more()  # its wire has ended too
            return False
        data = self._value_begun + data
        items, unpack, size = self._items, heads.VALUE_RECORD.unpack_from, _RECORD_BYTES
        at, end, item = 0, len(data), 0
        count, busy_s = 0, 0.0
        while at + size <= end:
            item, duration_s, length = unpack(data, at)
            if at + size + length > end:
                break
            at += size + length
            items.pop(item, None)
            count += 1
            busy_s += duration_s
            if item == self._timed_item:
                self._deadline = _NEVER
        self._value_begun = data[at:]
        if count:
            self._work_left_s = len(items) * (busy_s / count + _ITEM_S)
            self._reported(Message(protocol.VALUES, b"", (data[:at],)))
        return True

    def _listen_no_more(self) -> None:
        if self._values in self._selector.get_map():
            self._selector.unregister(self._values)

    def take_work_left_s(self) -> float:
        """Return how long it is going to be busy, if values have come since the last call; or 0."""
        left_s, self._work_left_s = self._work_left_s, 0.0
        return left_s

    def _wire_ended(self, link: Link, how: str) -> None:
        """It has died, which its parent will be told at once; or a task has closed its wire."""
        if not self._killed_because:
            self._deadline = time.monotonic() + _LINGER_S
            self._overdue = f"lost its wire to the supervisor: {how}"

    # ---- its end

    @property
    def deadline(self) -> float:
        """When :meth:`kill_if_overdue` wants to be called (monotonic s; may be infinite)."""
        return self._deadline

    def kill_if_overdue(self, now: float) -> None:
        """Kill the runner if its item has overrun its limit, or if its wire has gone."""
        if now >= self._deadline:
            self.kill(self._overdue)

    def was_stopped(self, stopped_s: float) -> None:
        """The slave was stopped for so long, which is not to be counted."""
        self._deadline += stopped_s

    def end_item(self, item: int) -> None:
        """Kill the runner if it is at this item: the master needs it no more."""
        if next(iter(self._items), None) == item:
            self._was_asked = True
            self.kill("was ended by the master")

    def kill(self, because: str) -> None:
        """Kill the runner; :meth:`reaped` will say why."""
        self._deadline = _NEVER
        if not self._killed_because and not self.has_ended:  # its pid may be another's by then
            self._killed_because = because
            process.kill_quietly(self.pid)

    def ask_to_exit(self) -> None:
        """Let the runner end by itself when it is between two items."""
        if self._go_ahead is not None:
            os.close(self._go_ahead)
            self._go_ahead = None

    def reaped(self, status: int, peak_memory_bytes: int) -> RunnerEnd:
        """The runner has been waited for: read its last words, and say how it ended."""
        self._wire.read_rest()
        while self._read_values():
            pass
        not_begun = set(self._take_tokens())
        begun = [item for item in self._items if item not in not_begun]
        description = process.describe_exit(status)
        if self._killed_because:
            description = f"{self._killed_because} ({description})"
        self.has_ended = True
        self._deadline = _NEVER
        self._wire.close()
        self._listen_no_more()
        self.ask_to_exit()
        os.close(self._taken_tokens)
        os.close(self._values)
        blamed = begun[0] if begun else 0
        return RunnerEnd(blamed, description, peak_memory_bytes, self._was_asked)
