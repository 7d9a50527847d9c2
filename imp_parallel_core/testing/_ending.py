"""How slaves end: nothing is lost by it, nobody waits longer than need be, and nothing is left."""

from __future__ import annotations

import os
import signal
import time

from ._launcher import Launcher
from ._masters import KilledMaster
from ._processes import (
    OTHER_PIDS,
    marked,
    place_teller,
    require_gone,
    stay,
    wait_for_staying,
)

_GRACE_S = 60.0
_LEFT_S = 40.0  # slaves that were told to leave have done so, also on a busy machine
_ENDED_S = 120.0


def a_killed_slave_loses_nothing(launcher: Launcher) -> None:
    """A slave that is killed with ``kill -9`` loses no task, if another can go on."""
    mark, place = launcher.output_folder / "killed", place_teller()
    here = place()

    def kill_the_slave_once() -> str:
        try:
            mark.touch(exist_ok=False)
        except FileExistsError:
            return "ran again"
        if place() != here:
            return "elsewhere"
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
        return "not killed"

    with launcher.manager() as manager:
        launcher.add_slaves(manager, least=2)
        context = manager.get_context()
        context.add_task(kill_the_slave_once)
        for number in range(5):
            context.add_task(lambda number=number: number)
        results = list(context.get_results_unordered())
    assert "elsewhere" not in results, OTHER_PIDS
    assert "ran again" in results, f"the task of the killed slave did not run again: {results}"
    assert len(results) == 6, f"of 6 results {len(results)} came: {results}"


def cancel_waits_no_longer_than_the_slaves_need_and_may_be_called_twice(
    launcher: Launcher,
) -> None:
    """cancel() ends when the slaves have left, not later; it may be called again."""
    with launcher.manager(grace_s=_GRACE_S) as manager:
        launcher.add_slaves(manager)
        context = manager.get_context()
        context.add_task(os.getpid)
        list(context.get_results_unordered())
        launches = list(manager.launches)
    for launch in launches:
        assert launch.is_cancelled.wait(_ENDED_S), f"cancel({_GRACE_S:g}) does not come to its end"
        assert launch.cancel_s is not None
        assert launch.cancel_s < _LEFT_S, (
            f"cancel({_GRACE_S:g}) took {launch.cancel_s:.0f} s for slaves that left at once"
        )
        assert launch.problem is None, f"cancel() raised {launch.problem!r}"
        try:
            launch.cancel(0.0)
        except Exception as problem:
            raise AssertionError(f"cancel() raised {problem!r} when called again") from problem


def a_closed_manager_leaves_nothing(launcher: Launcher) -> None:
    """When the Manager has been closed in the middle of tasks, no process of a slave is left."""
    with launcher.manager(change=marked(launcher)) as manager:
        count = launcher.add_slaves(manager)
        context = manager.get_context()
        for number in range(count):
            context.add_task(stay(launcher.output_folder, number))
        slaves = wait_for_staying(launcher, count)
    require_gone(launcher, slaves, "the Manager was closed")


def a_killed_master_leaves_nothing(launcher: Launcher) -> None:
    """When the script is killed with ``kill -9``, its slaves end by themselves."""
    with KilledMaster(launcher) as master:
        slaves = wait_for_staying(launcher, master.wait_for_count())
        master.kill()
    require_gone(launcher, slaves, "the script was killed")
