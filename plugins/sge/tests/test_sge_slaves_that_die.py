"""Whatever becomes of jobs or daemons: no task is lost, and nothing is left behind."""

from __future__ import annotations

import pytest
from harness_sge import manager_of, newest_job

from tests.support.batch_suite.slaves import squared, squares
from tests.support.grid_engine import Cell
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(120)


def test_one_task_of_the_array_is_deleted(cluster: Cell) -> None:
    with manager_of(3) as manager:
        context = manager.get_context()
        squares(context, 60, 0.1)
        results = context.get_results_unordered()
        found = [next(results)]
        cluster.run("qdel", f"{newest_job(cluster)}.2")
        found += results
        assert sorted(found) == squared(60)


def test_slaves_work_on_while_the_execution_daemon_is_away(cluster: Cell) -> None:
    with manager_of(2) as manager:
        context = manager.get_context()
        squares(context, 40, 0.1)
        results = context.get_results_unordered()
        found = [next(results)]
        cluster.stop_execd()
        try:
            found += results
            assert sorted(found) == squared(40)
            manager.close()  # the jobs can't be deleted now; that may be said
        finally:
            cluster.start_execd()
    wait_until(lambda: not cluster.jobs(), 30.0, "the deletion of the jobs")
