"""A context: tasks that share one set-up, and their results."""

from __future__ import annotations

import sys
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from .._definitions.book import DefinitionBook
from .._definitions.import_path import ImportPath
from .._definitions.large_parts import LargeParts
from .._engine.engine import Engine
from .._engine.served_context import ServedContext
from .._errors import ClosedError, Error, PicklingError, UnreadResultsWarning
from .._scheduler.actions import Deliver
from .._scheduler.tasks import Task
from .map import Map
from .opening import Opener

if TYPE_CHECKING:
    from .._engine.inbox import Inbox
    from .manager import Manager

# called, it gives no argument; and no slave must import a module for it
_NO_SETUP: Callable[[], Any] = tuple

OnError = Literal["raise", "return"]

_INTERRUPTED = -1
_of_sys = vars(sys)  # for each result: to ask a module for what it hasn't takes long


def _last_shown() -> int:
    """Return what tells the last error that an interactive session has shown from others."""
    return id(_of_sys.get("last_value"))


def _name_of_setup(startup: Any) -> str:
    name: str = getattr(startup, "__qualname__", "") or ("none" if startup is None else "")
    if name:
        return name
    from .._code.reprs import describe

    return describe(startup)


def _not_callable(task: Any) -> TypeError:
    from .._code.reprs import describe

    return TypeError(f"a task must be callable, and {describe(task)} is not")


def _check_on_error(on_error: OnError) -> bool:
    """Return whether errors are to be returned. Raises ValueError."""
    if on_error not in ("raise", "return"):
        raise ValueError(f"on_error={on_error!r}: it must be 'raise' or 'return'")
    return on_error == "return"


