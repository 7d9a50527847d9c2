"""Turns what has arrived into the user's values and errors, in the user's thread."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ._actions import Deliver, OutcomeKind, Task
from ._errors import Error, RemoteError, SetupError, TaskLostError
from ._exception_facts import ExceptionFacts, read_facts
from ._printable import printable_lines
from ._references import refers, resolving, unpickle_task
from ._reprs import describe, describe_task, describe_text, join_bounded
from ._shared_memory import open_segment

if TYPE_CHECKING:
    from ._engine import Engine
    from ._performer import ServedContext

# What unpickling may raise, since it runs the user's code: anything but a Ctrl-C of the user's.
_CODE_OF_OTHERS = (Exception, SystemExit, GeneratorExit)

_SHORT = 4096  # bytes that it takes no time to look through


class _Copy(NamedTuple):
    """What a failed task was, as far as it can be rebuilt."""

    task: Any = None
    args: tuple[str, ...] = ()
    words: str = ""


class Opener:
    """Opens the deliveries of one context.

    Args:
        engine: knows the slaves' names.
        served: holds the definitions that pickles refer to.
        setup_name: what errors call the set-up.
    """

    def __init__(self, engine: Engine, served: ServedContext, setup_name: str) -> None:
        self._engine = engine
        self._served = served
        self._setup_name = setup_name

    def open(self, delivery: Deliver) -> Any:
        """Return a task's value, or raise its error."""
        outcome = delivery.outcome
        if outcome.kind is OutcomeKind.VALUE:
            try:
                return self._unpickle(outcome.content)
            except _CODE_OF_OTHERS as problem:
                name, host = self._engine.slave_names(outcome.slave)
                raise RemoteError(
                    f"the value of task {delivery.task.number}, which ran on "
                    f"{_place(name, host)}, can't be unpickled on the master: "
                    f"{type(problem).__name__}: {problem}",
                    exc=problem,
                    slave=name,
                    host=host,
                    number=delivery.task.number,
                ) from problem
        try:
            raise self._error(delivery)
        except Error:
            raise
        except Exception as problem:  # no memory, say: it is told once, and not for ever
            number = delivery.task.number
            raise RemoteError(
                f"the error of task {number} can't be read: {type(problem).__name__}: {problem}",
                exc=problem,
                number=number,
            ) from problem

    def _error(self, delivery: Deliver) -> RemoteError | TaskLostError:
        copy = self._rebuild(delivery.task)
        if delivery.outcome.kind is OutcomeKind.LOST:
            return _lost_error(delivery, copy)
        return self._remote_error(delivery, copy)

    def _remote_error(self, delivery: Deliver, copy: _Copy) -> RemoteError:
        outcome, number = delivery.outcome, delivery.task.number
        name, host = self._engine.slave_names(outcome.slave)
        is_setup = outcome.kind is OutcomeKind.SETUP_FAILED
        what = f"the set-up of its context ({self._setup_name})" if is_setup else f"task {number}"
        exc, traceback, facts = None, "", ExceptionFacts()
        if len(outcome.content) < 4:  # the set-up did not raise: it took its runner down
            message = f"{what} ended its runner: {outcome.content[0]}{copy.words}"
        else:
            traceback, line = (
                printable_lines(bytes(part).decode(errors="replace"))
                for part in outcome.content[:2]
            )
            exc, facts = self._unpickle_exception(outcome.content[2], outcome.content[3:])
            lost = f"\n  exc is None: {facts.problem}" if exc is None and facts.problem else ""
            message = (
                f"{line}\n  raised by {what} on {_place(name, host)}{copy.words}{lost}\n"
                f"  traceback on the slave:\n{traceback}"
            )
        error = (SetupError if is_setup else RemoteError)(
            message,
            exc=exc,
            traceback=traceback,
            slave=name,
            host=host,
            task=copy.task,
            number=number,
            args_of_task=copy.args,
            exc_type=facts.type_name,
            exc_args=facts.args,
            exc_notes=facts.notes,
            exc_problem=facts.problem if exc is None else "",
        )
        error.__cause__ = exc
        return error

    def _unpickle(self, segments: Sequence[Any]) -> Any:
        if len(segments) == 1 and len(segments[0]) < _SHORT and not refers(segments[0]):
            return pickle.loads(segments[0])
        data, *buffers = map(open_segment, segments)
        with resolving(self._served.book):
            return pickle.loads(data, buffers=buffers)

    def _unpickle_exception(
        self, facts: Any, pickled: Sequence[Any]
    ) -> tuple[BaseException | None, ExceptionFacts]:
        """Return an exception, None if it can't be had; and what else is known of it."""
        known = read_facts(facts)
        if len(pickled) == 1 and not pickled[0]:
            return None, known
        try:
            exc = self._unpickle(pickled)
        except _CODE_OF_OTHERS as problem:
            why = f"{type(problem).__name__}: {describe_text(problem)}"
            return None, known._replace(problem=f"it can't be unpickled on the master: {why}")
        if not isinstance(exc, BaseException):
            why = f"it was unpickled as an instance of {type(exc).__qualname__}"
            return None, known._replace(problem=why)
        return exc, known

    def _rebuild(self, task: Task) -> _Copy:
        """Return a copy of a failed task, for its error; an empty one if that can't be made."""
        try:
            book = self._served.book
            with resolving(book):
                function, args = unpickle_task(task.payload, book)
        except _CODE_OF_OTHERS:  # it is for the message only
            return _Copy()
        shown = tuple(map(describe, args))
        words = f"\n  the task: {describe_task(function)}"
        if shown:
            words += f"\n  called, after what the set-up returned, with: {join_bounded(shown)}"
        return _Copy(function, shown, words)


def _lost_error(delivery: Deliver, copy: _Copy) -> TaskLostError:
    attempts = delivery.outcome.content
    history = "\n".join(f"  {n}. {attempt}" for n, attempt in enumerate(attempts, 1))
    return TaskLostError(
        f"task {delivery.task.number} was given up after {len(attempts)} attempts, each of which "
        f"ended its runner:\n{history}{copy.words}",
        attempts=attempts,
        task=copy.task,
        number=delivery.task.number,
        args_of_task=copy.args,
    )


def _place(name: str, host: str) -> str:
    return f"{name} ({host})" if host else name
