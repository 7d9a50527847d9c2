"""Waiting for slaves before anything is measured."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imp_parallel_core import Manager


def wait_until_idle(manager: Manager, pause_s: float = 0.01) -> None:
    """Wait until all slaves of a Manager are idle.

    Args:
        manager: whose.
        pause_s: between looks.

    Raises RuntimeError with the reason if a slave has gone, so that it will not come.
    """
    while True:
        slaves = manager.slaves
        if all(slave.state == "idle" for slave in slaves):
            return
        gone = [str(slave) for slave in slaves if slave.state == "gone"]
        if gone:
            raise RuntimeError(f"{len(gone)} of {len(slaves)} slaves have gone: {gone[0]}")
        time.sleep(pause_s)
