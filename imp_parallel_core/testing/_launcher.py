"""What each check of a launcher gets, and the Manager that it makes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._api.manager import Manager
from .._errors import ClosedError, Error
from .._plugins.slaves import Slave
from ._launch_record import RecordedLaunch, RecordingPlugins

if TYPE_CHECKING:
    from .._plugins.bootstrap import Bootstrap

_WORDS_S = 20.0  # for a launch to be cancelled, whose poll() may have to wait

MakeSlave = Callable[[], Slave]
"""A function without arguments that returns a new description of a slave, or of an array."""


@dataclass(frozen=True)
class Launcher:
    """A launcher that is to be checked; see :class:`~._launcher_checks.LauncherCheck`."""

    make_slave: MakeSlave
    output_folder: Path
    plugins: Sequence[Any]
    shares_pids: bool
    limit_s: float

    @contextmanager
    def manager(
        self,
        *,
        python: str | None = None,
        output_folder: Path | None = None,
        observers: Sequence[Any] = (),
        change: Callable[[Bootstrap], Bootstrap] | None = None,
        grace_s: float = 0.0,
    ) -> Iterator[CheckedManager]:
        """Make a Manager, and close it; whoever waits in vain for results is told.

        Args:
            python: as for Manager.
            output_folder: where the slaves' output goes, if that is not ``output_folder``.
            observers: further plugins.
            change: makes another bootstrap of each.
            grace_s: the least that a launch gets for its slaves to leave.

        Raises AssertionError where there would be another error of this library.
        """
        output = str((output_folder or self.output_folder) / "slave%d.output")
        manager = CheckedManager(python, output, [*self.plugins, *observers], change, grace_s)
        late = threading.Timer(self.limit_s, manager.give_up)
        late.start()
        try:
            with manager:
                yield manager
        except ClosedError as problem:
            how = f"{manager.left or problem}{manager.words()}"
            raise AssertionError(f"nothing came within {self.limit_s:g} s; {how}") from problem
        except Error as problem:
            raise AssertionError(f"{type(problem).__name__}: {problem}") from problem
        finally:
            late.cancel()
            late.join()

    def add_slaves(self, manager: Manager, least: int = 1) -> int:
        """Add descriptions until there are so many slaves; return how many there are."""
        while len(manager.slaves) < least:
            manager.add_slave(self.make_slave())
        return len(manager.slaves)


class CheckedManager(Manager):
    """A Manager that notes its launches.

    Attributes:
        launches: what the plugin has returned, in order.
        left: how the slaves were when the time was up; "" before that.
    """

    def __init__(
        self,
        python: str | None,
        output: str,
        plugins: Sequence[Any],
        change: Callable[[Bootstrap], Bootstrap] | None,
        grace_s: float,
    ) -> None:
        super().__init__(python, output=output, plugins=plugins)
        self.launches: list[RecordedLaunch] = []
        self.left = ""
        launches = self._engine._fleet._launches
        launches._plugins = RecordingPlugins(
            launches._plugins, change, self.launches.append, grace_s
        )

    def give_up(self) -> None:
        """Note how the slaves are, and close."""
        with suppress(ClosedError):  # the check ends at this very moment
            self.left = "; ".join(map(str, self.slaves)) or "there are no slaves"
        for launch in self.launches:
            launch.wants_words = True
        self.close()

    def words(self) -> str:
        """Return the last words of all slaves, if the time was up and there are any."""
        said = ""
        for launch in self.launches:
            if launch.wants_words and launch.has_words.wait(_WORDS_S):
                for index, words in sorted(launch.words.items()):
                    said += f"\nThe last words of slave {index}: {words.strip() or '(none)'}"
        return said
