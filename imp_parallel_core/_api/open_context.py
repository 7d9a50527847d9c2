"""An open context, as the Context and the iterators of its maps use it.

Tasks are pickled here and handed to the engine; results come back from it and are opened here. All
of that happens in the user's threads.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from operator import index
from typing import TYPE_CHECKING, Any

from .._code.calls import WithKeywords
from .._definitions.book import DefinitionBook
from .._definitions.import_path import ImportPath
from .._definitions.large_parts import LargeParts
from .._engine.inbox import Stopped
from .._engine.served_context import ServedContext
from .._errors import ClosedError, Error, PicklingError, RemoteError, TooManyFailuresError
from .._scheduler.actions import Deliver
from .._scheduler.tasks import OutcomeKind, Task
from .._wire.heads import SEED_LIMIT_BYTES
from .names import checked_name, name_of
from .opening import Opener

if TYPE_CHECKING:
    from .._engine.context_requests import Cancelled
    from .._engine.engine import Engine
    from .._engine.inbox import Inbox
    from .._engine.progress import Progress

_LEAST_MEMORY_BYTES = 16_000_000
# Called, it gives no argument; and no slave must import a module for it.
_NO_SETUP: Callable[[], Any] = tuple


class OpenContext:
    """A context that the engine serves until it is closed, or nobody refers to this any more.

    Args:
        manager: only held, since it must live as long as its contexts.
        engine: the Manager's.
        id: the context's number.
        startup: the set-up.
        task_timeout_s: how long a task may take; None for any time.
        setup_timeout_s: how long the set-up may take, likewise.
        task_memory_bytes: how much memory a slave may hold at any of them; None for any.
        max_attempts: how often a task may end its runner.
        max_failures: how many tasks may fail before the rest is ended; None for any number.
        seed: what the random numbers of its items come from; None for nothing.
        name: what people call it; None for that of the set-up or the first task.
        import_path: the path that slaves have been started with.
        announces: whether set-up and tasks say in the slave's output when they begin.

    Raises TypeError or ValueError for bad arguments, PicklingError for a set-up that can't be
    pickled, ClosedError.
    """

    def __init__(
        self,
        manager: object,
        engine: Engine,
        id: int,
        startup: Callable[[], Any] | None,
        *,
        task_timeout_s: float | None,
        setup_timeout_s: float | None,
        task_memory_bytes: float | None,
        max_attempts: int,
        max_failures: int | None,
        seed: int | None,
        name: str | None,
        import_path: ImportPath,
        announces: bool = False,
    ) -> None:
        _check_count("max_attempts", max_attempts)
        if max_failures is not None:
            _check_count("max_failures", max_failures)
        _check_limit("task_timeout_s", task_timeout_s)
        _check_limit("setup_timeout_s", setup_timeout_s)
        memory_bytes = _checked_memory(task_memory_bytes)
        seed = _checked_seed(seed)
        name = checked_name(name) or ("" if startup is None else name_of(startup))
        self.manager = manager
        self._engine = engine
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
        limits = setup_timeout_s or 0.0, task_timeout_s or 0.0, memory_bytes
        self._served = ServedContext(id, book, setup, *limits, seed, max_failures or 0, name)
        self._opener = Opener(engine, self._served, _name_of_setup(startup))
        self.requests = engine.open_context(self._served, max_attempts)
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
        if self._engine.closed_because:  # called for each task, so check_open() only if need be
            self._engine.check_open()
        if self._is_closed:
            raise ClosedError("this Context has been closed")

    def progress(self) -> Progress | None:
        """Return how far the tasks are; None if this or its Manager has been closed."""
        is_closed = self._is_closed or self._engine.closed_because
        return None if is_closed else self.requests.progress()

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

    def count_slaves(self) -> int:
        """Return how many slaves there are, or are to come."""
        return self._engine.count_slaves()

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
            raise _pickling_error(task, args, "the task", problem, keywords) from problem
        return Task(self._served.id, payload, bundle, inbox=inbox)

    # ---- results

    def take_next(
        self, inbox: Inbox, *, in_order: bool, waits: bool = True, timeout_s: float | None = None
    ) -> tuple[Deliver, Any, Error | None] | None:
        """Return the next delivery with its value, or its error twice; None if there is none (yet).

        An iterator claims the delivery before it hands the value to the user.
        """
        self._engine.check_open()
        try:
            delivery = inbox.take(in_order=in_order, waits=waits, timeout_s=timeout_s)
        except Stopped:
            raise self._too_many_failures() from None
        if delivery is None:
            return None
        try:
            if delivery.outcome.kind is not OutcomeKind.VALUE:
                error = self._error_of(delivery)
            else:
                try:
                    return delivery, self._opener.unpickle(delivery.outcome.content), None
                except KeyboardInterrupt:
                    raise
                except BaseException as problem:  # this runs the code of others
                    error = self._error_of(delivery, problem)
        except BaseException:  # a Ctrl-C: the next one that reads shall have the delivery
            inbox.give_back(delivery)
            raise
        return delivery, error, error

    def _too_many_failures(self) -> TooManyFailuresError:
        from .failed_tasks import too_many_failures

        return too_many_failures([self._error_of(one) for one in self._served.failures])

    def _error_of(self, delivery: Deliver, unreadable: BaseException | None = None) -> Error:
        """Return the error of a task that has failed, or whose value can't be read."""
        try:
            from .failed_tasks import error_of, error_of_value  # most tasks give a value

            if unreadable is not None:
                return error_of_value(delivery, unreadable, self._opener)
            return error_of(delivery, self._opener)
        except Error as error:  # the Manager has been closed meanwhile
            return error
        except KeyboardInterrupt:
            raise
        except BaseException as problem:  # no memory, say: this is raised once, and not for ever
            from .._code.reprs import describe_text

            number = delivery.task.number
            reason = f"{type(problem).__name__}: {describe_text(problem)}"
            text = f"the error of task {number} can't be read: {reason}"
            last = RemoteError(text, exc=problem, number=number)
            last.__cause__ = problem
            return last


