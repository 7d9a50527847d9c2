"""What the scheduler decides: the actions that the engine performs, and the outcomes of tasks."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from ._light_typing import Any, NamedTuple


class OutcomeKind(enum.Enum):
    """How a task ended."""

    VALUE = "value"
    RAISED = "raised"
    LOST = "lost"
    SETUP_FAILED = "set-up failed"


class Outcome(NamedTuple):
    """The one outcome of a task.

    ``content`` is opaque here: the segments that the runner wrote for VALUE, RAISED and a set-up
    that raised; a sequence of sentences, one for each attempt, otherwise.
    """

    kind: OutcomeKind
    content: Sequence[Any]
    slave: int
    size_bytes: int = 0


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
        """Its number within its inbox, likewise."""
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

    def __repr__(self) -> str:
        return f"<Task {self.id} of context {self.context}>"


class SendSetup(NamedTuple):
    """Send a context's set-up to a slave, as the given item."""

    slave: int
    item: int
    context: int


class SendTasks(NamedTuple):
    """Send tasks of one context to a slave: (item, task) pairs, to be run in this order.

    The items' numbers follow each other without a gap.
    """

    slave: int
    tasks: list[tuple[int, Task]]


class TakeBack(NamedTuple):
    """Ask a slave to hand back every item that it has not begun."""

    slave: int


class EndAttempt(NamedTuple):
    """End the runner of a slave if it is still at this item: nobody needs it any more."""

    slave: int
    item: int


class NextRunner(NamedTuple):
    """Tell a slave that the loss of its runner is understood; what follows is for the next."""

    slave: int


class CloseContext(NamedTuple):
    """Tell a slave to drop a context's values."""

    slave: int
    context: int


class KeepPart(NamedTuple):
    """Send a slave a large part that tasks of a context refer to, to be kept."""

    slave: int
    context: int
    part: Any


class ForgetPart(NamedTuple):
    """Tell a slave to forget a part that it keeps, by its number."""

    slave: int
    context: int
    number: int


class Relaunch(NamedTuple):
    """Launch a slave again that ran and was lost."""

    slave: int


class SetAside(NamedTuple):
    """A slave gets no work for a while: so many tasks in a row have died on it."""

    slave: int
    deaths: int


class TakeUp(NamedTuple):
    """A slave that was set aside may be given work again."""

    slave: int


class GiveUp(NamedTuple):
    """Let a slave be lost that is heard and does not do what it should; and say why.

    The item that it is at is charged if ``is_charged``.
    """

    slave: int
    why: str
    is_charged: bool


class Deliver(NamedTuple):
    """Hand a task's outcome to its context. Happens once for every task.

    It is what lies in the context's inbox then, until the user reads it.
    """

    task: Task
    outcome: Outcome


Action = (
    SendSetup
    | SendTasks
    | TakeBack
    | EndAttempt
    | NextRunner
    | CloseContext
    | KeepPart
    | ForgetPart
    | Relaunch
    | SetAside
    | TakeUp
    | GiveUp
    | Deliver
)
