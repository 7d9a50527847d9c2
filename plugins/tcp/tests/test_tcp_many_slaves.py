"""Many connections at a time, made by one process that speaks the protocol."""

from __future__ import annotations

from collections import Counter

from imp_parallel_core import Manager
from tests.support import many_slaves
from tests.support.harness import Processes
from tests.support.waiting import wait_until

SLAVES, TASKS = 200, 2000


def test_many_slaves_connect_work_and_leave(processes: Processes) -> None:
    with Manager(host="localhost", output=None, plugins=[many_slaves]) as manager:
        manager.add_slave(many_slaves.ManySlaves(SLAVES))
        wait_until(lambda: Counter(slave.state for slave in manager.slaves) == {"idle": SLAVES})
        context = manager.get_context()
        for _ in range(TASKS):
            context.add_task(int)
        assert list(context.get_results_unordered()) == [None] * TASKS
        assert sum(slave.tasks_done for slave in manager.slaves) == TASKS
    assert not processes.gone_within(10.0)
