"""What the scheduler decides: the actions that the engine performs."""

from __future__ import annotations

from .._light_typing import Any, NamedTuple
from .tasks import Outcome, Task


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
    are_fresh: bool = False
    """Whether none of them was sent before: then they are in the order of adding."""


class TakeBack(NamedTuple):
    """Ask a slave to hand back every item that it has not begun."""

    slave: int


class EndAttempt(NamedTuple):
    """End the runner of a slave if it is still at this item: nobody needs it any more."""

    slave: int
    item: int


class RenewRunner(NamedTuple):
    """Have a slave's runner, which is at nothing, exit; the slave starts another in its place."""

    slave: int


class NextRunner(NamedTuple):
    """Tell a slave that the loss of its runner is known; later messages are for the next runner."""

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
    """Have a slave lost that is heard and does not do what it should, for the given reason.

    If ``is_charged``, the item that the slave is at is charged with the loss.
    """

    slave: int
    why: str
    is_charged: bool


class TooManyFailures(NamedTuple):
    """Tell who reads a context that its tasks have failed too often, and the rest is ended."""

    context: int


class Deliver(NamedTuple):
    """Hand a task's outcome to its context. Happens once for every task.

    The action itself lies in the context's inbox then, until the user reads the outcome.
    """

    task: Task
    outcome: Outcome


Action = (
    SendSetup
    | SendTasks
    | TakeBack
    | EndAttempt
    | RenewRunner
    | NextRunner
    | CloseContext
    | KeepPart
    | ForgetPart
    | Relaunch
    | SetAside
    | TakeUp
    | GiveUp
    | TooManyFailures
    | Deliver
)
