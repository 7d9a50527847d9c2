"""The checks of a launcher, in the order in which its author will want to see them pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from . import _ending, _failing, _secrets, _starting
from ._check import Check, run_all
from ._launcher import Launcher, MakeSlave

_CHECKS = (
    _starting.results_come,
    _starting.each_slave_of_an_array_is_itself,
    _starting.folder_arguments_and_output_may_have_any_name,
    _starting.the_environment_of_the_bootstrap_is_added,
    _secrets.the_secret_is_nowhere_to_be_seen,
    _failing.a_slave_that_fails_at_once_is_explained,
    _failing.a_slave_that_reads_nothing_is_explained,
    _failing.a_slave_that_fails_after_a_second_is_explained,
    _failing.a_slave_that_fails_without_a_word_is_explained,
    _failing.a_slave_that_has_ended_stays_ended,
    _ending.a_killed_slave_loses_nothing,
    _ending.cancel_waits_no_longer_than_the_slaves_need_and_may_be_called_twice,
    _ending.a_closed_manager_leaves_nothing,
    _ending.a_killed_master_leaves_nothing,
)
_KILLS_BY_PID = (_ending.a_killed_slave_loses_nothing,)
_OTHER_PIDS = "the slaves are in another PID namespace, or on another machine"


class LauncherCheck(Check):
    """A check of a launcher."""

    def __init__(
        self, function: Callable[[Launcher], None], why_not: str, shares_pids: bool, limit_s: float
    ) -> None:
        super().__init__(function, why_not)
        self._shares_pids = shares_pids
        self._limit_s = limit_s

    def __call__(
        self, make_slave: MakeSlave, *, output_folder: Path, plugins: Iterable[Any] = ()
    ) -> None:
        """Make the check.

        Args:
            make_slave: returns a new description, as a user would give it to ``add_slave``; of one
                slave or an array. A master that is to be killed gets a copy of this function, by
                cloudpickle.
            output_folder: an empty folder that master and slaves can write to.
            plugins: the plugin, if it isn't installed.

        Raises AssertionError if something is not as it should be.
        """
        plugins = tuple(plugins)
        self._run(Launcher(make_slave, output_folder, plugins, self._shares_pids, self._limit_s))


def launcher_checks(*, shares_pids: bool = True, limit_s: float = 120.0) -> list[LauncherCheck]:
    """Return all checks of a launcher, one by one.

    Args:
        shares_pids: whether a slave's processes can be found, by the pids that they have for
            themselves, where the check runs. False for containers and other machines: then the
            check that kills a slave by its pid is left out, and the others watch files that slaves
            have locked.
        limit_s: how long a check may take. Give more if slaves have to wait in a queue.
    """
    return [
        LauncherCheck(
            function,
            _OTHER_PIDS if function in _KILLS_BY_PID and not shares_pids else "",
            shares_pids,
            limit_s,
        )
        for function in _CHECKS
    ]


def check_launcher(
    make_slave: MakeSlave,
    *,
    output_folder: Path,
    plugins: Iterable[Any] = (),
    shares_pids: bool = True,
    limit_s: float = 120.0,
) -> dict[str, str]:
    """Make all checks of a launcher, each in a folder of its own.

    The arguments are those of :class:`LauncherCheck` and :func:`launcher_checks`. Returns the names
    of the checks that could not be made, each with the reason. Raises AssertionError for the first
    thing that is not as it should be.
    """
    plugins = tuple(plugins)

    def make(check: LauncherCheck) -> None:
        folder = output_folder / check.name
        folder.mkdir()
        check(make_slave, output_folder=folder, plugins=plugins)

    return run_all(launcher_checks(shares_pids=shares_pids, limit_s=limit_s), make)
