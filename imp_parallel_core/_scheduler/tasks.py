"""Tasks and their outcomes, as they pass through the scheduler: what is in them is opaque here."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from .._light_typing import Any, NamedTuple, Protocol


class OutcomeKind(enum.Enum):
    """How a task ended."""

    VALUE = "value"
    RAISED = "raised"
    LOST = "lost"
    MEMORY_EXCEEDED = "memory exceeded"
    SETUP_FAILED = "set-up failed"
    CANCELLED = "cancelled"


FAILURES = frozenset(OutcomeKind) - {OutcomeKind.VALUE, OutcomeKind.CANCELLED}
"""The outcomes of tasks that have failed."""

NO_SLAVE = -1
"""Stands for the slave in the outcome of a task that needs none."""


class Outcome(NamedTuple):
    """The one outcome of a task.

    ``content`` is opaque here: the segments that the runner wrote for VALUE, RAISED and a set-up
    that raised; a sequence of sentences, one for each attempt, otherwise (none for CANCELLED).
    """

    kind: OutcomeKind
    content: Sequence[Any]
    slave: int
    size_bytes: int = 0
    peak_memory_bytes: int = 0
    """The most memory that the task's process has held; 0 if that is not known."""


class Ended(NamedTuple):
    """Items that one slave has ended, in this order: each column has an entry for each item.

    Sizes and peaks are those of the outcomes, for who looks at many at once.
    """

    items: Sequence[int]
    outcomes: Sequence[Outcome]
    durations_s: Sequence[float]
    """How long each took (s)."""
    sizes_bytes: Sequence[int]
    peaks_bytes: Sequence[int]

    @classmethod
    def of(cls, *ended: tuple[int, Outcome, float]) -> Ended:
        """Return items that have ended, each given with its outcome and how long it took (s)."""
        items, outcomes, durations_s = zip(*ended, strict=True)
        sizes_bytes = tuple([outcome.size_bytes for outcome in outcomes])
        peaks_bytes = tuple([outcome.peak_memory_bytes for outcome in outcomes])
        return cls(items, outcomes, durations_s, sizes_bytes, peaks_bytes)


class Part(Protocol):
    """A segment of a payload that several tasks may share; each runner is sent it once."""

    number: int
    """Its number within its context; 0 if no other task shares it."""

    def __len__(self) -> int:
        """Return its size (bytes)."""


class Task:
    """A task in the queue: what travels, and what has become of it so far."""

    __slots__ = (
        "bundle",
        "context",
        "done",
        "history",
        "id",
        "inbox",
        "is_forgotten",
        "number",
        "payload",
        "slaves",
    )

    def __init__(
        self,
        context: int,
        payload: Sequence[Any],
        bundle: int = 0,
        id: int = -1,
        inbox: Any = None,
    ) -> None:
        self.id = id
        """Its number within its context, in the order of adding; given by the engine."""
        self.number = id
        """Its number within its inbox, in the order of adding; given when the user adds it."""
        self.inbox = inbox
        """Where its outcome goes; opaque here."""
        self.context = context
        self.payload = payload
        self.bundle = bundle
        """The last bundle of definitions that the payload refers to."""
        self.history: tuple[str, ...] = ()
        """How each charged attempt ended."""
        self.slaves: tuple[int, ...] = ()
        """The slaves that have it, each for one attempt."""
        self.done = False
        """Whether it has its outcome, or needs none any more."""
        self.is_forgotten = False
        """Whether the user has dropped it."""

    @property
    def attempt(self) -> int:
        """Which attempt the last one is that has begun, from 1."""
        # an attempt that is charged is history; others may go on, on slaves that are not heard
        return len(self.history) + max(1, len(self.slaves))

    def __repr__(self) -> str:
        return f"<Task {self.id} of context {self.context}>"
