"""The runner: a plain, single-threaded process that runs set-ups and tasks, one at a time.

The supervisor starts it and holds its other end (:mod:`.runner_process`). They are connected by

- a socket pair, the *wire*, which carries messages;
- a pipe, the *go-ahead*, which brings 8-byte tokens: each is the number of an item that may begin;
- a pipe for *values*, which takes small results to the supervisor.

The runner writes the outcome of an item in full before it reads the next token, so that the
supervisor knows which item the runner was at when it died.

    ===========  ============================================================================
    state        next state
    ===========  ============================================================================
    starting     waiting, by the supervisor's WELCOME, which it answers with a HELLO
    waiting      reading, by a token; the end, when the supervisor closes the go-ahead
    reading      running, when the item of the token has arrived on the wire. Items before
                 it are dropped, since they were taken back. Token 0 has no item: the
                 runner reads the messages that are there, and waits again
    running      waiting, when the outcome has been written
    ===========  ============================================================================

When the wire ends, the runner ends, whatever its state.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import select
import socket
import sys
import time
from collections.abc import Callable, Sequence
from struct import Struct

from .._code.calls import as_arguments, call_behind_setup, spread_of
from .._code.cloudpickle_version import version_of_cloudpickle
from .._code.loaded import LoadedDefinitions
from .._code.references import unpickle_task
from .._code.results import PLAIN, describe_exception, pickle_value
from .._light_typing import TYPE_CHECKING, Any
from .._wire import heads, protocol
from .._wire.value_records import VALUE_RECORD
from . import current_task, process
from .assignments import Assignments, RunnerContext
from .flushing import output_flusher
from .item_output import ItemOutput
from .outlet import BEGIN, ITEM, Register
from .supervisor_link import SupervisorLink
from .task_signals import pass_over_warnings

if TYPE_CHECKING:
    from .assignments import Item
    from .current_task import CurrentTask
    from .seeds import Generators

_TOKEN = Struct("!Q")
_MEASURED_S = 0.01  # the memory of shorter items is not measured, which would cost them time
_now, _pack_record = time.monotonic, VALUE_RECORD.pack  # looked up once, not for each item
SMALL_BYTES = 1 << 15  # larger values go over the wire, which takes them faster than a pipe


def main() -> None:
    """Be a runner in a new process.

    Its arguments are those of :func:`work`, but the descriptor of the register's memory, and then 1
    if a batch system's warnings reach it, or 0.
    """
    wire, go_ahead, values, supervisor, outlet, memory, is_warned = map(int, sys.argv[1:])
    if is_warned:
        pass_over_warnings()
    work(wire, go_ahead, values, supervisor, outlet, Register.of_runner(memory))


def work(
    wire: int, go_ahead: int, values: int, supervisor: int, outlet: int, register: Register
) -> None:
    """Be a runner until the supervisor closes the go-ahead.

    Args:
        wire, go_ahead, values: the descriptors of the runner's ends.
        supervisor: the pid of the supervisor, which is the parent.
        outlet: the kind of the slave's outlet.
        register: the memory that is shared with the supervisor.
    """
    wire, go_ahead, values = map(_keep_out_of_the_way, (wire, go_ahead, values))
    printed = ItemOutput(outlet, register, _out_of_the_way(1))
    os.setsid()
    process.name_this("imp-runner")
    process.prefer_for_out_of_memory_kill()
    sys.argv[:] = [""]
    for output in (sys.stdout, sys.stderr):
        output.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # they are real files here
    with socket.socket(fileno=wire) as connected:  # closed in the end, so that -W warns of none
        runner = Runner(connected, go_ahead, values, printed)
        runner.introduce()
        gc.enable()  # it was disabled for the start
        process.die_with_parent(supervisor)  # slow, so the runner introduces itself first
        runner.run()


def _keep_out_of_the_way(number: int) -> int:
    """Move a descriptor to a high number, which children of tasks don't inherit; return it."""
    moved = _out_of_the_way(number)
    os.close(number)
    return moved


def _out_of_the_way(number: int) -> int:
    """Return a duplicate of a descriptor that has such a number."""
    import fcntl
    import resource

    soft_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, max(16, min(soft_limit, 1024) - 16))
    except OSError as problem:
        sys.exit(
            f"imp_parallel: a runner can't have the descriptors that it needs: {problem.strerror}. "
            f"It may have {soft_limit} files open (ulimit -n); let it have 64 or more."
        )


