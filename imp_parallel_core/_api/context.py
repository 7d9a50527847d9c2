"""A context: tasks that share one set-up, and their results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from .._printable import printable
from .open_context import OpenContext, not_callable
from .readings import Readings

if TYPE_CHECKING:
    from .._engine.context_requests import Cancelled
    from .map import Map

OnError = Literal["raise", "return"]


def _check_on_error(on_error: OnError) -> bool:
    """Return whether errors are to be returned. Raises ValueError."""
    if on_error not in ("raise", "return"):
        raise ValueError(f"on_error={on_error!r}: it must be 'raise' or 'return'")
    return on_error == "return"


def _check_timeout(timeout_s: float | None) -> None:
    """Check how long a reader wants to wait. Raises TypeError, ValueError."""
    if timeout_s is None:
        return
    if not isinstance(timeout_s, (int, float)):
        raise TypeError(f"timeout_s={timeout_s!r}: it must be a number of seconds, or None")
    if not timeout_s >= 0:
        raise ValueError(f"timeout_s={timeout_s!r}: it must be at least 0")


class Context:
    """Tasks that share one set-up. Made by ``Manager.get_context``.

    A context may be used by several threads. Its set-up's values live on the slaves until it is
    closed, or no longer referred to.
    """

    def __init__(self, opened: OpenContext) -> None:
        self._open = opened
        self._readings = Readings(opened)

    def add_task(self, task: Callable[..., Any], /, *args: Any, **keywords: Any) -> int:
        """Add a task: ``task(*values_of_the_setup, *args, **keywords)`` is called on some slave.

        Return its number: the first task of the context has number 0, the next one 1, and so on.
        Results that are read with ``numbered=True`` and errors tell which task they are of.

        Everything is pickled now: the task does not see later changes. A large object that earlier
        tasks held as well (an array of 1 MiB, say) is not sent again, unless it has been changed.
        May be called at any time, also while results are read.

        If a Ctrl-C has cut a reading of results short, or an error that an interactive session has
        shown, an UnreadResultsWarning says once that the results that were left are still to come
        (see :meth:`clear`).

        Args:
            task: any callable: a function, a lambda, an instance of a class with ``__call__``;
                defined in a module, in the script itself, in a notebook.
            args: more arguments, after those that the set-up returned.
            keywords: arguments by name.

        Raises:
            TypeError: ``task`` can't be called.
            PicklingError: something in it can't be pickled; the message names it.
            ClosedError: the Context or its Manager has been closed.
        """
        self._open.check()
        if not callable(task):
            raise not_callable(task)
        if self._readings.left_when is not None:
            self._readings.warn_of_what_is_left()
        made = self._open.make_task(self._open.inbox, task, args, keywords)
        self._open.add(made)
        return made.number

    def map(
        self,
        function: Callable[..., Any],
        *iterables: Iterable[Any],
        on_error: OnError = "raise",
        ahead: int = 1000,
    ) -> Map:
        """Return an iterator over ``function(*values_of_the_setup, *items)``, in the items' order.

        The iterator takes one item of each iterable at a time, as the builtin ``map`` does, and
        ends with the shortest iterable. So this method can be given to libraries that ask for a
        ``map``, as in ``workers=context.map`` for SciPy, and a context to those that ask for a
        pool, as in ``pool=context`` for emcee. :meth:`map_unordered` returns results as they
        complete, so that a slow one never holds the others back.

        The iterables may be long or endless. Only as many items are taken as may be on their way,
        and only while the results are iterated over, so that memory stays bounded. The results are
        apart from those of other tasks: ``get_results`` does not yield them.

        The iteration may stop at any time: when the iterator is closed, or no longer referred to,
        the calls that have not begun are forgotten. After an error of a task, or a Ctrl-C, the
        iteration may go on. (A Ctrl-C ends a generator that it strikes: give the items in another
        way if the iteration is to go on with all of them.)

        Results that have arrived are returned first. If none has arrived, the thread that asks for
        a result asks the iterables for the next items; while an iterable blocks, so does that
        thread, also if a result arrives meanwhile. An iterable that is fed from the results needs
        ``ahead=1``. Threads that share the iterator ask the iterables in turn.

        Args:
            function: any callable, as for :meth:`add_task`.
            iterables: the arguments of the calls. An exception that an iterable raises is raised
                behind the results of the items that came before.
            on_error: as for :meth:`get_results_unordered`.
            ahead: how many calls may be on their way, that is, their items have been taken, and
                their results have not been read. If items are large, fewer are: none is taken while
                those on their way are 64 MiB or more, pickled, and two or more for each slave.

        Raises:
            TypeError: ``function`` can't be called, or there is no iterable to iterate over.
            ValueError: for another bad argument.
            PicklingError: while iterating: an item can't be pickled; the next one may be. The item
                has no place among the results, nor a number in later errors.
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

    def get_results_unordered(
        self,
        *,
        on_error: OnError = "raise",
        numbered: bool = False,
        timeout_s: float | None = None,
    ) -> Iterator[Any]:
        """Yield the result of each task as it completes, until none is outstanding.

        Tasks that are added meanwhile are included. May be called again: when it is exhausted and
        there are new tasks, or after an error, to go on with the others; nothing is lost. Several
        threads may iterate at once; each result goes to one of them.

        Args:
            on_error: what happens where the result of a failed task would be: ``"raise"`` its
                error (which ends this iterator), or ``"return"`` (yield) it.
            numbered: whether to yield ``(number, result)``, with the number that :meth:`add_task`
                returned for that task.
            timeout_s: how long to wait for each result, in seconds; by default for any time.

        Raises:
            RemoteError: a task raised an exception (see its ``exc`` and ``traceback``).
            SetupError: the set-up failed.
            TaskLostError: a task ended its runner in each of its attempts.
            ResultTimeoutError: no result has come for ``timeout_s``; call this again to read on.
            NoMoreSlavesError: tasks are left, but no slave is, or is to come.
            ClosedError: the Context or its Manager has been closed.
        """
        return self._results(on_error, numbered, timeout_s, in_order=False)

    def get_results(
        self,
        *,
        on_error: OnError = "raise",
        numbered: bool = False,
        timeout_s: float | None = None,
    ) -> Iterator[Any]:
        """Yield the results in the order in which the tasks were added.

        Otherwise this is like :meth:`get_results_unordered`: ``list(context.get_results())`` only
        raises the error if one task fails. With ``on_error="return"`` it is a list of all results,
        in which each error is in its task's place and says which task that is (``number``,
        ``args_of_task``). Results that come before their turn wait on the master; the Manager's
        ``credit`` bounds their number.
        """
        return self._results(on_error, numbered, timeout_s, in_order=True)

    def cancel(self, number: int) -> Cancelled:
        """Cancel the task that :meth:`add_task` has returned this number for; say what was done.

        The outcome of a task that is cancelled is a CancelledError, which comes among the results
        like the error of a task that has failed. A task that runs is ended at once, also if it is
        in C code that holds the interpreter lock: its process is killed, the slave goes on with a
        new process, and runs the set-up again there. That costs no other task an attempt.

        Return ``"forgotten"`` if the task had not begun: it never will. Return ``"ended"`` if it
        was running, and ``"late"`` if it has another outcome.

        Raises:
            TypeError, ValueError: no task has this number.
            ClosedError: the Context or its Manager has been closed.
        """
        return self._open.cancel(number)

    def clear(self) -> None:
        """Forget all tasks whose results have not been read: the next results are of new tasks.

        This holds for tasks that wait, tasks that run, and tasks whose results have arrived: none
        of these results appears in any iterator. Tasks that run come to their end first, since
        their slaves may have taken long to set up (to end them at once, close the context and get
        a new one). The set-up's values stay, and so do iterators of :meth:`map`. The numbers of
        new tasks, in errors, begin at 0 again, and so do the random numbers of a seed: new tasks
        and new maps draw those of the first ones.

        Raises ClosedError if the Context or its Manager has been closed.
        """
        self._open.check()
        self._readings.left_when = None
        self._open.clear()

    def close(self) -> None:
        """Forget the tasks, end those that run, and drop the set-up's values on the slaves.

        This happens by itself when the context is no longer referred to. May be called twice.
        """
        self._open.close()

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        from .nesting import refuse_to_be_pickled

        refuse_to_be_pickled(self)

    def __repr__(self) -> str:
        opened = self._open
        name = printable(opened.name) or opened.id
        progress = opened.progress()
        if progress is None:
            return f"<Context {name}, {opened.ending or 'closed'}>"
        return f"<Context {name}: {progress}>"

    def _map(
        self,
        function: Callable[..., Any],
        iterables: tuple[Iterable[Any], ...],
        on_error: OnError,
        ahead: int,
        *,
        in_order: bool,
    ) -> Map:
        from .map import Map  # most scripts add tasks one by one

        self._open.check()
        if not callable(function):
            raise not_callable(function)
        returns_errors = _check_on_error(on_error)
        if type(ahead) is not int or ahead < 1:
            raise ValueError(f"ahead={ahead!r}: it must be an int of at least 1")
        if not iterables:
            raise TypeError(
                "there is nothing to call the function with: give at least one iterable"
            )
        return Map(
            self._open,
            function,
            tuple(map(iter, iterables)),
            in_order=in_order,
            returns_errors=returns_errors,
            ahead=ahead,
        )

    def _results(
        self, on_error: OnError, numbered: bool, timeout_s: float | None, *, in_order: bool
    ) -> Iterator[Any]:
        returns_errors = _check_on_error(on_error)
        _check_timeout(timeout_s)
        self._open.check()
        return self._readings.iterate(
            in_order=in_order,
            returns_errors=returns_errors,
            is_numbered=numbered,
            timeout_s=timeout_s,
        )
