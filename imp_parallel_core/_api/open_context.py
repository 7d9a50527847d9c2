"""An open context, as the Context and the iterators of its maps use it.

Set-up and tasks are pickled here, in the user's threads, and handed to the engine.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._code.calls import WithKeywords
from .._definitions.book import DefinitionBook
from .._definitions.import_path import ImportPath
from .._definitions.large_parts import LargeParts
from .._engine.served_context import ContextOptions, ServedContext
from .._errors import ClosedError
from .._scheduler.tasks import Task
from .names import checked_name, name_of, name_of_setup
from .results import Results

if TYPE_CHECKING:
    from .._engine.context_requests import Cancelled
    from .._engine.engine import Engine
    from .._engine.inbox import Inbox
    from .._engine.progress import Progress

# Called, it gives no argument; and no slave must import a module for it.
_NO_SETUP: Callable[[], Any] = tuple


class OpenContext:
    """A context that the engine serves until it is closed, or nobody refers to this any more.

    Args:
        manager: only held, since it must live as long as its contexts.
        engine: the Manager's.
        id: the context's number.
        startup: the set-up.
        options: the options, checked.
        name: what people call it; None for that of the set-up or the first task.
        import_path: the path that slaves have been started with.
        announces: whether set-up and tasks say in the slave's output when they begin.

    Raises TypeError or ValueError for a bad name, PicklingError for a set-up that can't be pickled,
    ClosedError.
    """

    def __init__(
        self,
        manager: object,
        engine: Engine,
        id: int,
        startup: Callable[[], Any] | None,
        options: ContextOptions,
        *,
        name: str | None,
        import_path: ImportPath,
        announces: bool = False,
    ) -> None:
        name = checked_name(name) or ("" if startup is None else name_of(startup))
        self.manager = manager
        self._ending = engine.ending
        self.count_slaves = engine.count_slaves
        """Returns how many slaves there are, or are to come."""
        self._is_closed = False
        released = engine.released_parts
        book = DefinitionBook(
            LargeParts(lambda number: released.append((id, number))),
            import_path,
        )
        self._announced = _announced if announces else None
        called = self._announced(startup) if startup and self._announced else startup
        setup = _pickle_setup(book, called or _NO_SETUP)
        # Nothing else refers to the book, which the engine lets go of at the end: the book holds
        # objects of the script, and a thread may keep this context beyond the interpreter's end.
        self._served = ServedContext(id, book, setup, options, name)
        self.results = Results(engine, self._served, name_of_setup(startup))
        """What has become of its tasks."""
        self.requests = engine.open_context(self._served)
        """What is asked of the engine for this context."""
        self.add = self.requests.add_task
        """Adds a task that has been made."""
        self._finalizer = weakref.finalize(self, engine.close_context, id)
        self._finalizer.atexit = False  # the Manager ends everything then

    @property
    def id(self) -> int:
        """The context's number."""
        return self._served.id

    @property
    def name(self) -> str:
        """What people call it; "" until it has a set-up, a name, or a first task."""
        return self._served.name

    @property
    def inbox(self) -> Inbox:
        """Where outcomes arrive that are not those of a map; another one after each clear."""
        return self._served.inbox

    def check(self) -> None:
        """Raise ClosedError if the Context or its Manager has been closed."""
        if self._ending.why:  # called for each task, so check() only if need be
            self._ending.check()
        if self._is_closed:
            raise ClosedError("this Context has been closed")

    def progress(self) -> Progress | None:
        """Return how far the tasks are; None if this or its Manager has been closed."""
        is_closed = self._is_closed or self._ending.why
        return None if is_closed else self.requests.progress()

    @property
    def ending(self) -> str:
        """Why :meth:`check` raises, in the words of a ``repr``; "" while it does not."""
        return self._ending.words or ("closed" if self._is_closed else "")

    def close(self) -> None:
        """Forget the tasks, end those that run, and drop the set-up's values on the slaves."""
        if not self._is_closed:
            self._is_closed = True
            self._finalizer()

    def clear(self) -> None:
        """Forget all tasks whose results have not been read, but for those of maps."""
        self.check()
        self.requests.renew_inbox()

    def cancel(self, number: int) -> Cancelled:
        """Cancel a task that is not a map's. Raises TypeError, ValueError, ClosedError."""
        self.check()
        if type(number) is not int:
            raise TypeError(f"number={number!r}: it must be an int that add_task has returned")
        inbox = self.inbox
        if not 0 <= number < inbox.offered:
            raise ValueError(f"there is no task {number}: {inbox.offered} tasks have been added")
        return self.requests.cancel(inbox, number)

    # ---- tasks

    def make_task(
        self,
        inbox: Inbox,
        task: Callable[..., Any],
        args: tuple[Any, ...],
        keywords: dict[str, Any] | None = None,
    ) -> Task:
        """Return a task whose outcome goes to an inbox. Raises PicklingError."""
        called = WithKeywords(task, **keywords) if keywords else task
        if self._announced is not None:
            called = self._announced(called)
        if not self._served.name:
            self._served.name = name_of(task)
        try:
            payload, bundle = self._served.book.pickle_task(called, args)
        except Exception as problem:
            from .unpicklable import pickling_error

            raise pickling_error("the task", task, args, keywords, problem) from problem
        return Task(self._served.id, payload, bundle, inbox=inbox)


def _announced(called: Callable[..., Any]) -> Callable[..., Any]:
    from .._slave.announced import Announced  # most scripts leave the output in files

    return Announced(called)


def not_callable(task: Any) -> TypeError:
    """Return the error for a task that can't be called."""
    from .._code.reprs import describe

    return TypeError(f"a task must be callable, and {describe(task)} is not")


def _pickle_setup(book: DefinitionBook, startup: Callable[[], Any]) -> Any:
    try:
        return book.pickle((startup, ()))
    except Exception as problem:
        from .unpicklable import pickling_error

        raise pickling_error("the set-up", startup, (), None, problem) from problem
