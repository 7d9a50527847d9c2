"""The supervisor's end of a runner: give it items, take items back, and say how it ended."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable, Sequence

from .._errors import ProtocolError
from .._light_typing import TYPE_CHECKING, NamedTuple
from .._wire import heads, protocol
from .._wire.link import Link
from .._wire.protocol import Message
from .._wire.stream import SocketStream
from . import process
from .go_ahead import GoAhead
from .runner_output import output_of
from .runner_start import StartedRunner
from .value_pipe import ValuePipe

if TYPE_CHECKING:
    from .memory import MemoryWatch
    from .output_pipe import Sink
    from .surroundings import Surroundings

_NEVER = float("inf")
_LINGER_S = 0.2  # a runner whose wire has ended is killed after this
_RETIRE_S = 5.0  # so is one that shall exit, and may have handlers to run


class Limits(NamedTuple):
    """What an item may use; 0 for any."""

    timeout_s: float = 0.0
    memory_bytes: int = 0


_NO_LIMITS = Limits()


class RunnerEnd(NamedTuple):
    """How a runner ended."""

    blamed_item: int
    """The item that was running; 0 if there was none."""
    description: str
    peak_memory_bytes: int
    was_asked: bool
    """Whether the master has asked for this end."""
    output: bytes | None = None
    """The end of what that item has printed; None if it is not known."""
    has_exceeded: bool = False
    """Whether the item has exceeded its memory limit, for which the runner was ended."""


class RunnerProcess:
    """One runner, from its start until it has been waited for.

    Args:
        started: the runner, which has just been started.
        surroundings: the surroundings of its tasks.
        selector: the selector of the supervisor's loop.
        became_ready: called once with the version of the runner's cloudpickle.
        reported: called with each OUTCOME, and with a VALUES made of the records that came by the
            pipe.
        sink: where to pass on what the runner prints, if that comes by a pipe.
    """

    def __init__(
        self,
        started: StartedRunner,
        surroundings: Surroundings,
        selector: selectors.BaseSelector,
        became_ready: Callable[[str], None],
        reported: Callable[[Message], None],
        sink: Sink | None = None,
    ) -> None:
        self.pid = started.pid
        self.is_ready = False
        self.has_ended = False
        self._became_ready = became_ready
        self._reported = reported
        self._go_ahead = GoAhead(started.go_ahead, started.taken_tokens, selector)
        self._items: dict[int, Limits] = {}  # given, without an outcome yet
        self.values = ValuePipe(started.values, selector, self._items, self._values_came)
        self._memory: MemoryWatch | None = None  # as soon as an item has such a limit
        self._deadline = _NEVER  # of the item that runs, or of a runner whose wire has ended
        self._timed_item = 0  # the item that runs, if it has a time limit
        self._overdue = ""  # why the runner is killed at the deadline
        self._killed_because = ""
        self._was_asked = False
        self._is_retiring = False
        self._wire = Link(
            SocketStream(started.wire),
            selector,
            greeted=self._greeted,
            received=self._received,
            ended=self._wire_ended,
        )
        self._output = output_of(started, selector, sink, self._wire.read_rest)
        # the runner has the same package, on the same system
        self._wire.session.passes_descriptors = self._wire.can_pass_descriptors
        # no JSON, so that the runner starts faster
        words = str(surroundings.slave_index), surroundings.folder, *surroundings.sys_path
        welcome = b"\0".join(map(os.fsencode, words))
        self._wire.session.send_control(protocol.WELCOME, welcome)
        argv = b"\0".join(map(os.fsencode, surroundings.argv))  # too long for a WELCOME, perhaps
        self._wire.send(protocol.ARGUMENTS, segments=[argv])
        self.flush()

    # ---- items

    @property
    def is_busy(self) -> bool:
        """Whether the runner has an item without an outcome."""
        return bool(self._items)

    def give(self, message: Message, items: Sequence[int], limits: Limits = _NO_LIMITS) -> None:
        """Pass a message on, and let the runner begin its items in turn.

        Args:
            message: the message.
            items: its items. The runner reads a message without items between two items.
            limits: those of each item.
        """
        self.pass_on(message)
        self._items.update(dict.fromkeys(items, limits))
        if limits.memory_bytes:
            self._watch_memory()
        self.flush()  # before the tokens: they say that the message is there
        self._go_ahead.give(items or [0])

    def _watch_memory(self) -> None:
        if self._memory is None:
            from .memory import MemoryWatch  # most runs have no such limit

            self._memory = MemoryWatch(self.pid)
        self._memory.begin(time.monotonic())

    def pass_on(self, message: Message) -> None:
        """Pass a message on that only the items after it need."""
        self._wire.send(message.kind, message.head, message.segments)

    def flush(self) -> None:
        """Write as much as the wire takes without waiting."""
        self._wire.flush()

    def take_back(self) -> list[int]:
        """Take back the items that the runner has not begun; return them in order."""
        tokens = self._go_ahead.take_back()
        if 0 in tokens:
            self._go_ahead.give([0])
        items = [item for item in tokens if item]
        for item in items:
            self._items.pop(item, None)
        return items

    # ---- what the runner says

    def _greeted(self, link: Link, kind: int, body: bytes) -> None:
        self.is_ready = True
        self._became_ready(body.decode(errors="replace"))

    def _received(self, link: Link, message: Message) -> None:
        try:
            self._take(message)
        except ProtocolError as problem:  # a task may have written to the wire
            self.kill(f"broke the protocol: {problem}")

    def _take(self, message: Message) -> None:
        if message.kind == protocol.OUTCOME:
            item, status = heads.unpack_outcome(message.head)[:2]
            self._items.pop(item, None)
            if item == self._timed_item:
                self._timed_item_ended()
            if status == heads.RAISED:
                message = self._output.completed(message)
            self._reported(message)
        elif message.kind == protocol.BEGAN:
            self._began(heads.unpack_item(message.head))

    def _began(self, item: int) -> None:
        """Count the time of an item with a time limit from now."""
        limit_s = self._items.get(item, _NO_LIMITS).timeout_s
        if limit_s:
            self._timed_item = item
            self._deadline = time.monotonic() + limit_s
            self._overdue = f"overran its time limit of {limit_s:g} s"

    def _values_came(self, message: Message) -> None:
        if self._timed_item not in self._items:
            self._timed_item_ended()
        self._reported(message)

    def _timed_item_ended(self) -> None:
        if self._timed_item:
            self._timed_item = 0
            self._deadline = _NEVER

    def _wire_ended(self, link: Link, how: str) -> None:
        """Let the runner live for a moment: it has died, as SIGCHLD will tell, or it is killed."""
        if not self._killed_because and not self._is_retiring:
            self._deadline = time.monotonic() + _LINGER_S
            self._overdue = f"lost its wire to the supervisor: {how}"

    # ---- the end of the runner

    @property
    def deadline(self) -> float:
        """When to call :meth:`kill_if_overdue` (monotonic s; may be infinite)."""
        return self._deadline if self._memory is None else min(self._deadline, self._memory.look_at)

    def kill_if_overdue(self, now: float) -> None:
        """Kill the runner if its item has exceeded a limit, or if its wire has ended."""
        if now >= self._deadline:
            self.kill(self._overdue)
        if self._memory is not None and now >= self._memory.look_at:
            self._look_at(self._memory, now)

    def _look_at(self, memory: MemoryWatch, now: float) -> None:
        self.values.read()  # the runner may be at the next item already, which has its own limit
        item, limits = next(iter(self._items.items()), (0, _NO_LIMITS))
        if not item or self._killed_because:
            memory.end()
            return
        if why := memory.look(item, limits.memory_bytes, now):
            self.kill(why)

    def was_stopped(self, stopped_s: float) -> None:
        """Don't count this time, during which the slave was stopped, against a time limit."""
        self._deadline += stopped_s

    def end_item(self, item: int) -> None:
        """Kill the runner if this item runs: nobody needs its outcome any more."""
        if self.has_ended:
            return
        self.values.read()  # the runner may be at the next item already, which shall go on
        if next(iter(self._items), None) == item:
            self._was_asked = True
            self.kill("was ended by the master")

    def retire(self) -> None:
        """Let the runner exit, since the master wants another in its place. It is at nothing."""
        if self.has_ended or self.is_busy or self._killed_because:
            return  # its end is told anyway; or the master has not kept to the protocol
        self._was_asked = self._is_retiring = True
        self._deadline = time.monotonic() + _RETIRE_S
        self._overdue = "did not exit when it was replaced"
        self.ask_to_exit()

    def kill(self, because: str) -> None:
        """Kill the runner; :meth:`reaped` gives this reason."""
        self._deadline = _NEVER
        # after its end, another process may have its pid
        if not self._killed_because and not self.has_ended:
            self._killed_because = because
            process.kill_quietly(self.pid)

    def ask_to_exit(self) -> None:
        """Let the runner exit by itself when it is between two items."""
        self._go_ahead.end()

    def reaped(self, status: int, peak_memory_bytes: int) -> RunnerEnd:
        """Return how the runner ended, after reading all that it has written.

        Args:
            status: its wait status. It has been waited for.
            peak_memory_bytes: the most memory that it has used.
        """
        self._wire.read_rest()
        while self.values.read():
            pass
        not_begun = set(self._go_ahead.take_back())
        begun = [item for item in self._items if item not in not_begun]
        blamed = begun[0] if begun else 0
        output = self._output.of_item(blamed) if blamed and not self._was_asked else None
        self._output.close()
        description = process.describe_exit(status)
        item, used_bytes = (0, 0) if self._memory is None else self._memory.exceeded
        if item:
            description = self._killed_because
        elif self._killed_because:
            description = f"{self._killed_because} ({description})"
        elif self._is_retiring and status == 0:
            description = "has made room for a new process"
        self.has_ended = True
        self._deadline = _NEVER
        self._memory = None
        self._wire.close()
        self._go_ahead.close()
        self.values.close()
        asked = self._was_asked
        if not item:
            return RunnerEnd(blamed, description, peak_memory_bytes, asked, output)
        if item != blamed:  # that one had just ended
            return RunnerEnd(0, description, used_bytes, asked)
        return RunnerEnd(blamed, description, used_bytes, asked, output, has_exceeded=True)
