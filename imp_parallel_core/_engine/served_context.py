"""A context, as the engine serves it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .._light_typing import NamedTuple

if TYPE_CHECKING:
    from .._definitions.book import DefinitionBook
    from .._definitions.sent import Segments
    from .._scheduler.actions import Deliver
    from .inbox import Inbox


class ContextOptions(NamedTuple):
    """What a context's tasks may do."""

    setup_timeout_s: float
    """How long the set-up may take; 0 for no limit."""
    task_timeout_s: float
    """How long each task may take, likewise."""
    memory_bytes: int
    """How much memory a slave may hold at any of them; 0 for no limit."""
    seed: int | None
    """What the random numbers of its items come from; None for nothing."""
    max_attempts: int
    """How often a task may end its runner before it is given up."""
    max_failures: int
    """How many tasks may fail before the rest is ended; 0 for any number."""
    max_tasks_per_runner: int
    """How many tasks a runner may run before it is replaced; 0 for any number."""


class ServedContext:
    """What the engine needs of a context in order to serve it.

    Args:
        id: its number.
        book: its definitions.
        setup: its pickled set-up, and the last bundle that it needs.
        options: what the user has asked for.
        name: what people call it; "" until the first task has been made.
    """

    inbox: Inbox  # made when the engine begins to serve it
    """Where outcomes go, unless :meth:`~.._api.context.Context.map` brings another."""

    def __init__(
        self,
        id: int,
        book: DefinitionBook,
        setup: tuple[Segments, int],
        options: ContextOptions,
        name: str = "",
    ) -> None:
        self.id = id
        self.name = name
        self.inboxes: set[Inbox] = set()
        self.superseded: deque[Inbox] = deque()  # whose tasks the user has forgotten
        self.tasks = 0  # how many have been added
        self.forgotten = 0  # how many of these never had an outcome, and have been forgotten
        self.book = book
        self.setup = setup
        self.options = options
        self.failures: list[Deliver] = []  # if their number is limited
        self.is_stopped = False  # there have been so many of them

    def forget_code(self) -> None:
        """Let go of what nobody needs when it is closed: it may be large."""
        self.book = type(self.book)()
        self.setup = (), 0