class Runner:
    """The loop of a runner: read a token, run its item, write the outcome."""

    def __init__(
        self, wire: socket.socket, go_ahead: int, values: int, printed: ItemOutput
    ) -> None:
        self._go_ahead = go_ahead
        self._values = values
        self._printed = printed
        self._position = printed.position
        self._words = printed.words
        self._flush_output: Callable[[], None] = lambda: None
        self._given = Assignments()
        self._contexts = self._given.contexts
        self._supervisor = SupervisorLink(wire, self._given.take)
        self._own = process.own_memory()
        self._slave_index = 0
        self._running: Item | None = None
        self._generators: Generators | None = None
        """The process's generators of random numbers, if an item with a seed has run."""
        current_task.describe_current = self._describe_current

    def introduce(self) -> None:
        """Wait for the supervisor's WELCOME, and answer that this runner is ready."""
        welcome = self._supervisor.wait_for_welcome()
        index, folder, *sys.path[:] = map(os.fsdecode, welcome.split(b"\0"))
        self._slave_index = int(index)
        with contextlib.suppress(OSError):
            os.chdir(folder)  # a forked runner was made before the slave knew its folder
        self._supervisor.answer_welcome(version_of_cloudpickle().encode())

    def run(self) -> None:
        """Work until the supervisor closes the go-ahead."""
        self._flush_output = output_flusher()
        read, go_ahead, size = os.read, self._go_ahead, _TOKEN.size
        items, fetch, run_item = self._given.items, self._fetch, self._run_item
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
            if number:  # the item is nearly always there, and the first one
                run_item(items.popleft() if items and items[0][0] == number else fetch(number))
            else:  # a message without an item; an earlier read may have brought it already
                self._supervisor.read_what_is_there()

    def _fetch(self, number: int) -> Item:
        """Read until the item is there; drop the items before it, which were taken back."""
        items = self._given.items
        while True:
            while not items:
                self._supervisor.read()
            item = items.popleft()
            if item[0] == number:
                return item

    def _run_item(self, item: Item) -> None:
        self._running = item
        number, (id, bundle, timeout_s, is_setup, _), segments = item
        if timeout_s:
            self._supervisor.send(protocol.BEGAN, heads.pack_item(number))
        context = self._contexts.get(id) or self._given.context(id)
        words = self._words
        words[BEGIN] = self._position()
        words[ITEM] = number
        begun_at = _now()
        try:
            value = self._call(context, item, bundle, segments, is_setup)
            if is_setup:
                context.values, context.spread = as_arguments(value), spread_of(value)
                value = None
            status = heads.VALUE
            if type(value) in PLAIN:
                content: list[Any] = [pickle.dumps(value, 5)]  # as pickle_value, without a call
            else:
                content = pickle_value(value, context.definitions)
        except BaseException as exc:  # whatever a task raises is its outcome
            self._exit_if_forked()
            status, content = heads.RAISED, _described(exc, context.definitions)
        if not self._own[0]:
            os._exit(0)  # as _exit_if_forked, without a call for each item
        self._running = None
        duration_s = _now() - begun_at
        peak_kib = process.take_peak_bytes() >> 10 if duration_s >= _MEASURED_S else 0
        self._flush_output()
        if len(content) == 1 and len(content[0]) <= SMALL_BYTES and not is_setup:
            pickled = content[0]
            record = _pack_record(number, duration_s, peak_kib, len(pickled)) + pickled
            written = os.write(self._values, record)
            while written < len(record):
                written += os.write(self._values, record[written:])
        else:
            if status == heads.RAISED:
                content.insert(heads.OUTPUT_SEGMENT, self._printed.of_failed())
            head = heads.pack_outcome(heads.OutcomeHead(number, status, duration_s, peak_kib))
            self._supervisor.send(protocol.OUTCOME, head, content)

    def _call(
        self,
        context: RunnerContext,
        item: Item,
        bundle: int,
        segments: Sequence[Any],
        is_setup: bool,
    ) -> Any:
        """Unpickle the callable and the arguments of an item, and call it.

        Args:
            context: the context of the item.
            item: the item; the others are parts of it.
        """
        try:
            if bundle != context.prepared_for:
                context.prepare(bundle)
                self._exit_if_forked()
            if context is not self._given.entered:
                self._given.enter(context)
            function, arguments = unpickle_task(segments, context.definitions)
        except BaseException as problem:
            problem.add_note("(raised while the task was unpickled on the slave)")
            raise
        if self._generators is not None or is_setup:
            # not before: modules that were imported may have drawn numbers
            self._seed_generators(item, context.seed)
        if is_setup:
            return function(*arguments)
        if context.spread:
            return call_behind_setup(function, context.spread, context.values, arguments)
        return function(*context.values, *arguments)

    def _seed_generators(self, item: Item, seed: int | None) -> None:
        """Seed the process's generators for the item that runs."""
        if self._generators is None:
            if seed is None:
                return
            from .seeds import Generators  # most scripts have no seed

            self._generators = Generators()
        number, group, _ = item
        if seed is not None:
            self._generators.seed(current_task.seed_of(number, group.head, seed))
        elif self._generators.are_seeded:  # this item must not draw what other slaves draw
            self._generators.seed(None)

    def _describe_current(self) -> CurrentTask | None:
        if self._running is None:
            return None
        item, group, _ = self._running
        seed = self._given.context(group.context).seed
        return current_task.describe(item, group.head, self._slave_index, seed)

    def _exit_if_forked(self) -> None:
        """End a child that a task has forked and let return: it must not write for this runner."""
        if not self._own[0]:  # Python's fork hooks are not called for a fork in C code
            os._exit(0)


def _described(exc: BaseException, definitions: LoadedDefinitions) -> Any:
    return describe_exception(definitions.explained(exc), definitions)
