"""Turns the deliveries of tasks that have failed into errors, in the user's thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from .._code.exception_facts import ExceptionFacts, read_facts
from .._code.references import resolving, unpickle_task
from .._code.reprs import describe, describe_task, describe_text, join_bounded
from .._explained import explained
from .._light_typing import NamedTuple
from .._printable import printable_lines
from .._printed import Attempt, output_of, quote
from .._scheduler.actions import Deliver
from .._scheduler.tasks import OutcomeKind
from .._task_errors import (
    RemoteError,
    SetupError,
    TaskError,
    TaskLostError,
    TaskMemoryError,
    TooManyFailuresError,
)
from .calls import taken_apart
from .opening import Opener, place

if TYPE_CHECKING:
    from .._definitions.book import DefinitionBook

    Rebuild = Callable[[], tuple[Any, tuple[Any, ...], dict[str, Any]]]


_TaskErrorT = TypeVar("_TaskErrorT", bound=TaskError)
_SHOWN = 10  # errors in the message of another


class _Described(NamedTuple):
    """A failed task in words, as far as it can be rebuilt."""

    args: tuple[str, ...] = ()
    words: str = ""


def error_of(delivery: Deliver, opener: Opener) -> TaskError:
    """Return the error of a delivery that is no value."""
    rebuild = partial(_rebuild, delivery.task.payload, opener.served.book)
    described = _describe(rebuild, opener)
    kind = delivery.outcome.kind
    error: TaskError
    if kind is OutcomeKind.CANCELLED:
        error = _cancelled_error(delivery, described, rebuild)
    elif kind is OutcomeKind.LOST:
        error = _lost_error(delivery, described, rebuild)
    elif kind is OutcomeKind.MEMORY_EXCEEDED:
        error = _memory_error(delivery, described, rebuild, opener)
    else:
        error = _remote_error(delivery, described, rebuild, opener)
    return _with_call(error, delivery, opener)


def error_of_value(delivery: Deliver, problem: BaseException, opener: Opener) -> RemoteError:
    """Return the error of a task whose value can't be unpickled."""
    rebuild = partial(_rebuild, delivery.task.payload, opener.served.book)
    described = _describe(rebuild, opener)
    name, host = opener.slave_names(delivery.outcome.slave)
    error = RemoteError(
        f"the value of task {delivery.task.number}, which ran on {place(name, host)}, can't be "
        f"unpickled on the master: {type(problem).__name__}: {describe_text(problem)}"
        f"{described.words}",
        exc=problem,
        slave=name,
        host=host,
        rebuild_task=lambda: rebuild()[0],
        number=delivery.task.number,
        args_of_task=described.args,
    )
    error.__cause__ = problem
    return _with_call(error, delivery, opener)


def _with_call(error: _TaskErrorT, delivery: Deliver, opener: Opener) -> _TaskErrorT:
    """Let an error make its call again, also when the context has been closed."""
    task, served = delivery.task, opener.served
    payload, book, setup, seed = task.payload, served.book, served.setup[0], served.options.seed
    # not the task itself: it holds the inbox with all that has come
    map, number, id = task.inbox.map, task.number, served.id
    message = str(error)

    def make_call() -> Any:
        from .failed_call import rebuild_call  # few scripts need it

        return rebuild_call(payload, setup, book, message, number, id, seed, map)

    error._make_call = make_call
    return error


