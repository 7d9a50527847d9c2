"""Unpickles the values that tasks have returned, in the user's thread."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .._code.references import refers, resolving
from .._wire.shared_memory import open_segment

if TYPE_CHECKING:
    from .._engine.served_context import ServedContext

_SHORT = 4096  # bytes that it takes no time to look through


class Opener:
    """Opens what has arrived for one context.

    Args:
        slave_names: returns the names of a slave and its host.
        served: holds the definitions that pickles refer to.
        setup_name: the name of the set-up, for errors; "" if the context has none.
    """

    def __init__(
        self,
        slave_names: Callable[[int], tuple[str, str]],
        served: ServedContext,
        setup_name: str,
    ) -> None:
        self.slave_names = slave_names
        self.served = served
        self.setup_name = setup_name

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
