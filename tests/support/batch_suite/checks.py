"""What people see of a cluster: imp-parallel check, and what slaves print, as it comes.

What a check says of slaves that can't start is tested beside what a script says (:mod:`.troubles`).
"""

from __future__ import annotations

from pathlib import Path

from tests.support.batch_suite.cluster import BatchCluster
from tests.support.batch_suite.slaves import expression_of
from tests.support.checking import CHAIN, check, script_of_check
from tests.support.printing import check_that_what_a_slave_prints_comes_while_it_works
from tests.support.scripts import Scripts
from tests.support.waiting import wait_until
from tests.support.watched_check import WatchedCheck

__all__ = [
    "test_a_check_goes_on_as_soon_as_the_batch_system_can_be_reached",
    "test_a_check_of_an_array_goes_through_the_whole_chain",
    "test_a_check_of_jobs_that_never_start_says_the_batch_systems_reason_and_ends_them",
    "test_what_slaves_print_comes_to_the_script_while_they_work",
]


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


def test_a_check_goes_on_as_soon_as_the_batch_system_can_be_reached(
    batch: BatchCluster, scripts: Scripts
) -> None:
    program = batch.array.system.programs[0]
    script = script_of_check(expression_of(batch), "--limit", "100")
    with batch.out_of_reach():
        checking = WatchedCheck(scripts.start(script))
        checking.wait_for(f"{program} could not reach", batch.said_of_nobody)
        checking.wait_for("This says nothing about the options. Try again when")
    assert checking.finish() == 0, checking.text
    assert "was submitted after " in checking.text
    wait_until(lambda: not batch.jobs(), what="an empty queue")


def test_what_slaves_print_comes_to_the_script_while_they_work(
    batch: BatchCluster, tmp_path: Path
) -> None:
    check_that_what_a_slave_prints_comes_while_it_works(batch.array(1), tmp_path)
    assert list(tmp_path.glob(".imp_parallel*")) == []