class Context:
    """Tasks that share one set-up. Made by ``Manager.get_context``.

    A context may be used by several threads. Its set-up's values live on the slaves until it is
    closed, or no longer referred to.
    """

    def __init__(
        self,
        manager: Manager,
        engine: Engine,
        id: int,
        startup: Callable[[], Any] | None,
        *,
        task_timeout_s: float | None,
        setup_timeout_s: float | None,
        max_attempts: int,
        import_path: ImportPath,
    ) -> None:
        self._manager = manager  # it must live as long as its contexts
        self._engine = engine
        self._is_closed = False
        self._left_when: int | None = None
        """If a reading has been left: what error had been shown by then, or _INTERRUPTED."""
        released = engine.released_parts
        book = DefinitionBook(
            LargeParts(lambda number: released.append((id, number))),
            import_path,
        )
        setup = self._pickle_setup(book, startup or _NO_SETUP)
        # it alone refers to the book, which it lets go of at the end: the book holds what is the
        # script's, and a thread may keep this context beyond the interpreter's end
        self._served = ServedContext(id, book, setup, setup_timeout_s or 0.0, task_timeout_s or 0.0)
        self._opener = Opener(engine, self._served, _name_of_setup(startup))
        engine.open_context(self._served, max_attempts)
        self._finalizer = weakref.finalize(self, engine.close_context, id)
        self._finalizer.atexit = False  # the Manager ends everything then

    def add_task(self, task: Callable[..., Any], *args: Any) -> None:
        """Add a task: ``task(*values_of_the_setup, *args)`` is called on some slave.

        Everything is pickled now: what is changed afterwards is not seen by the task. Something
        large that tasks before held as well (an array of 1 MiB, say) is not sent again, unless it
        has been changed. May be called at any time, also while results are read.

        Where a reading was cut short by a Ctrl-C, or by an error that an interactive session has
        shown, an UnreadResultsWarning says once that what it left is still to come (see
        :meth:`clear`).

        Args:
            task: any callable: a function, a lambda, an instance of a class with ``__call__``;
                defined in a module, in the script itself, in a notebook.
            args: more arguments, after those that the set-up returned.

        Raises:
            TypeError: ``task`` can't be called.
            PicklingError: something in it can't be pickled; the message names it.
            ClosedError: the Context or its Manager has been closed.
        """
        self._check_open()
        if not callable(task):
            raise _not_callable(task)
        if self._left_when is not None:
            self._warn_of_what_is_left()
        self.add_made(self.make_task(self._served.inbox, task, args))

    def map(
        self,
        function: Callable[..., Any],
        *iterables: Iterable[Any],
        on_error: OnError = "raise",
        ahead: int = 1000,
    ) -> Map:
        """Return an iterator over ``function(*values_of_the_setup, *items)``, in the items' order.

        It takes one item of each iterable at a time, as the builtin ``map`` does, and ends with the
        shortest. So it serves where a ``map`` is asked for: as ``workers=context.map`` of SciPy, or
        in a pool's place, as ``pool=context`` of emcee. :meth:`map_unordered` gives the results as
        they come, which are never held back by a slow one.

        For long and endless rows of items: no more are taken up, from within the iteration, than
        may be on their way, so that memory stays bounded. The results are apart from those of
        other tasks: ``get_results`` does not yield them.

        Iterating may be given up at any time: when the iterator is no longer referred to, or is
        closed, what has not begun is forgotten. After an error of a task, or a Ctrl-C, it may be
        gone on with. (A generator that a Ctrl-C strikes is at its end: give items in another way
        if the iteration is to go on with all of them.)

        Results that have come are returned first. The next items are asked for in the thread that
        asks for a result, when none has come; so a row that waits holds results back that come
        then. A row that is fed from the results needs ``ahead=1``. Threads that share the iterator
        ask the row in turn.

        Args:
            function: any callable, as for :meth:`add_task`.
            iterables: what to call it with. What they raise is raised behind the results of the
                items that came before.
            on_error: as for :meth:`get_results_unordered`.
            ahead: how many calls at most are on their way: their items taken up, and their results
                not read. If items are large there are fewer: none is taken up when those on their
                way are 64 MiB or more, pickled, and two or more for each slave.

        Raises:
            TypeError: ``function`` can't be called, or there is no iterable to iterate over.
            ValueError: for another bad argument.
            PicklingError: while iterating: an item can't be pickled; the next one may be. It has no
                place among the results, nor a number in later errors.
            ClosedError: the Context or its Manager has been closed.
        """
        return self._map(function, iterables, on_error, ahead, in_order=True)

    def map_unordered(
        self,
        function: Callable[..., Any],
        *iterables: Iterable[Any],
        on_error: OnError = "raise",
        ahead: int = 1000,
    ) -> Map:
        """Return an iterator like that of :meth:`map`, but over results as they complete."""
        return self._map(function, iterables, on_error, ahead, in_order=False)

    def get_results_unordered(self, *, on_error: OnError = "raise") -> Iterator[Any]:
        """Yield the result of each task as it completes, until none is outstanding.

        Tasks that are added meanwhile are included. May be called again: when it is exhausted and
        there are new tasks, or after an error, to go on with the others; nothing is lost. Several
        threads may iterate at once; each result goes to one of them.

        Args:
            on_error: what happens where the result of a failed task would be: ``"raise"`` its
                error (which ends this iterator), or ``"return"`` (yield) it.

        Raises:
            RemoteError: a task raised an exception (see its ``exc`` and ``traceback``).
            SetupError: the set-up failed.
            TaskLostError: a task ended its runner in each of its attempts.
            NoMoreSlavesError: tasks are left, but no slave is, or is to come.
            ClosedError: the Context or its Manager has been closed.
        """
        return self._results(on_error, in_order=False)

    def get_results(self, *, on_error: OnError = "raise") -> Iterator[Any]:
        """Yield the results in the order in which the tasks were added.

        Otherwise like :meth:`get_results_unordered`: ``list(context.get_results())`` gives nothing
        but the error if one task fails, and with ``on_error="return"`` a list of all, in which each
        error, in its task's place, says which it is (``number``, ``args_of_task``). Results that
        come before their turn wait on the master; how many is bounded (see the Manager's
        ``credit``).
        """
        return self._results(on_error, in_order=True)

    def clear(self) -> None:
        """Forget all tasks whose results have not been read: the next results are of new tasks.

        That is, those that wait, those that run, and those whose results have come; none of their
        results appears any more, in no iterator. Those that run come to their end first, since
        their slaves may have taken long to set up (to end them at once, close the context and get
        a new one). The set-up's values stay, and so do iterators of :meth:`map`. The numbers of
        new tasks, in errors, begin at 0 again.

        Raises ClosedError if the Context or its Manager has been closed.
        """
        self._check_open()
        self._left_when = None
        self._engine.renew_inbox(self._served)

    def close(self) -> None:
        """Forget the tasks, end those that run, and drop the set-up's values on the slaves.

        Done by itself when the context is no longer referred to. May be called twice.
        """
        if not self._is_closed:
            self._is_closed = True
            self._finalizer()

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Context {self._served.id} of {self._manager!r}>"

    # ---- from here on, private

    def _check_open(self) -> None:
        self._engine.check_open()
        if self._is_closed:
            raise ClosedError("this Context has been closed")

    def _pickle_setup(self, book: DefinitionBook, startup: Callable[[], Any]) -> Any:
        try:
            return book.pickle((startup, ()))
        except Exception as problem:
            raise self._pickling_error(startup, (), "the set-up", problem) from problem

    def _pickling_error(
        self, function: Callable[..., Any], args: tuple[Any, ...], name: str, problem: Exception
    ) -> PicklingError:
        from .._code.culprit import explain

        what, part = (name, function) if not self._can_pickle(function) else ("args", args)
        culprit, advice = explain(part, what, self._can_pickle)
        reason = f"{type(problem).__name__}: {problem}"
        return PicklingError(f"{culprit} can't be pickled: {reason}{advice}", culprit=culprit)

    def _can_pickle(self, thing: Any) -> bool:
        try:
            DefinitionBook().pickle(thing)  # what is tried must not be sent
        except Exception:
            return False
        return True

    def make_task(self, inbox: Inbox, task: Callable[..., Any], args: tuple[Any, ...]) -> Task:
        """Return a task whose outcome goes to an inbox. Called by :meth:`add_task` and by a Map."""
        try:
            payload, bundle = self._served.book.pickle_task(task, args)
        except Exception as problem:
            raise self._pickling_error(task, args, "the task", problem) from problem
        return Task(self._served.id, payload, bundle, inbox=inbox)

    def add_made(self, task: Task) -> None:
        """Add a task that has been made."""
        task.inbox.offer()
        self._engine.add_task(task)

    def add_again(self, task: Task) -> None:
        """Add a task unless it has been: a Ctrl-C interrupted :meth:`add_made`. Called by a Map."""
        task.inbox.offer()
        self._engine.add_task_again(task)

    def count_slaves(self) -> int:
        """Return how many slaves there are, or are to come. Called by a Map."""
        return self._engine.count_slaves()

    def _map(
        self,
        function: Callable[..., Any],
        iterables: Sequence[Iterable[Any]],
        on_error: OnError,
        ahead: int,
        *,
        in_order: bool,
    ) -> Map:
        self._check_open()
        if not callable(function):
            raise _not_callable(function)
        returns_errors = _check_on_error(on_error)
        if type(ahead) is not int or ahead < 1:
            raise ValueError(f"ahead={ahead!r}: it must be an int of at least 1")
        if not iterables:
            raise TypeError(
                "there is nothing to call the function with: give at least one iterable"
            )
        iterators = tuple(map(iter, iterables))
        inbox, engine, served = self._engine.open_inbox(self._served), self._engine, self._served
        return Map(
            self,
            inbox,
            lambda: engine.forget_inbox(served, inbox),
            function,
            iterators,
            in_order=in_order,
            returns_errors=returns_errors,
            ahead=ahead,
        )

    def _results(self, on_error: OnError, *, in_order: bool) -> Iterator[Any]:
        returns_errors = _check_on_error(on_error)
        self._check_open()
        return self._iterate(returns_errors, in_order=in_order)

    def _iterate(self, returns_errors: bool, *, in_order: bool) -> Iterator[Any]:
        try:
            while True:
                self._left_when = None
                inbox = self._served.inbox
                try:
                    opened = self.open_next(inbox, in_order=in_order)
                except ClosedError:
                    if inbox is self._served.inbox:
                        raise
                    continue  # another thread has cleared the context
                if opened is None:
                    if inbox is self._served.inbox:
                        return
                    continue
                delivery, value, failure = opened
                inbox.note_read(delivery)
                self._left_when = _last_shown()  # unless there is a next time
                # from here to the user it is one step: a Ctrl-C before it loses nothing
                if inbox.claim(delivery.task.number, None) is None:
                    inbox.unnote_read(delivery)  # another reader was faster
                    continue
                if failure is not None and not returns_errors:
                    raise failure
                yield value
        except KeyboardInterrupt:
            self._left_when = _INTERRUPTED
            raise

    def _warn_of_what_is_left(self) -> None:
        """Warn, if a reading was left by something that has cut the script, or its cell, short.

        Who breaks out of a loop, or takes one result at a time, and adds tasks then, means to. An
        error that ended a notebook's cell can be told by its having been shown since.
        """
        left_when, self._left_when = self._left_when, None
        if left_when == _last_shown():
            self._left_when = left_when
        elif self._served.inbox.has_unread:
            warnings.warn(
                "reading the results of this context was cut short, and what it left unread will "
                "come among the results of the new tasks; context.clear() forgets it",
                UnreadResultsWarning,
                stacklevel=3,
            )

    def open_next(
        self, inbox: Inbox, *, in_order: bool, waits: bool = True
    ) -> tuple[Deliver, Any, Error | None] | None:
        """Return the next delivery with its value, or its error twice; None if there is none (yet).

        Called by iterators, which claim it before they hand it to the user.
        """
        self._engine.check_open()
        delivery = inbox.take(in_order=in_order, waits=waits)
        if delivery is None:
            return None
        try:
            return delivery, self._opener.open(delivery), None
        except Error as error:
            return delivery, error, error
        except BaseException:  # a Ctrl-C: whoever reads next shall have it
            inbox.give_back(delivery)
            raise
