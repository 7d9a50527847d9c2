"""What the master has no room for costs the task that it is of, and nothing else."""

from __future__ import annotations

from tests.support.harness import Processes, RunScript

SCRIPT = """
import pathlib, resource
from imp_parallel_core import LocalSlave, Manager

def text(megabytes):
    return "x" * (megabytes << 20)

def array(megabytes):
    return bytearray(megabytes << 20)

def fail(megabytes):
    raise ValueError(text(megabytes))

with Manager(output=None, max_relaunches=0) as manager:
    manager.add_slave(LocalSlave())
    context = manager.get_context()
    context.add_task(abs, 1)
    print(list(context.get_results()))
    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (100 << 20),) * 2)
    for task, argument in ((text, 130), (text, 70), (array, 130), (fail, 120), (fail, 10)):
        context.add_task(task, argument)
    context.add_task(abs, -2)
    for result in context.get_results(on_error="return"):
        print(type(result).__name__, result if result == 2 else "")
"""


def test_results_and_errors_larger_than_its_memory_are_the_errors_of_their_tasks(
    start_script: RunScript, processes: Processes
) -> None:
    script = start_script(SCRIPT)
    out, err = script.communicate(timeout=55)
    assert out.splitlines() == ["[1]", *["RemoteError "] * 5, "int 2"], err
    assert err == ""
