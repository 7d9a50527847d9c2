"""Unpickles the values that tasks have returned, in the user's thread."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._code.references import refers, resolving
from .._errors import RemoteError
from .._scheduler.actions import Deliver
from .._wire.shared_memory import open_segment

if TYPE_CHECKING:
    from .._engine.engine import Engine
    from .._engine.served_context import ServedContext

_SHORT = 4096  # bytes that it takes no time to look through


class Opener:
    """Opens the deliveries of one context.

    Args:
        engine: knows the slaves' names.
        served: holds the definitions that pickles refer to.
        setup_name: the name of the set-up, for errors.
    """

    def __init__(self, engine: Engine, served: ServedContext, setup_name: str) -> None:
        self.engine = engine
        self.served = served
        self.setup_name = setup_name

    def value_of(self, delivery: Deliver) -> Any:
        """Return a task's value. Raises RemoteError if it can't be unpickled."""
        outcome = delivery.outcome
        try:
            return self.unpickle(outcome.content)
        except KeyboardInterrupt:  # a Ctrl-C of the user's
            raise
        except BaseException as problem:  # unpickling runs the code of others: it may do anything
            from .._code.reprs import describe_text

            name, host = self.engine.slave_names(outcome.slave)
            raise RemoteError(
                f"the value of task {delivery.task.number}, which ran on "
                f"{place(name, host)}, can't be unpickled on the master: "
                f"{type(problem).__name__}: {describe_text(problem)}",
                exc=problem,
                slave=name,
                host=host,
                number=delivery.task.number,
            ) from problem

    def unpickle(self, segments: Sequence[Any]) -> Any:
        """Return the object in some segments. Raises whatever unpickling raises."""
        if len(segments) == 1 and len(segments[0]) < _SHORT and not refers(segments[0]):
            return pickle.loads(segments[0])
        data, *buffers = map(open_segment, segments)
        with resolving(self.served.book):
            return pickle.loads(data, buffers=buffers)


def place(name: str, host: str) -> str:
    """Return a slave's name, and its host's."""
    return f"{name} ({host})" if host else name
