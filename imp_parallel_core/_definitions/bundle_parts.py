"""What a bundle consists of: definitions, values of globals, and the steps that set them up.

A step stands in a pickle as an object, and is a call of a function of :mod:`.._code.references`
when the pickle is loaded. See :mod:`.book` for what there is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._light_typing import NamedTuple
from .snapshot import Snapshot

if TYPE_CHECKING:
    from .bundles import BundleWriter

Key = tuple[int, str]
"""A global: the number of its namespace, and its name."""


class Definition(NamedTuple):
    """A function, class or code object that is in a bundle."""

    number: int
    object: Any
    snapshot: Snapshot
    group: list[Definition]  # all that were met in the same scope, itself included


class Binding(NamedTuple):
    """The value of a global, as it was sent."""

    module: dict[str, Any]
    value: Any
    group: list[Definition]  # all that were met in it


class Step:
    """Stands in a pickle for something that is done when the pickle is loaded."""

    __slots__ = ("_arguments", "_function")

    def __init__(self, function: Callable[..., None], *arguments: Any) -> None:
        self._function = function
        self._arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self._function, self._arguments


class Bind:
    """The step that binds a global. What it says is found out when the pickler comes to it."""

    __slots__ = ("_key", "_writer")

    def __init__(self, writer: BundleWriter, key: Key) -> None:
        self._writer = writer
        self._key = key

    def __reduce__(self) -> tuple[Any, ...]:
        return self._writer.reduce_binding(self._key)


class Bound:
    """A global's key, which is behind its value: when the pickler comes to it, that is written."""

    __slots__ = ("_key", "_writer")

    def __init__(self, writer: BundleWriter, key: Key) -> None:
        self._writer = writer
        self._key = key

    def __reduce__(self) -> tuple[Any, ...]:
        self._writer.end_binding(self._key)
        return tuple, (self._key,)
