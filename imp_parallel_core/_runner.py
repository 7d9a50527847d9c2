"""The runner: a plain, single-threaded process that runs set-ups and tasks, one at a time.

Started by the supervisor (:mod:`._runner_process`), which it talks to over two socket pairs: the
*wire* carries messages; over the *go-ahead* come 8-byte tokens, each the number of an item that may
be begun. What has no token has been taken back. The outcome of an item is written in full before
the next token is read, so that the supervisor knows what the runner was at when it died.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import socket
import sys
import time
from collections.abc import Sequence
from struct import Struct

from . import _descriptors
from . import _messages as messages
from . import _process as process
from . import _protocol as protocol
from ._cloudpickle_version import version_of_cloudpickle
from ._connection import Connection
from ._light_typing import Any, NamedTuple
from ._loaded_definitions import LoadedDefinitions
from ._protocol import Message
from ._references import resolving
from ._results import describe_exception, pickle_value
from ._shared_memory import IS_AVAILABLE, adopt, open_segment, opened

_TOKEN = Struct("!Q")
_READ_BYTES = 1 << 18


def main() -> None:
    """Run until the supervisor closes the go-ahead (argv: two descriptors, the parent's pid)."""
    wire, go_ahead = (_keep_out_of_the_way(int(number)) for number in sys.argv[1:3])
    supervisor = int(sys.argv[3])
    os.setsid()
    process.prefer_for_out_of_memory_kill()
    sys.argv[:] = [""]
    for output in (sys.stdout, sys.stderr):
        output.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # real files here
    runner = Runner(wire, go_ahead)
    runner.introduce()
    gc.enable()  # it was disabled for the start
    process.die_with_parent(supervisor)  # takes a while, in which the master hears of this runner
    runner.run()


def _keep_out_of_the_way(number: int) -> socket.socket:
    """Move a socket to a high descriptor, which a task's children don't inherit."""
    import fcntl
    import resource

    soft_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    moved = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, max(16, min(soft_limit, 1024) - 16))
    os.close(number)
    return socket.socket(fileno=moved)


class _Item(NamedTuple):
    """A set-up or a task that has been received."""

    context: int
    bundle: int
    timeout_s: float
    segments: Sequence[protocol.Segment]
    is_setup: bool


class _RunnerContext:
    """A context in this runner: its code, and the values that its set-up returned."""

    def __init__(self) -> None:
        self.definitions = LoadedDefinitions()
        self.arrived: list[tuple[int, Sequence[protocol.Segment]]] = []
        self.values: tuple[Any, ...] = ()

    def prepare(self, bundle: int) -> None:
        """Load bundles up to that one, and make globals what an item of ``bundle`` expects.

        Done when the item begins, since loading runs the user's code.
        """
        while self.arrived and self.arrived[0][0] <= bundle:
            number, segments = self.arrived[0]
            self.definitions.load(number, opened(segments))
            del self.arrived[0]  # one that failed stays, and fails for the next item as well
        self.definitions.activate(bundle)


