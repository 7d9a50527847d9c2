"""Descriptions of slaves, for ``Manager.add_slave``. The classes of plugins derive from these."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._printable import printable

if TYPE_CHECKING:
    from .command_host import CommandHost


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

    def __len__(self) -> int:
        """Return how many slaves it describes."""
        return 1

    def check(self) -> None:
        """Raise an Error if it is known at once that the slave can't be launched.

        Called by ``add_slave``, in the user's thread; must return within a second or so.
        """

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


class SlaveArray(Slave):
    """The description of several slaves that are launched by one submission.

    Args:
        count: how many slaves it describes, at least 1.

    Raises ValueError.
    """

    is_relaunchable = False

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"an array of {count} slaves: there must be at least one")
        self._count = count

    def __len__(self) -> int:
        """Return how many slaves it describes."""
        return self._count

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._count})"
