"""Scripts for IMP.parallel run after their imports are changed, in either of its spellings."""

from __future__ import annotations

from pathlib import Path

import pytest

import imp_parallel_core
from imp_parallel_core import compat
from tests.support.harness import Processes, RunScript

SCRIPT = """
import sys
import {module} as parallel

class PatientManager(parallel.Manager):
    connect_timeout = 7200
    heartbeat_timeout = 7200

class Task(object):
    def __init__(self, distance):
        self.distance = distance
    def __call__(self, model, scale):
        if self.distance == 3:
            raise ValueError("too far: %d" % self.distance)
        return (self.distance, model["offset"] + scale * self.distance)

def setup():
    print("set up", flush=True)
    return [{{"offset": 100}}, 2]

m = PatientManager(None, "localhost")
c = m.get_context(setup)
for distance in range(2):
    c.add_task(Task(distance))
try:
    for result in c.get_results_unordered():
        pass
except parallel.NoMore{Slave}sError as problem:
    print("nobody: %s" % isinstance(problem, parallel.Error))
for _ in range(2):
    m.add_{slave}(parallel.Local{Slave}())
found = []
for result in c.get_results_unordered():
    found.append(result)
    if result[0] == 1:
        c.add_task(Task(2))
print(sorted(found))
c.add_task(Task(3))
try:
    list(c.get_results_unordered())
except parallel.RemoteError as problem:
    print(type(problem.exc).__name__, problem.exc, "in __call__" in problem.traceback)
    print(str(problem.{slave}).split()[0])
"""


@pytest.mark.parametrize(
    ("module", "slave"),
    [
        ("imp_parallel_core", "slave"),
        ("imp_parallel_core.compat", "worker"),
        ("imp_parallel_core.compat", "slave"),
    ],
)
def test_a_script_in_the_manner_of_imp_parallel_runs(
    start_script: RunScript, processes: Processes, tmp_path: Path, module: str, slave: str
) -> None:
    source = SCRIPT.format(module=module, slave=slave, Slave=slave.capitalize())
    out, err = start_script(source).communicate(timeout=50)
    assert err == ""
    assert out.splitlines() == [
        "nobody: True",
        "[(0, 100), (1, 102), (2, 104)]",
        "ValueError too far: 3 True",
        "slave",
    ]
    name = "worker" if module.endswith("compat") else "slave"
    # (one slave may do all, before the other has begun)
    assert {*tmp_path.glob("*.output")} & {tmp_path / f"{name}{n}.output" for n in range(2)}


def test_both_spellings_name_the_same_things() -> None:
    from imp_parallel_core import LocalSlave

    assert compat.LocalWorker is compat.LocalSlave is LocalSlave
    assert compat.NoMoreWorkersError is imp_parallel_core.NoMoreSlavesError
    assert compat.RemoteError is imp_parallel_core.RemoteError
    assert set(dir(compat)) > set(imp_parallel_core.__all__)
    with pytest.raises(AttributeError, match="NoSuchName"):
        compat.NoSuchName