def _announced(called: Callable[..., Any]) -> Callable[..., Any]:
    from .._slave.announced import Announced  # most scripts leave the output in files

    return Announced(called)


def not_callable(task: Any) -> TypeError:
    """Return the error for a task that can't be called."""
    from .._code.reprs import describe

    return TypeError(f"a task must be callable, and {describe(task)} is not")


def _check_count(name: str, count: int) -> None:
    if type(count) is not int:
        raise TypeError(f"{name}={count!r}: it must be an int")
    if count < 1:
        raise ValueError(f"{name} must be at least 1")


def _check_limit(name: str, limit_s: float | None) -> None:
    if limit_s is None:
        return
    if not isinstance(limit_s, (int, float)):
        raise TypeError(f"{name}={limit_s!r}: it must be a number of seconds, or None")
    if not limit_s > 0:
        raise ValueError(f"{name}={limit_s!r}: it must be more than 0")


def _checked_memory(limit_bytes: float | None) -> int:
    """Return a limit of memory in bytes, 0 for none. Raises TypeError, ValueError."""
    if limit_bytes is None:
        return 0
    if isinstance(limit_bytes, bool) or not isinstance(limit_bytes, (int, float)):
        raise TypeError(f"task_memory_bytes={limit_bytes!r}: it must be a number of bytes, or None")
    if not _LEAST_MEMORY_BYTES <= limit_bytes < 1 << 63:
        raise ValueError(
            f"task_memory_bytes={limit_bytes!r}: it must be a number of bytes, and at least "
            f"{_LEAST_MEMORY_BYTES:,}, since Python itself takes some memory"
        )
    return int(limit_bytes)


def check_timeout(timeout_s: float | None) -> None:
    """Check how long a reader wants to wait. Raises TypeError, ValueError."""
    if timeout_s is None:
        return
    if not isinstance(timeout_s, (int, float)):
        raise TypeError(f"timeout_s={timeout_s!r}: it must be a number of seconds, or None")
    if not timeout_s >= 0:
        raise ValueError(f"timeout_s={timeout_s!r}: it must be at least 0")


def _checked_seed(seed: Any) -> int | None:
    """Return a seed as an int. Raises TypeError, ValueError."""
    if seed is None:
        return None
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):  # (numpy's integers have it)
        raise TypeError(f"seed={seed!r}: it must be an int, or None")
    number = index(seed)
    if not 0 <= number < 1 << 8 * SEED_LIMIT_BYTES:
        raise ValueError(f"seed={seed!r}: it must be 0 or more, and have at most 512 bits")
    return number


def _name_of_setup(startup: Any) -> str:
    name: str = getattr(startup, "__qualname__", "") or ("none" if startup is None else "")
    if name:
        return name
    from .._code.reprs import describe

    return describe(startup)


def _pickle_setup(book: DefinitionBook, startup: Callable[[], Any]) -> Any:
    try:
        return book.pickle((startup, ()))
    except Exception as problem:
        raise _pickling_error(startup, (), "the set-up", problem) from problem


def _pickling_error(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    name: str,
    problem: Exception,
    keywords: dict[str, Any] | None = None,
) -> PicklingError:
    from .._code.culprit import explain

    part: Any
    what, part = name, function
    if _can_pickle(function):
        is_in_args = not keywords or not _can_pickle(args)
        what, part = ("args", args) if is_in_args else ("keywords", keywords)
    culprit, advice = explain(part, what, _can_pickle)
    reason = f"{type(problem).__name__}: {problem}"
    return PicklingError(f"{culprit} can't be pickled: {reason}{advice}", culprit=culprit)


def _can_pickle(thing: Any) -> bool:
    try:
        DefinitionBook().pickle(thing)  # in a book of its own, since this must not be sent
    except Exception:
        return False
    return True
