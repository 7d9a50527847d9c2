"""Descriptions of slaves, for ``Manager.add_slave``. The classes of plugins derive from these."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from operator import index
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .._printable import printable

if TYPE_CHECKING:
    from .command_host import CommandHost

_MOST = 100_000  # a mistyped number would fill the memory


class Slave:
    """The description of one slave. Plugins derive from it; the core only passes it on."""

    via: CommandHost | None = None
    """The host on which its launcher runs commands; None for this machine. If it is a ``Gateway``,
    the slaves are beyond it, and their bootstraps hold what is true there."""

    is_relaunchable = True
    """Whether the core may launch it again after it ran and was lost."""

    transport = ""
    """The name of the transport by which it reaches the master; "" if its launch hands its streams
    over."""

    threads: int | str | None = 1
    """How many threads numeric libraries are to start in its tasks: as many as it has cores.

    A class may name the variable in which a batch system tells the slave's job how many cores were
    granted, such as ``threads = "NSLOTS"``; if that holds no number, it is one thread. The usual
    variables (``OMP_NUM_THREADS`` and the like) are set to that number before a task runs. What the
    user has set, on the slave's machine or else in the master's environment, stays as it is. None
    leaves all variables alone."""

    environment: Mapping[str, str] = MappingProxyType({})
    """Variables to add to its environment; never a secret, since batch systems show them."""

    def __len__(self) -> int:
        """Return how many slaves it describes."""
        return 1

    def check(self) -> None:
        """Raise an Error if it is known at once that the slave can't be launched.

        Called by ``add_slave``, in the user's thread; must return within a second or so.
        """

    def environment_of(self, position: int) -> Mapping[str, str]:
        """Return the variables to add to the environment of one of its slaves.

        Called by ``add_slave``, for each slave that it describes.

        Args:
            position: the slave's position in an array, from 0.
        """
        return self.environment

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def describe(slave: Slave) -> str:
    """Return a description as printable text, also if its own ``__repr__`` fails."""
    try:
        return printable(repr(slave))
    except KeyboardInterrupt:  # a Ctrl-C of the user's
        raise
    except BaseException as problem:
        return f"{type(slave).__name__}(…) (its __repr__ raised {type(problem).__name__})"


def checked_count(slave: Slave) -> int:
    """Return how many slaves a description describes. Raises TypeError, ValueError."""
    try:
        count = len(slave)
    except (TypeError, ValueError) as problem:
        raise type(problem)(
            f"{describe(slave)}: its number of slaves (its __len__) can't be used: {problem}"
        ) from problem
    if count < 1:
        raise ValueError(
            f"{describe(slave)} describes no slave. An array gives SlaveArray.__init__ its number "
            "of slaves (super().__init__(count)), or has a __len__ that returns 1 or more."
        )
    if count > _MOST:
        raise ValueError(
            f"{describe(slave)} describes {count:,} slaves, and {_MOST:,} are the most: is the "
            "number right? A slave runs one task after another, so fewer slaves do as well."
        )
    return count


def checked_threads(slave: Slave) -> int | str | None:
    """Return how many threads a description gives its slaves. Raises TypeError, ValueError.

    Only a class names a variable: an argument that does is a mistake, which nobody would notice,
    since a variable that is not there counts as one thread.
    """
    threads: Any = slave.threads
    named = type(slave).threads
    if threads is None or (isinstance(named, str) and threads == named and _is_variable(named)):
        return threads  # type: ignore[no-any-return]  # None, or a text
    error: type[Exception] = TypeError
    if not isinstance(threads, bool):
        with suppress(TypeError):
            number = index(threads)
            if number > 0:
                return number
            error = ValueError
    raise error(
        f"{describe(slave)}: threads={threads!r}: it must be a number of threads, at least 1, or "
        "None, which leaves the libraries alone"
    )


def checked_environment(slave: Slave, position: int) -> dict[str, str]:
    """Return what a description adds to a slave's environment. Raises TypeError, ValueError."""
    environment: dict[Any, Any] = dict(slave.environment_of(position))
    for name, value in environment.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(
                f"{describe(slave)}: environment={{{name!r}: {value!r}}}: names and values must be "
                "texts"
            )
        if not _is_variable(name):
            raise ValueError(f"{describe(slave)}: no shell can set a variable {name!r}")
        try:
            is_text = b"\0" not in os.fsencode(value)
        except UnicodeEncodeError:
            is_text = False
        if not is_text:
            raise ValueError(f"{describe(slave)}: the value of {name} can't be in an environment")
    return environment


def _is_variable(name: str) -> bool:
    """Whether every shell can set a variable of that name."""
    return name.isascii() and name.isidentifier()


class SlaveArray(Slave):
    """The description of several slaves that are launched by one submission.

    A class that derives from it calls ``super().__init__(count)``, or has a ``__len__`` of its own.

    Args:
        count: how many slaves it describes, at least 1.

    Raises ValueError; TypeError if the count is no whole number.
    """

    is_relaunchable = False
    _count = 0  # of a class that has not called __init__

    def __init__(self, count: int) -> None:
        try:
            count = index(count)
        except TypeError:
            raise TypeError(
                f"{type(self).__name__}: the number of slaves must be an int, not {count!r}"
            ) from None
        if count < 1:
            raise ValueError(f"an array of {count} slaves: there must be at least one")
        self._count = count

    def __len__(self) -> int:
        """Return how many slaves it describes."""
        return self._count

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._count})"
