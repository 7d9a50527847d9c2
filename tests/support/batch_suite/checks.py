"""What people see of a cluster: imp-parallel check, and what slaves print, as it comes.

What a check says of slaves that can't start is tested beside what a script says (:mod:`.troubles`).
"""

from __future__ import annotations

import time
from pathlib import Path

from imp_parallel_core import Manager, OutputLine
from tests.support.batch_suite.cluster import BatchCluster
from tests.support.checking import CHAIN, check
from tests.support.waiting import wait_until

__all__ = [
    "test_a_check_of_an_array_goes_through_the_whole_chain",
    "test_a_check_of_jobs_that_never_start_says_the_batch_systems_reason_and_ends_them",
    "test_what_slaves_print_comes_to_the_script_while_they_work",
]


def expression_of(batch: BatchCluster, options: str = "") -> str:
    """Return the expression of one slave."""
    return f"{batch.array.__name__}(1, {options!r})"


def test_a_check_of_an_array_goes_through_the_whole_chain(
    batch: BatchCluster, tmp_path: Path
) -> None:
    checked = check(expression_of(batch))
    assert checked.exit_code == 0, checked.steps
    assert checked.names("ok") == [*CHAIN, "gone"]
    submitted = checked.named("submitted")
    assert submitted["facts"]["job"].isdecimal()
    assert f"job {submitted['facts']['job']}: " in submitted["text"]
    assert batch.array.system.programs[0] in submitted["text"]
    connected = checked.named("connected")
    assert connected["facts"]["address"] in submitted["facts"]["tries"]
    assert connected["facts"]["address"] in connected["text"]
    wait_until(lambda: not batch.jobs(), what="an empty queue")
    assert list(tmp_path.glob("*check*")) == []


def test_a_check_of_jobs_that_never_start_says_the_batch_systems_reason_and_ends_them(
    batch: BatchCluster,
) -> None:
    checked = check(expression_of(batch, batch.nowhere), "--limit", "12")
    text = checked.failure("started")
    assert "nothing has started within the 12 s of --limit" in text
    assert batch.said_of_nowhere in text
    assert "ask for less" in text
    assert "queued" in checked.said
    wait_until(lambda: not batch.jobs(), what="an empty queue")


def test_what_slaves_print_comes_to_the_script_while_they_work(
    batch: BatchCluster, tmp_path: Path
) -> None:
    def speak(gate: Path) -> None:
        print("hello")
        while not gate.exists():
            time.sleep(0.05)

    heard: list[OutputLine] = []
    with Manager(output=heard.append) as manager:
        manager.add_slave(batch.array(1))
        context = manager.get_context()
        context.add_task(speak, tmp_path / "gate")
        wait_until(lambda: (0, "hello") in [(line.task, line.text) for line in heard], 60.0)
        (tmp_path / "gate").touch()
        list(context.get_results())
    assert list(tmp_path.glob(".imp_parallel*")) == []