def _remote_error(
    delivery: Deliver, described: _Described, rebuild: Rebuild, opener: Opener
) -> RemoteError:
    outcome, number = delivery.outcome, delivery.task.number
    name, host = opener.slave_names(outcome.slave)
    is_setup = outcome.kind is OutcomeKind.SETUP_FAILED
    what = (
        f"the set-up of its context ({opener.setup_name or 'none'})"
        if is_setup
        else f"task {number}"
    )
    exc, traceback, facts = None, "", ExceptionFacts()
    if isinstance(outcome.content[0], str):  # the set-up did not raise: it took its runner down
        attempt = _as_attempt(outcome.content[0])
        output = attempt.output
        message = f"{what} ended its runner: {attempt}{described.words}"
    else:
        traceback, line = (
            printable_lines(bytes(part).decode(errors="replace")) for part in outcome.content[:2]
        )
        exc, facts = _unpickle_exception(outcome.content[2], outcome.content[4:], opener)
        output = output_of(bytes(outcome.content[3]))
        lost = f"\n  exc is None: {facts.problem}" if exc is None and facts.problem else ""
        message = (
            f"{line}\n  raised by {what} on {place(name, host)}{described.words}{lost}\n"
            "  traceback on the slave:\n" + traceback.removesuffix("\n")
        )
        if output:
            message += f"\n  the last lines that it printed:\n{quote(output)}"
    if facts.type_name.endswith("ModuleNotFoundError"):
        message = explained(message, "module-not-found")
    error = (SetupError if is_setup else RemoteError)(
        message,
        exc=exc,
        traceback=traceback,
        slave=name,
        host=host,
        rebuild_task=lambda: rebuild()[0],
        number=number,
        args_of_task=described.args,
        exc_type=facts.type_name,
        exc_args=facts.args,
        exc_notes=facts.notes,
        exc_problem=facts.problem if exc is None else "",
        output=output,
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
    except KeyboardInterrupt:  # a Ctrl-C of the user's
        raise
    except BaseException as problem:
        why = f"{type(problem).__name__}: {describe_text(problem)}"
        return None, known._replace(problem=f"it can't be unpickled on the master: {why}")
    if not isinstance(exc, BaseException):
        why = f"it was unpickled as an instance of {type(exc).__qualname__}"
        return None, known._replace(problem=why)
    return exc, known


def _rebuild(
    payload: Sequence[Any], book: DefinitionBook
) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    """Return a copy of a task, its arguments and its keywords; None if that can't be made."""
    try:
        with resolving(book):
            function, arguments = unpickle_task(payload, book)
    except KeyboardInterrupt:  # a Ctrl-C of the user's
        raise
    except BaseException:
        return None, (), {}
    function, keywords = taken_apart(function)
    return function, arguments, keywords


def _describe(rebuild: Rebuild, opener: Opener) -> _Described:
    """Return a task in words; the copy that serves for that may be large, and is not kept."""
    function, arguments, keywords = rebuild()
    if function is None:
        return _Described()
    named = (f"{name}={describe(value)}" for name, value in keywords.items())
    shown = (*map(describe, arguments), *named)
    words = f"\n  the task: {describe_task(function)}"
    if shown:
        behind = ", after what the set-up returned," if opener.setup_name else ""
        words += f"\n  called{behind} with: {join_bounded(shown)}"
    return _Described(shown, words)


def _lost_error(delivery: Deliver, described: _Described, rebuild: Rebuild) -> TaskLostError:
    attempts = [_as_attempt(each) for each in delivery.outcome.content]
    tries = "1 attempt, which" if len(attempts) == 1 else f"{len(attempts)} attempts, each of which"
    history = "\n".join(f"  {n}. {attempt}" for n, attempt in enumerate(attempts, 1))
    return TaskLostError(
        f"task {delivery.task.number} was given up after {tries} ended its runner:\n"
        f"{history}{described.words}",
        attempts=attempts,
        rebuild_task=lambda: rebuild()[0],
        number=delivery.task.number,
        args_of_task=described.args,
    )


def _memory_error(
    delivery: Deliver, described: _Described, rebuild: Rebuild, opener: Opener
) -> TaskMemoryError:
    outcome, number = delivery.outcome, delivery.task.number
    name, host = opener.slave_names(outcome.slave)
    attempt = _as_attempt(outcome.content[0])
    return TaskMemoryError(
        f"task {number} held too much memory: {attempt}\n"
        "  what the set-up and earlier tasks have left in the process counts, too: let tasks hold "
        "less, or give get_context a larger task_memory_bytes, and each slave as much memory; if "
        "tasks leak, max_tasks_per_runner=… gives later ones a new process"
        f"{described.words}",
        peak_memory_bytes=outcome.peak_memory_bytes,
        limit_bytes=opener.served.options.memory_bytes,
        output=attempt.output,
        slave=name,
        host=host,
        rebuild_task=lambda: rebuild()[0],
        number=number,
        args_of_task=described.args,
    )


def _as_attempt(words: str) -> Attempt:
    return words if isinstance(words, Attempt) else Attempt(words)


def _cancelled_error(delivery: Deliver, described: _Described, rebuild: Rebuild) -> TaskError:
    from .._cancelled_error import CancelledError  # concurrent.futures takes long to import

    number = delivery.task.number
    return CancelledError(
        f"task {number} was cancelled{described.words}",
        rebuild_task=lambda: rebuild()[0],
        number=number,
        args_of_task=described.args,
    )


def too_many_failures(errors: Sequence[Any]) -> TooManyFailuresError:
    """Return the error for who reads a context of which too many tasks have failed."""
    lines = [f"  {str(error).splitlines()[0]}" for error in errors[:_SHOWN]]
    if len(errors) > _SHOWN:
        lines.append(f"  … (.errors holds all {len(errors)})")
    count = f"{len(errors)} tasks have" if len(errors) > 1 else "a task has"
    return TooManyFailuresError(
        f"{count} failed, as many as max_failures says, and the rest of the context has been "
        "ended; clear() lets the context begin anew:\n" + "\n".join(lines),
        errors=errors,
    )
