"""The heads of messages (docs/protocol.md), packed and unpacked.

An *item* is a unit of a runner's work: the set-up of a context, or an attempt of a task. A runner
does one item at a time. Item 0 means that there is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct, error

from .._errors import ProtocolError
from .._light_typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .shared_memory import Segment

_BUNDLE = Struct("!II")  # context, number
_SETUP = Struct("!QIIdQ")  # item, context, bundle, time limit (s), memory limit (bytes)
_TASKS = Struct("!QIIdQIQ?")  # first item, context, bundle, limits of each (s, bytes), and where
# they are among the context's: map, number of the first, whether each task has a place of its own
_COUNT = Struct("!H")  # segments of one task
_PLACE = Struct("!IQH")  # map, number, attempt of one task
_ITEM = Struct("!Q")
_CONTEXT = Struct("!I")
_RUNNER_READY = Struct("!I")  # pid
_OUTCOME = Struct("!QBdI")  # item, VALUE or RAISED, duration (s), peak memory (KiB)
_RUNNER_LOST = Struct("!QQ??")  # item to blame, peak memory (bytes), whether the master asked,
# whether the item has exceeded its memory limit
_KEEP = Struct("!IIB")  # context, number of the part, BUFFER, BYTES or TEXT
_FORGET = Struct("!II")  # context, number of the part
_PART = Struct("!I")  # number of a part, in the place of a segment of a task

VALUE, RAISED = 0, 1
OUTPUT_SEGMENT = 3  # of an OUTCOME that is RAISED
BUFFER, BYTES, TEXT = range(3)
SEED_LIMIT_BYTES = 64

_FOREVER = float("inf")
_ATTEMPT_LIMIT = (1 << 16) - 1


class TaskPlace(NamedTuple):
    """What a task is among those of its context."""

    map: int
    """Which ``Context.map`` it is of, from 1; 0 for none."""
    number: int
    """Its number there."""
    attempt: int
    """Which attempt this is, from 1."""


class TasksHead(NamedTuple):
    """The head of a TASKS message, whose tasks have all this in common."""

    first_item: int
    """The item of the first task; those of the other tasks follow without a gap."""
    context: int
    bundle: int
    timeout_s: float
    memory_bytes: int
    """How much memory the process may hold while it runs a task; 0 for any."""
    map: int
    """Which map the tasks are of; 0 for none."""
    first_number: int
    """The number of the first task there; those of the other tasks follow without a gap, and all
    are first attempts, unless there are places."""
    counts: Sequence[int]
    """How many segments each task has."""
    places: Sequence[TaskPlace] = ()
    """The place of each task, if they are not as the numbers above say."""

    @property
    def items(self) -> range:
        """The items of all tasks."""
        return range(self.first_item, self.first_item + len(self.counts))

    def place_of(self, item: int) -> TaskPlace:
        """Return the place of the task that is this item."""
        at = item - self.first_item
        return self.places[at] if self.places else TaskPlace(self.map, self.first_number + at, 1)


class SetupHead(NamedTuple):
    """The head of a SETUP message; its segments are the pickled set-up."""

    item: int
    context: int
    bundle: int
    timeout_s: float
    memory_bytes: int = 0
    seed: int | None = None
    """What the random numbers of the context's items come from; None for nothing."""


class BundleHead(NamedTuple):
    """The head of a BUNDLE message; its segments are the pickled definitions."""

    context: int
    number: int


class KeepHead(NamedTuple):
    """The head of a KEEP message; its one segment is the part."""

    context: int
    number: int
    kind: int
    """What the runner makes of the part: BUFFER, BYTES or TEXT."""


class ForgetHead(NamedTuple):
    """The head of a FORGET message: which part to drop."""

    context: int
    number: int


class OutcomeHead(NamedTuple):
    """The head of an OUTCOME message: how an item ended, and how long it ran.

    The segments are the pickled value (VALUE), or the traceback as UTF-8, a line that names the
    exception, facts about it, the end of what the item has printed, and the pickled exception
    (RAISED).
    """

    item: int
    status: int
    duration_s: float
    peak_memory_kib: int = 0
    """The most memory that the process has held; 0 if that was not measured."""


class RunnerLostHead(NamedTuple):
    """The head of a RUNNER_LOST message.

    The first segment says how the runner ended, in words. The second one, if there is one, is the
    end of what the item to blame has printed.
    """

    item: int
    peak_memory_bytes: int
    was_asked: bool
    has_exceeded: bool = False
    """Whether the item has exceeded its memory limit, for which the runner was ended."""


class RunnerReadyHead(NamedTuple):
    """The head of a RUNNER_READY message."""

    pid: int


def _unpack(layout: Struct, head: bytes) -> tuple[int, ...]:
    try:
        return layout.unpack(head)
    except error as problem:
        raise ProtocolError(f"a head of {len(head)} bytes instead of {layout.size}") from problem


def pack_tasks(head: TasksHead) -> bytes:
    """Return the head of a TASKS message."""
    *of_all, counts, places = head
    packed = _TASKS.pack(*of_all, bool(places)) + _counts_layout(len(counts)).pack(*counts)
    for map, number, attempt in places:
        packed += _PLACE.pack(map, number, min(attempt, _ATTEMPT_LIMIT))
    return packed


def unpack_tasks(head: bytes) -> TasksHead:
    """Return a TASKS message's head. Raises ProtocolError."""
    size = len(head) - _TASKS.size
    if size <= 0:
        raise ProtocolError(f"a TASKS head of {len(head)} bytes")
    item, context, bundle, timeout_s, memory_bytes, map, number, has_places = _TASKS.unpack_from(
        head
    )
    count, rest = divmod(size, _COUNT.size + _PLACE.size * has_places)
    if rest:
        raise ProtocolError(f"a TASKS head of {len(head)} bytes")
    counts = _counts_layout(count).unpack_from(head, _TASKS.size)
    tasks = TasksHead(item, context, bundle, timeout_s, memory_bytes, map, number, counts)
    if not has_places:
        return tasks
    places = _PLACE.iter_unpack(head[-count * _PLACE.size :])
    return tasks._replace(places=[TaskPlace(*place) for place in places])


