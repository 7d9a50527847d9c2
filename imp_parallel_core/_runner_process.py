"""The supervisor's hold on its runner: start it, give it items, take them back, learn its end."""

from __future__ import annotations

import json
import os
import socket
import sys
from struct import Struct
from typing import NamedTuple

from . import _process as process
from . import _protocol as protocol
from ._connection import Connection
from ._protocol import Message
from ._stream import SocketStream, flush

_TOKEN = Struct("!Q")
_TOKENS_BYTES = 8 * 8192  # all that can be under way


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
        sys_path: the master's ``sys.path``, for the runner to import from.
        code_path: the folder that this package is in.
    """

    def __init__(self, sys_path: list[str], code_path: str) -> None:
        wire, runner_wire = socket.socketpair()
        go_ahead, runner_go_ahead = socket.socketpair()
        wire.setblocking(False)
        go_ahead.setblocking(False)
        program = (
            f"import sys; sys.path.insert(0, {code_path!r}); "
            "from imp_parallel_core._runner import main; main()"
        )
        for end in (runner_wire, runner_go_ahead):
            end.set_inheritable(True)
        descriptors = (str(runner_wire.fileno()), str(runner_go_ahead.fileno()))
        self.pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", program, *descriptors, str(os.getpid())],
            os.environ,
            file_actions=[(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)],
        )
        runner_wire.close()
        runner_go_ahead.set_inheritable(False)
        self.stream = SocketStream(wire)
        self.connection = Connection()
        self.is_ready = False
        self.end: RunnerEnd | None = None
        self._go_ahead = go_ahead
        self._runner_go_ahead = runner_go_ahead  # our duplicate, to take tokens back from
        self._items: dict[int, float] = {}  # given, without an outcome yet: their time limits
        self._deadline: tuple[int, float] | None = None  # of the running item
        self._killed_because: str | None = None
        self._was_asked = False
        welcome = {"sys_path": sys_path}
        self.connection.send_control(protocol.WELCOME, json.dumps(welcome).encode())
        self.flush()

    # ---- items

    @property
    def is_busy(self) -> bool:
        """Whether it has any item without an outcome."""
        return bool(self._items)

    def give(self, message: Message, items: dict[int, float]) -> None:
        """Pass a message on; begin its items (with their time limits in s, 0 for none) in turn.

        A message without items is read when the runner is next between two items.
        """
        self.connection.send(message.kind, message.head, message.segments)
        self._items.update(items)
        self._allow(list(items) or [0])

    def pass_on(self, message: Message) -> None:
        """Pass a message on that is only needed by the items that follow it."""
        self.connection.send(message.kind, message.head, message.segments)

    def _allow(self, items: list[int]) -> None:
        try:
            self._go_ahead.send(Struct(f"!{len(items)}Q").pack(*items))
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
            data = self._runner_go_ahead.recv(_TOKENS_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        return [number for (number,) in _TOKEN.iter_unpack(data)]

    def began(self, item: int, now: float) -> None:
        """The runner says that an item with a time limit has begun."""
        limit_s = self._items.get(item)
        if limit_s:
            self._deadline = (item, now + limit_s)

    def ended(self, item: int) -> None:
        """The runner has written an item's outcome."""
        self._items.pop(item, None)
        self._deadline = None

    # ---- its end

    @property
    def deadline(self) -> float | None:
        """When the running item overruns its limit (monotonic s)."""
        return self._deadline[1] if self._deadline else None

    def kill_if_overdue(self, now: float) -> None:
        """Kill the runner if its item has overrun its limit."""
        if self._deadline and now >= self._deadline[1]:
            limit_s = self._items.get(self._deadline[0], 0.0)
            self.kill(f"overran its time limit of {limit_s:g} s")

    def end_item(self, item: int) -> None:
        """Kill the runner if it is at this item: the master needs it no more."""
        if next(iter(self._items), None) == item:
            self._was_asked = True
            self.kill("was ended by the master")

    def kill(self, because: str) -> None:
        """Kill the runner; :meth:`reaped` will say why."""
        if self._killed_because is None:
            self._killed_because = because
            self._deadline = None
            process.kill_quietly(self.pid)

    def ask_to_exit(self) -> None:
        """Let the runner end by itself when it is between two items."""
        self._go_ahead.close()

    def reaped(self, status: int, peak_memory_bytes: int) -> RunnerEnd:
        """The runner has been waited for, and its outcomes have been read: say how it ended."""
        not_begun = set(self._take_tokens())
        begun = [item for item in self._items if item not in not_begun]
        description = process.describe_exit(status)
        if self._killed_because:
            description = f"{self._killed_because} ({description})"
        self.end = RunnerEnd(
            begun[0] if begun else 0, description, peak_memory_bytes, self._was_asked
        )
        return self.end

    def flush(self) -> None:
        """Write what can be written without waiting."""
        try:
            flush(self.stream, self.connection)
        except OSError:
            pass  # it has died, which its exit status will tell

    def close(self) -> None:
        """Close the supervisor's ends."""
        for end in (self.stream, self._go_ahead, self._runner_go_ahead):
            end.close()
