"""Functions that travel as the source of their module, to machines that don't have the module.

This file itself travels so, too: it needs nothing but the standard library.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any


class Sent:
    """A function, and its first arguments, for a machine on which its module is not installed.

    A launcher gives it to a system that runs functions on other machines, such as Dask or Ray. It
    can be pickled by that system in whatever way, and again on its way by others. Where it is
    called, the source of the function's module is executed, so it does not matter which version of
    Python is there. Of the arguments nothing is shown: they may hold a slave's secret.

    Args:
        function: one (or a class) at the top of a module that has a source, and that imports
            nothing that is not installed there.
        arguments: what the function is called with, before what the call adds. They can be pickled,
            and need no module that is not there; another ``Sent`` needs none.

    Raises ValueError for a function that is not at the top of a module, OSError for a module
    without a source.
    """

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        name = function.__qualname__
        if not name.isidentifier():
            raise ValueError(f"{name} is not at the top of its module: it can't be sent")
        self._name = name
        self._arguments = arguments
        self._source = _source_of(function.__module__)
        self._source_of_this = _source_of(__name__)
        self._function: Callable[..., Any] | None = None  # where it has been called

    def __call__(self, *more: Any) -> Any:
        """Call the function with its arguments, and with more."""
        if self._function is None:
            names: dict[str, Any] = {"__name__": f"sent {self._name}"}
            exec(compile(self._source, f"<sent {self._name}>", "exec"), names)  # noqa: S102 - our own
            self._function = names[self._name]
        return self._function(*self._arguments, *more)

    def __repr__(self) -> str:
        return f"Sent({self._name}, …)"

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("exec(this, names) or names['_received'](state)", self._words())

    def _words(self) -> dict[str, Any]:
        names = {"__name__": "sent"}
        return {
            "this": self._source_of_this,
            "names": names,
            "state": {**self.__dict__, "_function": None},
        }


def _received(state: dict[str, Any]) -> Sent:
    """Return what was sent, where it arrives."""
    sent = Sent.__new__(Sent)
    sent.__dict__.update(state)
    return sent


def _source_of(module: str) -> str:
    """Return the source of a module. Raises OSError."""
    import inspect  # it takes long to import, which only the master needs

    return inspect.getsource(sys.modules[module])
