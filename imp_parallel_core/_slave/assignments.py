"""What a runner has been given: items in order, and the contexts that they belong to."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate, repeat

from .._code.loaded import LoadedDefinitions
from .._code.references import resolve_from_now_on
from .._light_typing import TYPE_CHECKING, Any, NamedTuple
from .._wire import heads, protocol
from .._wire.protocol import Message
from .._wire.shared_memory import opened

if TYPE_CHECKING:
    from .._code.kept_parts import KeptPart
    from .._wire.shared_memory import Segment

    Item = tuple[int, "Group", Sequence[Any]]


class Group(NamedTuple):
    """What the tasks of one message have in common; or the same facts about a set-up."""

    context: int
    bundle: int
    timeout_s: float
    is_setup: bool
    head: heads.TasksHead | heads.SetupHead


class RunnerContext:
    """A context in this runner: its code, and the values that its set-up returned."""

    def __init__(self) -> None:
        self.definitions = LoadedDefinitions()
        self.arrived: list[tuple[int, Sequence[Segment]]] = []
        """Bundles that have not been loaded, by number."""
        self.values: tuple[Any, ...] = ()
        self.spread = ""
        """What the set-up returned, if its values were in that: ``"list"`` or ``"tuple"``."""
        self.seed: int | None = None
        """What the random numbers of its items come from."""
        self.prepared_for = -1
        """The bundle whose globals are there."""
        self.kept: dict[int, KeptPart] = {}
        """Large parts of tasks, by number."""

    def prepare(self, bundle: int) -> None:
        """Load bundles up to this one, and give globals the values that its items expect.

        An item calls this when it begins, since loading runs the user's code. A bundle that can't
        be loaded fails only the items that need something of it.
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


class Assignments:
    """The items and contexts of one runner."""

    def __init__(self) -> None:
        self.items: deque[Item] = deque()
        """Items that have arrived and not begun, in order."""
        self.entered: RunnerContext | None = None
        """The context whose definitions pickles refer to."""
        self.contexts: dict[int, RunnerContext] = {}
        """By number: those of which something has arrived."""

    def context(self, id: int) -> RunnerContext:
        """Return the context of that number, a new one for its first message or item."""
        context = self.contexts.get(id)
        if context is None:
            context = self.contexts[id] = RunnerContext()
        return context

    def enter(self, context: RunnerContext) -> None:
        """Let pickles refer to the definitions of this context from now on."""
        resolve_from_now_on(context.definitions)
        self.entered = context

    def take(self, message: Message) -> None:
        """Take a message of the supervisor. Raises ProtocolError."""
        kind, head, segments = message
        if kind == protocol.TASKS:
            tasks = heads.unpack_tasks(head)
            group = Group(tasks.context, tasks.bundle, tasks.timeout_s, False, tasks)
            payloads = _payloads(segments, tasks.counts)
            if len(segments) != len(tasks.counts):
                # look kept parts up now: a FORGET may follow before the tasks begin
                kept = self.context(tasks.context).kept
                payloads = [_with_kept_parts(payload, kept) for payload in payloads]
            self.items.extend(zip(tasks.items, repeat(group), payloads, strict=False))
        elif kind == protocol.SETUP:
            setup = heads.unpack_setup(head)
            group = Group(setup.context, setup.bundle, setup.timeout_s, True, setup)
            self.context(setup.context).seed = setup.seed
            self.items.append((setup.item, group, segments))
        elif kind == protocol.BUNDLE:
            bundle = heads.unpack_bundle(head)
            self.context(bundle.context).arrived.append((bundle.number, segments))
        elif kind == protocol.KEEP:
            from .._code.kept_parts import KeptPart  # most runners never need it

            keep = heads.unpack_keep(head)
            self.context(keep.context).kept[keep.number] = KeptPart(keep.kind, segments[0])
        elif kind == protocol.FORGET:
            forget = heads.unpack_forget(head)
            self.context(forget.context).kept.pop(forget.number, None)
        elif kind == protocol.CLOSE_CONTEXT:
            closed = self.contexts.pop(heads.unpack_context(head), None)
            if closed is not None:
                closed.definitions.reducer = None  # which refers to them: a circle lives for long
            self.entered = None
            resolve_from_now_on(None)
        elif kind == protocol.ARGUMENTS:
            sys.argv[:] = map(os.fsdecode, b"".join(opened(segments)).split(b"\0"))


def _payloads(segments: Sequence[Segment], counts: Sequence[int]) -> Iterable[Sequence[Segment]]:
    """Return the segments of each task in turn."""
    if len(segments) == len(counts) == counts.count(1):
        return zip(segments, strict=False)  # one each: the usual case
    ends = list(accumulate(counts))
    return [segments[end - count : end] for count, end in zip(counts, ends, strict=True)]


def _with_kept_parts(segments: Sequence[Any], kept: dict[int, KeptPart]) -> Sequence[Any]:
    """Return the segments of a task, with kept parts in the place of references to them."""
    if len(segments) == 1:
        return segments
    pickled, *buffers = segments
    return [pickled, *(kept[n] if (n := heads.referred_part(b)) else b for b in buffers)]