def _counts_layout(count: int) -> Struct:
    return Struct(f"!{count}H")


def pack_setup(head: SetupHead) -> bytes:
    """Return a SETUP message's head as bytes."""
    *fixed, seed = head
    return _SETUP.pack(*fixed) + (b"" if seed is None else _packed_seed(seed))


def unpack_setup(head: bytes) -> SetupHead:
    """Return a SETUP message's head. Raises ProtocolError."""
    item, context, bundle, timeout_s, memory_bytes = _unpack(_SETUP, head[: _SETUP.size])
    seed = head[_SETUP.size :]
    if len(seed) > SEED_LIMIT_BYTES:
        raise ProtocolError(f"a seed of {len(seed)} bytes")
    number = int.from_bytes(seed) if seed else None
    return SetupHead(item, context, bundle, timeout_s, memory_bytes, number)


def _packed_seed(seed: int) -> bytes:
    return seed.to_bytes(max(1, (seed.bit_length() + 7) // 8))


def pack_bundle(head: BundleHead) -> bytes:
    """Return a BUNDLE message's head as bytes."""
    return _BUNDLE.pack(*head)


def unpack_bundle(head: bytes) -> BundleHead:
    """Return a BUNDLE message's head. Raises ProtocolError."""
    return BundleHead(*_unpack(_BUNDLE, head))


def pack_keep(head: KeepHead) -> bytes:
    """Return a KEEP message's head as bytes."""
    return _KEEP.pack(*head)


def unpack_keep(head: bytes) -> KeepHead:
    """Return a KEEP message's head. Raises ProtocolError."""
    keep = KeepHead(*_unpack(_KEEP, head))
    if keep.kind not in (BUFFER, BYTES, TEXT):
        raise ProtocolError(f"a part of the unknown kind {keep.kind}")
    return keep


def pack_forget(head: ForgetHead) -> bytes:
    """Return a FORGET message's head as bytes."""
    return _FORGET.pack(*head)


def unpack_forget(head: bytes) -> ForgetHead:
    """Return a FORGET message's head. Raises ProtocolError."""
    return ForgetHead(*_unpack(_FORGET, head))


def reference_to(part: int) -> bytes:
    """Return the segment that stands in a task for a part that the runner keeps."""
    return _PART.pack(part)


def referred_part(segment: Segment) -> int:
    """Return the number of the part that a task's segment stands for; 0 if it stands for none."""
    # a buffer that a task holds out of band is never so short
    return _PART.unpack(segment)[0] if len(segment) == _PART.size else 0  # type: ignore[arg-type]  # too short to be shared


def pack_outcome(head: OutcomeHead) -> bytes:
    """Return an OUTCOME message's head as bytes."""
    return _OUTCOME.pack(*head)


def unpack_outcome(head: bytes) -> OutcomeHead:
    """Return an OUTCOME message's head. Raises ProtocolError."""
    item, status, duration_s, peak_kib = _unpack(_OUTCOME, head)
    if status not in (VALUE, RAISED):
        raise ProtocolError(f"an OUTCOME of the unknown status {status}")
    if not -_FOREVER < duration_s < _FOREVER:
        raise ProtocolError(f"an OUTCOME with a duration of {duration_s} s")
    return OutcomeHead(item, status, duration_s, peak_kib)


def pack_item(item: int) -> bytes:
    """Return the head of a BEGAN or END_ATTEMPT message."""
    return _ITEM.pack(item)


def unpack_item(head: bytes) -> int:
    """Return the item in a BEGAN or END_ATTEMPT message's head. Raises ProtocolError."""
    return _unpack(_ITEM, head)[0]


def pack_items(items: Sequence[int]) -> bytes:
    """Return the head of a TAKEN_BACK message."""
    return Struct(f"!{len(items)}Q").pack(*items)


def unpack_items(head: bytes) -> list[int]:
    """Return the items in a TAKEN_BACK message's head. Raises ProtocolError."""
    return list(_unpack(Struct(f"!{len(head) // 8}Q"), head))


def pack_context(context: int) -> bytes:
    """Return the head of a CLOSE_CONTEXT message."""
    return _CONTEXT.pack(context)


def unpack_context(head: bytes) -> int:
    """Return the context in a CLOSE_CONTEXT message's head. Raises ProtocolError."""
    return _unpack(_CONTEXT, head)[0]


def pack_runner_ready(head: RunnerReadyHead) -> bytes:
    """Return a RUNNER_READY message's head as bytes."""
    return _RUNNER_READY.pack(*head)


def unpack_runner_ready(head: bytes) -> RunnerReadyHead:
    """Return a RUNNER_READY message's head. Raises ProtocolError."""
    return RunnerReadyHead(*_unpack(_RUNNER_READY, head))


def pack_runner_lost(head: RunnerLostHead) -> bytes:
    """Return a RUNNER_LOST message's head as bytes."""
    return _RUNNER_LOST.pack(*head)


def unpack_runner_lost(head: bytes) -> RunnerLostHead:
    """Return a RUNNER_LOST message's head. Raises ProtocolError."""
    item, peak_memory_bytes, was_asked, has_exceeded = _unpack(_RUNNER_LOST, head)
    return RunnerLostHead(item, peak_memory_bytes, bool(was_asked), bool(has_exceeded))
