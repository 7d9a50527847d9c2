"""The runner: a plain, single-threaded process that runs set-ups and tasks, one at a time.

Started by the supervisor (:mod:`.runner_process`). Between the two are a socket pair, the *wire*,
which carries messages; a pipe, the *go-ahead*, by which come 8-byte tokens, each the number of an
item that may be begun (what has no token has been taken back); and another, for *values*, which
takes small ones home. The outcome of an item is written in full before the next token is read, so
that the supervisor knows what the runner was at when it died.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate, repeat
from struct import Struct

from .._code.cloudpickle_version import version_of_cloudpickle
from .._code.loaded import LoadedDefinitions
from .._code.references import resolve_from_now_on, unpickle_task
from .._code.results import describe_exception, pickle_value
from .._light_typing import TYPE_CHECKING, Any, NamedTuple
from .._wire import descriptors, heads, protocol
from .._wire.protocol import Message
from .._wire.session import LARGE_READ_BYTES, READ_BYTES, Session
from .._wire.shared_memory import IS_AVAILABLE, checked, opened
from . import process
from .runner_start import pass_over_warnings

_TOKEN = Struct("!Q")
SMALL_BYTES = 1 << 15  # larger values go over the wire, which takes them faster than a pipe


def main() -> None:
    """Be a runner that begins as a new process.

    Its argv is as for :func:`work`, then 1 if it shall pass over a batch system's warnings, or 0.
    """
    wire, go_ahead, values, supervisor, is_warned = map(int, sys.argv[1:])
    if is_warned:
        pass_over_warnings()
    work(wire, go_ahead, values, supervisor)


def work(wire: int, go_ahead: int, values: int, supervisor: int) -> None:
    """Run until the supervisor closes the go-ahead.

    Args:
        wire, go_ahead, values: this end's descriptors.
        supervisor: the parent's pid.
    """
    wire, go_ahead, values = map(_keep_out_of_the_way, (wire, go_ahead, values))
    os.setsid()
    process.name_this("imp-runner")
    process.prefer_for_out_of_memory_kill()
    sys.argv[:] = [""]
    for output in (sys.stdout, sys.stderr):
        output.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # real files here
    with socket.socket(fileno=wire) as connected:  # closed, so that no option of Python's complains
        runner = Runner(connected, go_ahead, values)
        runner.introduce()
        gc.enable()  # it was disabled for the start
        process.die_with_parent(supervisor)  # takes a while, in which the master hears of it
        runner.run()


def _keep_out_of_the_way(number: int) -> int:
    """Return a high descriptor instead of this one; a task's children don't inherit it."""
    import fcntl
    import resource

    soft_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    moved = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, max(16, min(soft_limit, 1024) - 16))
    os.close(number)
    return moved


class _Group(NamedTuple):
    """What tasks that came together have in common; or what there is to say of a set-up."""

    context: int
    bundle: int
    timeout_s: float
    is_setup: bool


if TYPE_CHECKING:
    from .._code.kept_parts import KeptPart
    from .._wire.shared_memory import Segment

    _Item = tuple[int, _Group, Sequence[Any]]


class _RunnerContext:
    """A context in this runner: its code, and the values that its set-up returned."""

    def __init__(self) -> None:
        self.definitions = LoadedDefinitions()
        self.arrived: list[tuple[int, Sequence[Segment]]] = []
        self.values: tuple[Any, ...] = ()
        self.prepared_for = -1  # the bundle
        self.kept: dict[int, KeptPart] = {}  # large parts of tasks, by number

    def prepare(self, bundle: int) -> None:
        """Load bundles up to that one, and make globals what an item of ``bundle`` expects.

        Done when the item begins, since loading runs the user's code. A bundle that can't be loaded
        fails only what needs it.
        """
        definitions = self.definitions
        if definitions.has_failures:
            definitions.begin_item()
        while self.arrived and self.arrived[0][0] <= bundle:
            number, segments = self.arrived[0]
            definitions.load_if_possible(number, opened(segments))
            del self.arrived[0]
        definitions.activate(bundle)
        self.prepared_for = -1 if definitions.has_failures else bundle


class Runner:
    """The loop: a token, its item, its outcome."""

    def __init__(self, wire: socket.socket, go_ahead: int, values: int) -> None:
        self._wire = wire
        self._go_ahead = go_ahead
        self._session = Session(adopt=checked)
        self._session.passes_descriptors = IS_AVAILABLE
        self._values = values
        self._contexts: dict[int, _RunnerContext] = {}
        self._items: deque[_Item] = deque()  # received and not begun, in order
        self._read_bytes = READ_BYTES
        self._resolved: _RunnerContext | None = None  # whose definitions pickles refer to
        self._pid = os.getpid()

    def introduce(self) -> None:
        """Tell the supervisor that this runner is ready."""
        while not (frames := self._session.take_handshake()):
            self._read()
        ((_, welcome),) = frames
        folder, *sys.path[:] = map(os.fsdecode, welcome.split(b"\0"))
        with contextlib.suppress(OSError):
            os.chdir(folder)  # a fork was made before its slave knew where it was to work
        self._session.send_control(protocol.HELLO, version_of_cloudpickle().encode())
        self._write()

    def run(self) -> None:
        """Work until the supervisor closes the go-ahead."""
        read, go_ahead, size = os.read, self._go_ahead, _TOKEN.size
        fetch, run_item = self._fetch, self._run_item
        waits = select.poll()
        waits.register(go_ahead, select.POLLIN)
        while True:
            try:
                token = read(go_ahead, size)
            except BlockingIOError:
                waits.poll()
                continue
            if not token:
                return
            (number,) = _TOKEN.unpack(token)
            if number:
                run_item(*fetch(number))
            else:
                self._read_what_is_there()

    # ---- messages

    def _fetch(self, number: int) -> _Item:
        """Read on until the item is there; forget those before it, which were taken back."""
        items = self._items
        while True:
            while not items:
                self._read()
            item = items.popleft()
            if item[0] == number:
                return item

    def _read_what_is_there(self) -> None:
        # one read may have brought several messages, each of which has a token
        with contextlib.suppress(BlockingIOError):
            self._read(socket.MSG_DONTWAIT)

    def _read(self, flags: int = 0) -> None:
        data, passed = descriptors.receive(self._wire, self._read_bytes, flags)
        if not data:
            raise SystemExit
        self._read_bytes = LARGE_READ_BYTES if len(data) >= READ_BYTES else READ_BYTES
        for message in self._session.receive(data, passed):
            self._receive(message)

    def _receive(self, message: Message) -> None:
        kind, head, segments = message
        if kind == protocol.TASKS:
            tasks = heads.unpack_tasks(head)
            group = _Group(tasks.context, tasks.bundle, tasks.timeout_s, False)
            payloads = _payloads(segments, tasks.counts)
            if len(segments) != len(tasks.counts):
                # now: what is forgotten later is there for these
                kept = self._context(tasks.context).kept
                payloads = [_with_kept_parts(payload, kept) for payload in payloads]
            self._items.extend(zip(tasks.items, repeat(group), payloads, strict=False))
        elif kind == protocol.SETUP:
            setup = heads.unpack_setup(head)
            group = _Group(setup.context, setup.bundle, setup.timeout_s, True)
            self._items.append((setup.item, group, segments))
        elif kind == protocol.BUNDLE:
            bundle = heads.unpack_bundle(head)
            self._context(bundle.context).arrived.append((bundle.number, segments))
        elif kind == protocol.KEEP:
            from .._code.kept_parts import KeptPart  # most runners never need it

            keep = heads.unpack_keep(head)
            self._context(keep.context).kept[keep.number] = KeptPart(keep.kind, segments[0])
        elif kind == protocol.FORGET:
            forget = heads.unpack_forget(head)
            self._context(forget.context).kept.pop(forget.number, None)
        elif kind == protocol.CLOSE_CONTEXT:
            self._contexts.pop(heads.unpack_context(head), None)
            self._resolved = None
            resolve_from_now_on(None)
        elif kind == protocol.ARGUMENTS:
            sys.argv[:] = map(os.fsdecode, b"".join(opened(segments)).split(b"\0"))

    def _context(self, id: int) -> _RunnerContext:
        context = self._contexts.get(id)
        if context is None:
            context = self._contexts[id] = _RunnerContext()
        return context

    def _send(self, kind: int, head: bytes, segments: Sequence[Segment] = ()) -> None:
        self._session.send(kind, head, segments)
        self._write()

    def _write(self) -> None:
        session = self._session
        while session.has_unsent:
            buffers = session.unsent()
            with contextlib.suppress(BlockingIOError):  # too many descriptors are under way
                count = descriptors.send(self._wire, buffers, session.unsent_descriptors)
                session.wrote(count)

    # ---- items

    def _run_item(self, number: int, group: _Group, segments: Sequence[Segment]) -> None:
        id, bundle, timeout_s, is_setup = group
        if timeout_s:
            self._send(protocol.BEGAN, heads.pack_item(number))
        context = self._context(id)
        begun_at = time.monotonic()
        try:
            value = self._call(context, bundle, segments, is_setup)
            if is_setup:
                context.values = _as_arguments(value)
                value = None
            status, content = heads.VALUE, pickle_value(value, context.definitions)
        except BaseException as exc:  # whatever a task raises is its outcome
            self._exit_if_forked()
            status, content = heads.RAISED, _described(exc, context.definitions)
        self._exit_if_forked()
        duration_s = time.monotonic() - begun_at
        _flush_output()
        if len(content) == 1 and len(content[0]) <= SMALL_BYTES and not is_setup:
            pickled = content[0]
            record = heads.VALUE_RECORD.pack(number, duration_s, len(pickled)) + pickled
            written = os.write(self._values, record)
            while written < len(record):
                written += os.write(self._values, record[written:])
        else:
            head = heads.pack_outcome(heads.OutcomeHead(number, status, duration_s))
            self._send(protocol.OUTCOME, head, content)

    def _call(
        self,
        context: _RunnerContext,
        bundle: int,
        segments: Sequence[Segment],
        is_setup: bool,
    ) -> Any:
        """Unpickle what an item holds, and call it."""
        try:
            if bundle != context.prepared_for:
                context.prepare(bundle)
                self._exit_if_forked()
            if context is not self._resolved:
                resolve_from_now_on(context.definitions)
                self._resolved = context
            function, arguments = unpickle_task(segments, context.definitions)
        except BaseException as problem:
            problem.add_note("(raised while the task was unpickled on the slave)")
            raise
        if is_setup:
            return function(*arguments)
        return function(*context.values, *arguments)

    def _exit_if_forked(self) -> None:
        """End a child that a task forked and let return: it must not speak for this runner."""
        if os.getpid() != self._pid:  # (a fork made in C tells Python nothing)
            os._exit(0)


def _payloads(segments: Sequence[Segment], counts: Sequence[int]) -> Iterable[Sequence[Segment]]:
    """Return the segments of each task in turn."""
    if len(segments) == len(counts) == counts.count(1):
        return zip(segments, strict=False)  # one each: the usual case
    ends = list(accumulate(counts))
    return [segments[end - count : end] for count, end in zip(counts, ends, strict=True)]


def _with_kept_parts(segments: Sequence[Any], kept: dict[int, KeptPart]) -> Sequence[Any]:
    """Return a task's segments, with the parts that some of them stand for."""
    if len(segments) == 1:
        return segments
    pickled, *buffers = segments
    return [pickled, *(kept[n] if (n := heads.referred_part(b)) else b for b in buffers)]


def _as_arguments(value: Any) -> tuple[Any, ...]:
    """Return what a set-up returned as the first arguments of its tasks (as IMP.parallel does)."""
    if value is None:
        return ()
    return tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _described(exc: BaseException, definitions: LoadedDefinitions) -> Any:
    return describe_exception(definitions.explained(exc), definitions)


def _flush_output() -> None:
    """Let the end of the output file tell what the task printed, even if the next one crashes."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:  # the task closed or replaced one of them: that takes nothing from its result
        with contextlib.suppress(Exception):
            sys.stderr.flush()
