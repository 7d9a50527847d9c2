"""What a task can learn of itself: :func:`current_task`, a public name of the package."""

from __future__ import annotations

from .._light_typing import TYPE_CHECKING, NamedTuple
from .._wire import heads

if TYPE_CHECKING:
    from collections.abc import Callable

_SETUP = (0, 0, 1)  # in the place of a task's number, of its map, and of nothing: no task has these


class CurrentTask(NamedTuple):
    """The task, or the set-up, that a process of a slave runs; see :func:`current_task`.

    Attributes:
        number: the task's number in its context, from 0, in the order of adding, as errors call
            it; for a call of ``Context.map`` the number of its items. None in a set-up.
        attempt: which attempt this is, from 1. It is more than 1 if the task has ended its process
            or its slave before, or its slave was not heard. None in a set-up.
        context: the number of the context, from 1.
        slave: the slave's name, as messages call it.
        slave_index: the slave's number, from 0.
        seed: what the task's random numbers come from, if the context has a seed, for generators
            of your own: ``numpy.random.default_rng(current_task().seed)``. None without a seed.
    """

    number: int | None
    attempt: int | None
    context: int
    slave: str
    slave_index: int
    seed: list[int] | None


def current_task() -> CurrentTask | None:
    """Return which task, or set-up, this process runs; None if it runs none.

    It is for code that a task calls, such as to name a file. Processes that a task forks find the
    task, too; other processes that it starts find None, as the script does.
    """
    return None if describe_current is None else describe_current()


describe_current: Callable[[], CurrentTask | None] | None = None
"""What answers; the runner puts it here."""


def describe(
    item: int, head: heads.TasksHead | heads.SetupHead, slave_index: int, seed: int | None
) -> CurrentTask:
    """Return the description of an item.

    Args:
        item: the item's number.
        head: that of the message that brought the item.
        slave_index: the slave's number.
        seed: the context's seed.
    """
    number = attempt = None
    if isinstance(head, heads.TasksHead):
        number, attempt = head.place_of(item)[1:]
    words = None if seed is None else seed_of(item, head, seed)
    name = f"slave {slave_index}"
    return CurrentTask(number, attempt, head.context, name, slave_index, words)


def seed_of(item: int, head: heads.TasksHead | heads.SetupHead, seed: int) -> list[int]:
    """Return the seed of an item, which does not depend on where and how often it runs."""
    if isinstance(head, heads.SetupHead):
        return seed_of_setup(seed)
    map, number, _ = head.place_of(item)
    return seed_of_task(seed, map, number)


def seed_of_setup(seed: int) -> list[int]:
    """Return the seed of a set-up."""
    return [seed, *_SETUP]


def seed_of_task(seed: int, map: int, number: int) -> list[int]:
    """Return the seed of a task of a map, 0 for none."""
    return [seed, number, map] if map else [seed, number]
