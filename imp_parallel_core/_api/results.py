"""What has become of a context's tasks, taken out of an inbox as a value or an error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._engine.waiter import Stopped
from .._errors import Error
from .._scheduler.actions import Deliver
from .._scheduler.tasks import OutcomeKind
from .opening import Opener

if TYPE_CHECKING:
    from .._engine.engine import Engine
    from .._engine.inbox import Inbox
    from .._engine.served_context import ServedContext
    from .._task_errors import TooManyFailuresError


class Results:
    """The results of one context, those of its maps included.

    Args:
        engine: the Manager's.
        served: the context.
        setup_name: the name of the set-up, for errors; "" if the context has none.
    """

    def __init__(self, engine: Engine, served: ServedContext, setup_name: str) -> None:
        self._ending = engine.ending
        self._served = served
        self._opener = Opener(engine.slave_names, served, setup_name)

    def take_next(
        self, inbox: Inbox, *, in_order: bool, waits: bool = True, timeout_s: float | None = None
    ) -> tuple[Deliver, Any, Error | None] | None:
        """Return the next delivery with its value, or its error twice; None if there is none (yet).

        An iterator claims the delivery before it hands the value to the user.
        """
        self._ending.check()
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
            from .._task_errors import RemoteError

            number = delivery.task.number
            reason = f"{type(problem).__name__}: {describe_text(problem)}"
            text = f"the error of task {number} can't be read: {reason}"
            last = RemoteError(text, exc=problem, number=number)
            last.__cause__ = problem
            return last
