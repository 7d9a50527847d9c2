"""Turns the deliveries of tasks that have failed into errors, in the user's thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._code.exception_facts import ExceptionFacts, read_facts
from .._code.references import resolving, unpickle_task
from .._code.reprs import describe, describe_task, describe_text, join_bounded
from .._errors import RemoteError, SetupError, TaskLostError
from .._light_typing import NamedTuple
from .._printable import printable_lines
from .._scheduler.actions import Deliver
from .._scheduler.tasks import OutcomeKind, Task
from .opening import CODE_OF_OTHERS, Opener, place


class _Copy(NamedTuple):
    """What a failed task was, as far as it can be rebuilt."""

    task: Any = None
    args: tuple[str, ...] = ()
    words: str = ""


def error_of(delivery: Deliver, opener: Opener) -> RemoteError | TaskLostError:
    """Return the error of a delivery that is no value."""
    copy = _rebuild(delivery.task, opener)
    if delivery.outcome.kind is OutcomeKind.LOST:
        return _lost_error(delivery, copy)
    return _remote_error(delivery, copy, opener)


def _remote_error(delivery: Deliver, copy: _Copy, opener: Opener) -> RemoteError:
    outcome, number = delivery.outcome, delivery.task.number
    name, host = opener.engine.slave_names(outcome.slave)
    is_setup = outcome.kind is OutcomeKind.SETUP_FAILED
    what = f"the set-up of its context ({opener.setup_name})" if is_setup else f"task {number}"
    exc, traceback, facts = None, "", ExceptionFacts()
    if len(outcome.content) < 4:  # the set-up did not raise: it took its runner down
        message = f"{what} ended its runner: {outcome.content[0]}{copy.words}"
    else:
        traceback, line = (
            printable_lines(bytes(part).decode(errors="replace")) for part in outcome.content[:2]
        )
        exc, facts = _unpickle_exception(outcome.content[2], outcome.content[3:], opener)
        lost = f"\n  exc is None: {facts.problem}" if exc is None and facts.problem else ""
        message = (
            f"{line}\n  raised by {what} on {place(name, host)}{copy.words}{lost}\n"
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


def _unpickle_exception(
    facts: Any, pickled: Sequence[Any], opener: Opener
) -> tuple[BaseException | None, ExceptionFacts]:
    """Return an exception, None if it can't be had; and what else is known of it."""
    known = read_facts(facts)
    if len(pickled) == 1 and not pickled[0]:
        return None, known
    try:
        exc = opener.unpickle(pickled)
    except CODE_OF_OTHERS as problem:
        why = f"{type(problem).__name__}: {describe_text(problem)}"
        return None, known._replace(problem=f"it can't be unpickled on the master: {why}")
    if not isinstance(exc, BaseException):
        why = f"it was unpickled as an instance of {type(exc).__qualname__}"
        return None, known._replace(problem=why)
    return exc, known


def _rebuild(task: Task, opener: Opener) -> _Copy:
    """Return a copy of a failed task, for its error; an empty one if that can't be made."""
    try:
        book = opener.served.book
        with resolving(book):
            function, args = unpickle_task(task.payload, book)
    except CODE_OF_OTHERS:  # it is for the message only
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