class Runner:
    """The loop: a token, its item, its outcome."""

    def __init__(self, wire: socket.socket, go_ahead: socket.socket) -> None:
        self._wire = wire
        self._go_ahead = go_ahead
        self._connection = Connection(adopt=adopt)
        self._connection.passes_descriptors = IS_AVAILABLE
        self._contexts: dict[int, _RunnerContext] = {}
        self._items: dict[int, _Item] = {}  # received and not begun, in order
        self._pid = os.getpid()

    def introduce(self) -> None:
        """Tell the supervisor that this runner is ready."""
        while not (frames := self._connection.take_handshake()):
            self._read()
        ((_, welcome),) = frames
        sys.path[:] = map(os.fsdecode, welcome.split(b"\0"))
        self._connection.send_control(protocol.HELLO, version_of_cloudpickle().encode())
        self._write()

    def run(self) -> None:
        """Work until the supervisor closes the go-ahead."""
        while token := self._go_ahead.recv(_TOKEN.size):
            (number,) = _TOKEN.unpack(token)
            if number == 0:
                self._read_what_is_there()
            else:
                self._run_item(number, self._fetch(number))

    # ---- messages

    def _fetch(self, number: int) -> _Item:
        """Read on until the item is there; forget those before it, which were taken back."""
        while number not in self._items:
            self._read()
        for earlier in list(self._items):
            item = self._items.pop(earlier)
            if earlier == number:
                break
        return item

    def _read_what_is_there(self) -> None:
        # one read may have brought several messages, each of which has a token
        with contextlib.suppress(BlockingIOError):
            self._read(socket.MSG_DONTWAIT)

    def _read(self, flags: int = 0) -> None:
        data, descriptors = _descriptors.receive(self._wire, _READ_BYTES, flags)
        if not data:
            raise SystemExit
        for message in self._connection.receive(data, descriptors):
            self._receive(message)

    def _receive(self, message: Message) -> None:
        kind, head, segments = message
        if kind == protocol.TASKS:
            at = 0
            for task in messages.unpack_tasks(head):
                payload = segments[at : at + task.segments]
                at += task.segments
                self._items[task.item] = _Item(
                    task.context, task.bundle, task.timeout_s, payload, False
                )
        elif kind == protocol.SETUP:
            setup = messages.unpack_setup(head)
            self._items[setup.item] = _Item(
                setup.context, setup.bundle, setup.timeout_s, segments, True
            )
        elif kind == protocol.BUNDLE:
            bundle = messages.unpack_bundle(head)
            context = self._contexts.setdefault(bundle.context, _RunnerContext())
            context.arrived.append((bundle.number, segments))
        elif kind == protocol.CLOSE_CONTEXT:
            self._contexts.pop(messages.unpack_context(head), None)

    def _write(self) -> None:
        connection = self._connection
        while connection.has_unsent:
            buffers = connection.unsent()
            with contextlib.suppress(BlockingIOError):  # too many descriptors are under way
                count = _descriptors.send(self._wire, buffers, connection.unsent_descriptors)
                connection.wrote(count)

    # ---- items

    def _run_item(self, number: int, item: _Item) -> None:
        if item.timeout_s:
            self._connection.send(protocol.BEGAN, messages.pack_item(number))
            self._write()
        context = self._contexts.setdefault(item.context, _RunnerContext())
        begun_at = time.monotonic()
        try:
            value = _call(context, item)
            if item.is_setup:
                context.values = _as_arguments(value)
                value = None
            status, segments = messages.VALUE, pickle_value(value, context.definitions)
        except BaseException as exc:  # whatever a task raises is its outcome
            self._exit_if_forked()
            status, segments = messages.RAISED, describe_exception(exc, context.definitions)
        self._exit_if_forked()
        duration_s = time.monotonic() - begun_at
        _flush_output()
        head = messages.pack_outcome(messages.OutcomeHead(number, status, duration_s))
        self._connection.send(protocol.OUTCOME, head, segments)
        self._write()

    def _exit_if_forked(self) -> None:
        """End a child that a task forked and let return: it must not speak for this runner."""
        if os.getpid() != self._pid:
            os._exit(0)


def _call(context: _RunnerContext, item: _Item) -> Any:
    """Unpickle what an item holds, and call it."""
    try:
        context.prepare(item.bundle)
        with resolving(context.definitions):
            data, *buffers = map(open_segment, item.segments)
            function, arguments = pickle.loads(data, buffers=buffers)
    except BaseException as problem:
        problem.add_note("(raised while the task was unpickled on the slave)")
        raise
    if item.is_setup:
        return function(*arguments)
    return function(*context.values, *arguments)


def _as_arguments(value: Any) -> tuple[Any, ...]:
    """Return what a set-up returned as the first arguments of its tasks (as IMP.parallel does)."""
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def _flush_output() -> None:
    """Let the end of the output file tell what the task printed, even if the next one crashes."""
    for output in (sys.stdout, sys.stderr):
        try:
            output.flush()
        except (OSError, ValueError, AttributeError):
            pass  # the task closed or replaced it
