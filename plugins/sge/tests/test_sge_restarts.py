"""A task of an array that Grid Engine restarts takes its place again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from grid_engine import Cell
from scripts import Scripts, finish
from waiting import wait_until

pytestmark = pytest.mark.timeout(180)

SCRIPT = """
import json, os, time
from imp_parallel_core import Manager, SGEQsubSlaveArray

class Impatient(Manager):
    heartbeat_timeout = 2.0
    reconnect_timeout = 1.0

def task(seconds):
    time.sleep(seconds)
    return os.environ["SGE_TASK_ID"], os.getppid()

with {manager}() as manager:
    manager.add_slave(SGEQsubSlaveArray(2, {options!r}))
    context = manager.get_context(max_attempts=1)
    slaves = set()
    deadline = time.monotonic() + 100.0
    count = 0
    while sum(number == "2" for number, _ in slaves) < 2:
        assert time.monotonic() < deadline, manager.slaves
        for _ in range(8):
            context.add_task(task, 0.2)
            count += 1
        for slave in context.get_results_unordered():
            slaves.add(slave)
            if len(slaves) == 2:
                open({manager!r} + {options!r}, "w").close()
            count -= 1
        assert count == 0
    print(json.dumps([slave.state == "gone" for slave in manager.slaves]))
"""


@pytest.mark.parametrize(
    ("manager", "options"),
    [("Manager", "-r y"), ("Impatient", "-r y"), ("Manager", "-r y -notify")],
    ids=["comes_back", "was_given_up", "has_left"],
)
def test_a_restarted_task_of_an_array_works_again(
    cluster: Cell, scripts: Scripts, tmp_path: Path, manager: str, options: str
) -> None:
    both = tmp_path / (manager + options)
    script = scripts.start(SCRIPT.format(manager=manager, options=options))
    wait_until(both.exists, what="work in both")
    lines = cluster.jobs().splitlines()[2:]
    job = lines[0].split()[0]
    cluster.run("qmod", "-rj", f"{job}.2")
    code, out, err = finish(script, 120.0)
    assert code == 0, err
    assert json.loads(out) == [False, False]
    assert "has been started anew" in err
