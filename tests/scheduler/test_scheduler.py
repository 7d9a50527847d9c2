"""What the scheduler does in each of the situations that matter, one by one."""

from __future__ import annotations

from typing import Any

import pytest

from imp_parallel_core._scheduler.actions import (
    Action,
    CloseContext,
    Deliver,
    EndAttempt,
    NextRunner,
    Relaunch,
    RenewRunner,
    SendSetup,
    SendTasks,
    TakeBack,
)
from imp_parallel_core._scheduler.policy import Policy
from imp_parallel_core._scheduler.tasks import OutcomeKind, Task

from .model import FakeCluster, FakeReader, FakeSlave, unstarted


def tasks_sent(actions: list[Action]) -> list[Task]:
    return [t for a in actions if isinstance(a, SendTasks) for _, t in a.tasks]


def kinds(actions: list[Action]) -> list[type]:
    return [type(action) for action in actions]


def running(slave: FakeSlave) -> int | Task | None:
    return slave.items.get(slave.first)


def cluster_that_runs_short_tasks(
    tasks: int, slaves: int = 1, **policy: float
) -> tuple[FakeCluster, int, list[FakeSlave]]:
    """A cluster that has learned that the tasks of its context are short."""
    cluster = FakeCluster(Policy(**policy))  # type: ignore[arg-type]
    context = cluster.open_context()
    ready = [cluster.add_ready_slave() for _ in range(slaves)]
    cluster.add_tasks(context, tasks + slaves)
    for slave in ready:
        cluster.exchange()
        cluster.finish_item(slave, duration_s=0.0)  # its set-up
    for slave in ready:
        cluster.finish_item(slave, duration_s=0.0001)
    return cluster, context, ready


def cluster_with_setup(slaves: int, tasks: int) -> tuple[FakeCluster, int, list[FakeSlave]]:
    """A cluster whose slaves are set up, the first ones with a long task each."""
    cluster = FakeCluster()
    context = cluster.open_context()
    ready = [cluster.add_ready_slave() for _ in range(slaves)]
    cluster.add_tasks(context, slaves)
    cluster.exchange()
    for slave in ready:
        cluster.finish_item(slave)
    for slave in ready:
        cluster.finish_item(slave)
    cluster.add_tasks(context, tasks)
    cluster.exchange()
    return cluster, context, ready


# ---- giving out work


def test_a_set_up_comes_before_the_first_task_and_only_once() -> None:
    cluster = FakeCluster()
    context = cluster.open_context()
    slave = cluster.add_ready_slave()
    first, second = cluster.add_tasks(context, 2)
    assert kinds(cluster.last) == [SendSetup]
    cluster.exchange()
    assert tasks_sent(cluster.finish_item(slave)) == [first]
    assert tasks_sent(cluster.finish_item(slave)) == [second]


def test_tasks_that_nobody_has_timed_yet_are_sent_one_by_one() -> None:
    cluster = FakeCluster()
    context = cluster.open_context()
    slave = cluster.add_ready_slave()
    cluster.add_tasks(context, 50)
    cluster.exchange()
    cluster.finish_item(slave)
    assert cluster.scheduler.items_of(slave.id) == 1


def test_short_tasks_are_sent_ahead() -> None:
    cluster, _, (slave,) = cluster_that_runs_short_tasks(200)
    assert 10 <= cluster.scheduler.items_of(slave.id) <= 1024


def test_short_tasks_that_are_topped_up_travel_together() -> None:
    cluster, _, (slave,) = cluster_that_runs_short_tasks(1000)
    sent = [cluster.finish_item(slave, duration_s=0.0001) for _ in range(200)]
    batches = [len(tasks_sent(actions)) for actions in sent if tasks_sent(actions)]
    assert min(batches) > 5


def test_long_tasks_are_not_sent_ahead() -> None:
    cluster, _, slaves = cluster_with_setup(2, tasks=10)
    for slave in slaves * 3:
        cluster.finish_item(slave, duration_s=0.5)
        assert cluster.scheduler.items_of(slave.id) == 1


def test_when_few_short_tasks_are_left_every_idle_slave_gets_some() -> None:
    cluster, context, slaves = cluster_that_runs_short_tasks(0, slaves=4)
    cluster.add_tasks(context, 24)
    held = [cluster.scheduler.items_of(slave.id) for slave in slaves]
    assert max(held) == 24 // 4
    assert min(held) >= 1


def test_tasks_that_are_over_before_another_slave_had_them_are_not_shared_out() -> None:
    cluster, context, slaves = cluster_that_runs_short_tasks(0, slaves=4)
    cluster.add_tasks(context, 5)  # of 0.1 ms each
    assert sorted(cluster.scheduler.items_of(slave.id) for slave in slaves) == [0, 0, 0, 5]


def test_new_tasks_go_to_idle_slaves_at_once() -> None:
    cluster, context, slaves = cluster_with_setup(3, tasks=0)
    tasks = cluster.add_tasks(context, 3)
    assert tasks_sent(cluster.last) == tasks
    given = {a.slave for a in cluster.last if isinstance(a, SendTasks)}
    assert given == {slave.id for slave in slaves}


# ---- taking it back


def test_what_waits_behind_a_long_task_is_taken_back_for_an_idle_slave_after_patience() -> None:
    cluster, _, (slave,) = cluster_that_runs_short_tasks(5, patience_s=0.25)
    assert cluster.scheduler.next_tick() is None, "nobody is idle"
    cluster.exchange()
    waiting = list(slave.items.values())[1:]
    helper = cluster.add_ready_slave()
    assert cluster.scheduler.next_tick() == pytest.approx(0.25)
    assert cluster.scheduler.tick(0.2) == []
    cluster.tick()
    assert cluster.last == [TakeBack(slave.id)]
    cluster.exchange()
    assert kinds([*helper.items.values()]) == [int], "its set-up"  # type: ignore[list-item]
    cluster.finish_item(helper)
    assert running(helper) in waiting


def test_nothing_is_taken_back_for_a_slave_that_may_not_run_it() -> None:
    cluster = FakeCluster()
    context = cluster.open_context()
    good, bad = cluster.add_ready_slave(), cluster.add_ready_slave()
    cluster.add_tasks(context, 20)
    cluster.exchange()
    cluster.finish_item(bad, fails=True)
    cluster.finish_item(good)
    for _ in range(3):
        cluster.finish_item(good, duration_s=0.0001)
    assert cluster.scheduler.items_of(good.id) > 1
    assert cluster.scheduler.next_tick() is None, "the engine would spin"


def test_patience_counts_from_when_the_running_task_began() -> None:
    # lack of credit leaves the helpers idle
    bounds = {"patience_s": 0.25, "credit_outcomes": 3}
    cluster, _, (stuck, quick) = cluster_that_runs_short_tasks(100, slaves=2, **bounds)
    cluster.now = 0.2
    cluster.finish_item(quick, duration_s=0.0001)
    assert cluster.scheduler.items_of(quick.id) > 1
    for _ in range(2):
        cluster.add_ready_slave()
    cluster.tick()
    assert cluster.now == pytest.approx(0.25)
    assert cluster.last == [TakeBack(stuck.id)]
    cluster.tick()
    assert cluster.now >= 0.45
    assert cluster.last == [TakeBack(quick.id)]


def test_what_comes_back_goes_on_in_the_order_in_which_it_was_added() -> None:
    cluster, _, (slave,) = cluster_that_runs_short_tasks(40)
    cluster.exchange()
    waiting = [task.id for task in list(slave.items.values())[1:] if isinstance(task, Task)]
    assert len(waiting) > 5
    cluster.kill_slave(slave)
    cluster.add_ready_slave()
    cluster.run_to_quiescence()
    finished = [id for id in cluster.ledger.outcomes if id in waiting]
    assert finished == waiting


def test_only_as_many_slaves_are_asked_as_are_idle() -> None:
    cluster, _, slaves = cluster_that_runs_short_tasks(100, slaves=4)
    assert all(cluster.scheduler.items_of(slave.id) > 1 for slave in slaves)
    while unstarted(cluster.scheduler):
        cluster.finish_item(slaves[0], duration_s=0.0001)
    cluster.add_ready_slave()
    cluster.tick()
    assert kinds(cluster.last) == [TakeBack]


def test_a_slave_that_never_answers_does_not_keep_idle_ones_from_asking_others() -> None:
    cluster, _, slaves = cluster_that_runs_short_tasks(12, slaves=3)
    while unstarted(cluster.scheduler):
        cluster.finish_item(slaves[0], duration_s=0.0001)
    cluster.add_ready_slave()
    asked: set[int] = set()
    for _ in range(2):
        cluster.tick()
        asked |= {a.slave for a in cluster.last if isinstance(a, TakeBack)}
    assert len(asked) == 2


# ---- runners and slaves that die


def test_the_task_that_killed_its_runner_is_charged_and_those_behind_it_are_not() -> None:
    cluster, _, (slave,) = cluster_that_runs_short_tasks(6)
    cluster.exchange()
    guilty, *others = slave.items.values()
    cluster.kill_runner(slave)
    cluster.deliver(slave)
    assert cluster.last == [NextRunner(slave.id)]
    assert isinstance(guilty, Task)
    assert guilty.history == (f"killed on {slave.id}",)
    assert others
    assert all(isinstance(task, Task) and task.history == () for task in others)


@pytest.mark.parametrize("is_leaving", [False, True])
def test_the_first_task_of_a_runner_that_holds_too_much_memory_is_not_tried_again(
    is_leaving: bool,
) -> None:
    cluster, _, (slave,) = cluster_that_runs_short_tasks(10)
    cluster.kill_runner(slave, is_charged=False)
    cluster.exchange()
    cluster.finish_item(slave)  # the set-up
    task = running(slave)
    behind = [what for what in slave.items.values() if what is not task]
    assert isinstance(task, Task)
    assert behind
    if is_leaving:
        cluster.leave(slave)
        cluster.exchange()
    cluster.exceed_memory(slave)
    cluster.deliver(slave)
    (delivered,) = [action for action in cluster.last if isinstance(action, Deliver)]
    assert delivered.task is task
    assert delivered.outcome.kind is OutcomeKind.MEMORY_EXCEEDED
    assert delivered.outcome.peak_memory_bytes == 1000
    cluster.add_slave()
    cluster.run_to_quiescence()
    for other in behind:
        assert isinstance(other, Task)
        assert other.history == ()
        assert cluster.ledger.outcomes[other.id].kind is OutcomeKind.VALUE


def test_a_task_that_holds_too_much_memory_after_others_is_tried_once_more() -> None:
    cluster, _, (slave,) = cluster_that_runs_short_tasks(10)
    task = running(slave)
    assert isinstance(task, Task)
    cluster.exceed_memory(slave)  # what those before have left may be too much
    cluster.exchange()
    assert task.id not in cluster.ledger.outcomes
    cluster.finish_item(slave)  # the set-up
    assert running(slave) is task
    cluster.exceed_memory(slave)
    cluster.exchange()
    assert cluster.ledger.outcomes[task.id].kind is OutcomeKind.MEMORY_EXCEEDED


def test_a_task_with_one_attempt_that_holds_too_much_memory_is_not_tried_again() -> None:
    cluster = FakeCluster()
    slave = cluster.add_ready_slave()
    first, second = cluster.add_tasks(cluster.open_context(max_attempts=1), 2)
    for _ in range(2):  # the set-up, and the first task
        cluster.exchange()
        cluster.finish_item(slave)
    assert first.id in cluster.ledger.outcomes
    cluster.exceed_memory(slave)
    cluster.exchange()
    assert cluster.ledger.outcomes[second.id].kind is OutcomeKind.MEMORY_EXCEEDED


@pytest.mark.parametrize("limit", [1, 3, 50])
@pytest.mark.parametrize("duration_s", [0.0001, 0.5])
def test_a_runner_is_replaced_and_set_up_anew_when_it_has_run_as_many_tasks_as_it_may(
    limit: int, duration_s: float
) -> None:
    cluster = FakeCluster()
    slave = cluster.add_ready_slave()
    cluster.add_tasks(cluster.open_context(max_tasks_per_runner=limit), 2 * limit + 1)
    ran: list[list[Task]] = [[]]
    for _ in range(3 * (limit + 2)):
        cluster.exchange()
        what = running(slave)
        if isinstance(what, Task):
            ran[-1].append(what)
        elif what is not None:
            ran.append([])  # a set-up: a new runner
        cluster.end_item(slave, duration_s=duration_s)
    assert [len(tasks) for tasks in ran] == [0, limit, limit, 1]
    assert len(cluster.ledger.outcomes) == 2 * limit + 1


def test_a_runner_that_nobody_needs_any_more_is_not_replaced() -> None:
    cluster = FakeCluster()
    slave = cluster.add_ready_slave()
    cluster.add_tasks(cluster.open_context(max_tasks_per_runner=1), 1)
    cluster.run_to_quiescence()
    assert not any(isinstance(action, RenewRunner) for action in cluster.last)
    assert cluster.scheduler.has_idle_slaves
    cluster.add_tasks(cluster.open_context(), 1)  # any number of tasks
    (action,) = cluster.last
    assert isinstance(action, SendSetup)
    assert action.slave == slave.id


def test_the_tasks_of_other_contexts_count_too() -> None:
    cluster = FakeCluster()
    slave = cluster.add_ready_slave()
    cluster.add_tasks(cluster.open_context(), 5)
    cluster.run_to_quiescence()
    cluster.add_tasks(cluster.open_context(max_tasks_per_runner=3), 1)
    assert cluster.last == [RenewRunner(slave.id)]


def fail_setup(cluster: FakeCluster, slave: FakeSlave, *, kills: bool) -> None:
    """The set-up that a slave is at fails: it ends the runner, or raises."""
    assert not isinstance(running(slave), Task)
    if kills:
        cluster.kill_runner(slave)
    else:
        cluster.end_item(slave, fails=True)
    cluster.exchange()


@pytest.mark.parametrize("kills", [False, True])
def test_a_slave_that_has_managed_a_set_up_tries_it_again_in_a_new_process(kills: bool) -> None:
    cluster, context, (slave,) = cluster_with_setup(1, tasks=2)
    for _ in range(5):  # more often than max_attempts, and not in a row
        cluster.kill_runner(slave, is_charged=False)
        cluster.exchange()
        for _ in range(2):
            fail_setup(cluster, slave, kills=kills)
        cluster.finish_item(slave)
        assert isinstance(running(slave), Task)
    cluster.run_to_quiescence()
    assert all(each.kind is OutcomeKind.VALUE for each in cluster.ledger.outcomes.values())
    assert not cluster.ledger.contexts[context].failed_on


@pytest.mark.parametrize("kills", [False, True])
def test_a_set_up_that_fails_too_often_in_a_row_is_given_up_on_that_slave(kills: bool) -> None:
    cluster, context, (slave,) = cluster_with_setup(1, tasks=2)
    cluster.kill_runner(slave, is_charged=False)
    cluster.exchange()
    for _ in range(3):
        fail_setup(cluster, slave, kills=kills)
    assert cluster.ledger.contexts[context].failed_on == {slave.id}
    kinds_of_ends = [each.kind for each in cluster.ledger.outcomes.values()]
    assert kinds_of_ends == [OutcomeKind.VALUE, *[OutcomeKind.SETUP_FAILED] * 2]


def test_a_slave_that_is_lost_while_its_runner_is_replaced_is_as_any_other() -> None:
    cluster = FakeCluster()
    slave = cluster.add_ready_slave(relaunchable=True)
    cluster.add_tasks(cluster.open_context(max_tasks_per_runner=1), 3)
    cluster.exchange()
    cluster.finish_item(slave)  # the set-up
    cluster.end_item(slave)
    cluster.deliver(slave)
    assert cluster.last[-1] == RenewRunner(slave.id)
    cluster.kill_slave(slave)
    assert cluster.last == [Relaunch(slave.id)]
    cluster.run_to_quiescence()
    assert len(cluster.ledger.outcomes) == 3


def test_a_slave_on_which_tasks_hold_too_much_memory_is_not_set_aside() -> None:
    cluster, _, slaves = cluster_with_setup(2, tasks=30)
    for _ in range(10):
        cluster.exceed_memory(slaves[0])
        cluster.exchange(slaves[0])
        cluster.finish_item(slaves[0])  # the set-up
    assert not cluster.ledger.slaves[slaves[0].id].is_aside
    assert isinstance(running(slaves[0]), Task)


def test_a_replaced_runner_is_set_up_again_and_goes_on_with_what_came_back() -> None:
    cluster, context, (slave,) = cluster_with_setup(1, tasks=3)
    task = running(slave)
    cluster.kill_runner(slave)
    actions = cluster.exchange()
    assert [a.context for a in actions if isinstance(a, SendSetup)] == [context]
    cluster.finish_item(slave)
    assert running(slave) is task


def test_a_task_that_keeps_killing_its_runner_is_given_up_with_its_whole_history() -> None:
    cluster, _, (slave,) = cluster_with_setup(1, tasks=2)
    task, innocent = (
        t for t in cluster.ledger.tasks.values() if t.id not in cluster.ledger.outcomes
    )
    for _ in range(3):
        assert running(slave) is task
        cluster.kill_runner(slave)
        cluster.exchange()
        cluster.finish_item(slave)  # the set-up of the next runner
    outcome = cluster.ledger.outcomes[task.id]
    assert outcome.kind is OutcomeKind.LOST
    assert list(outcome.content) == [f"killed on {slave.id}"] * 3
    assert running(slave) is innocent


def test_what_a_lost_slave_had_begins_elsewhere_before_anything_fresh() -> None:
    cluster, context, (first, second) = cluster_with_setup(2, tasks=2)
    task = running(first)
    cluster.add_tasks(context, 5)
    cluster.kill_slave(first, is_charged=False)
    cluster.finish_item(second)
    assert running(second) is task
    assert isinstance(task, Task)
    assert task.history == ()


def test_a_slave_that_ran_is_launched_again_but_only_so_often() -> None:
    cluster = FakeCluster(Policy(max_relaunches=2))
    slave = cluster.add_ready_slave(relaunchable=True)
    for _ in range(2):
        cluster.kill_slave(slave)
        assert cluster.last == [Relaunch(slave.id)]
        cluster.join(slave)
        cluster.exchange()
    cluster.kill_slave(slave)
    assert cluster.last == []
    assert not cluster.scheduler.has_hope


def die_and_return(cluster: FakeCluster, slave: FakeSlave) -> bool:
    """Have a slave lost, and join again if it is launched again; return whether it was."""
    cluster.kill_slave(slave, is_charged=False)
    is_launched = Relaunch(slave.id) in cluster.last
    cluster.join(slave)
    cluster.exchange()
    return is_launched


def test_the_work_of_a_slave_counts_from_its_launch_also_if_its_runner_was_replaced() -> None:
    cluster = FakeCluster(Policy(max_relaunches=1, worth_s=60.0))
    cluster.add_tasks(cluster.open_context(), 20)
    slave = cluster.add_ready_slave(relaunchable=True)
    assert die_and_return(cluster, slave)
    for used_up in (1, 0):
        cluster.finish_item(slave)  # the set-up
        cluster.now += 30.0
        cluster.finish_item(slave)  # a task
        assert cluster.scheduler.relaunches_used_up(slave.id) == used_up
        cluster.kill_runner(slave, is_charged=False)
        cluster.exchange()


def test_a_slave_that_has_worked_for_a_while_is_launched_again_as_often_as_a_new_one() -> None:
    cluster = FakeCluster(Policy(max_relaunches=2, worth_s=60.0))
    cluster.add_tasks(cluster.open_context(), 20)
    slave = cluster.add_ready_slave(relaunchable=True)

    def works(duration_s: float) -> None:
        cluster.finish_item(slave)  # the set-up
        cluster.now += duration_s
        cluster.finish_item(slave)  # a task

    works(0.0)
    assert die_and_return(cluster, slave)
    works(59.0)
    assert die_and_return(cluster, slave)
    assert cluster.scheduler.relaunches_used_up(slave.id) == 2
    works(60.0)
    assert cluster.scheduler.relaunches_used_up(slave.id) == 0
    cluster.ledger.relaunches.clear()
    for _ in range(2):
        assert die_and_return(cluster, slave)
        works(59.0)
    assert not die_and_return(cluster, slave)


def test_what_a_slave_has_worked_before_its_latest_launch_counts_no_more() -> None:
    cluster = FakeCluster(Policy(max_relaunches=1, worth_s=60.0))
    cluster.add_tasks(cluster.open_context(), 20)
    slave = cluster.add_ready_slave(relaunchable=True)
    cluster.now += 100.0
    assert die_and_return(cluster, slave)
    cluster.finish_item(slave)
    cluster.finish_item(slave)
    assert not die_and_return(cluster, slave)


def test_a_slave_that_never_ran_is_not_launched_again() -> None:
    cluster = FakeCluster()
    slave = cluster.add_slave(relaunchable=True)
    cluster.kill_slave(slave)
    assert cluster.last == []


def test_a_slave_that_is_lost_twice_is_lost_once() -> None:
    cluster, _, (slave, other) = cluster_with_setup(2, tasks=0)
    cluster.kill_slave(slave)
    assert cluster.scheduler.slave_lost(slave.id, True, "again", 1.0) == []
    assert cluster.scheduler.has_hope
    cluster.kill_slave(other)
    assert not cluster.scheduler.has_hope


def test_the_only_slave_is_started_anew_and_no_hope_is_lost() -> None:
    cluster, _, (slave,) = cluster_with_setup(1, tasks=2)
    cluster.leave(slave)
    cluster.restart_slave(slave)
    assert cluster.scheduler.has_hope
    cluster.join(slave)
    cluster.exchange()
    assert slave.first  # the set-up or a task again
    cluster.kill_slave(slave)
    assert not cluster.scheduler.has_hope
    cluster.restart_slave(slave)
    assert cluster.scheduler.has_hope


def test_tasks_wait_for_another_slave_when_all_are_gone() -> None:
    cluster, _, (slave,) = cluster_with_setup(1, tasks=1)
    cluster.kill_slave(slave, is_charged=False)
    hope = [cluster.scheduler.has_hope]
    assert unstarted(cluster.scheduler) == 1
    cluster.add_slave()
    hope.append(cluster.scheduler.has_hope)
    assert hope == [False, True]
    cluster.run_to_quiescence()
    assert unstarted(cluster.scheduler) == 0


# ---- slaves that leave


def test_a_slave_that_is_leaving_gets_no_more_work_and_is_not_launched_again() -> None:
    cluster = FakeCluster()
    context = cluster.open_context()
    slave = cluster.add_ready_slave(relaunchable=True)
    cluster.leave(slave)
    cluster.exchange()
    cluster.add_tasks(context, 1)
    assert cluster.last == []
    cluster.kill_slave(slave)
    assert cluster.last == []


def test_a_slave_that_is_leaving_charges_nothing() -> None:
    cluster, _, slaves = cluster_with_setup(2, tasks=2)
    tasks = [running(slave) for slave in slaves]
    for slave in slaves:
        cluster.leave(slave)
        cluster.deliver(slave)
    cluster.kill_runner(slaves[0], is_charged=True)
    cluster.exchange()
    cluster.kill_slave(slaves[1], is_charged=True)
    assert all(isinstance(task, Task) and task.history == () for task in tasks)


def test_a_task_that_raises_on_a_slave_that_is_leaving_is_tried_elsewhere() -> None:
    cluster, _, slaves = cluster_with_setup(3, tasks=1)
    (first,) = [slave for slave in slaves if slave.items]
    task = running(first)
    assert isinstance(task, Task)
    for attempt in range(2):
        (slave,) = [slave for slave in slaves if slave.items]
        cluster.leave(slave)
        cluster.deliver(slave)
        slave.end_first(1.0, 1, fails=True)
        cluster.exchange()
        assert len(task.history) == attempt + 1
    assert "slave had been warned" in task.history[0]
    (last,) = [slave for slave in slaves if slave.items]
    last.end_first(1.0, 1, fails=True)
    cluster.exchange()
    assert cluster.ledger.outcomes[task.id].kind is OutcomeKind.RAISED


def test_a_task_that_raises_where_no_other_slave_goes_on_is_not_tried_again() -> None:
    cluster, _, slaves = cluster_with_setup(2, tasks=2)
    tasks = [running(slave) for slave in slaves]
    for slave in slaves:
        cluster.leave(slave)
        cluster.deliver(slave)
    for slave in slaves:
        slave.end_first(1.0, 1, fails=True)
    cluster.exchange()
    kinds = {cluster.ledger.outcomes[task.id].kind for task in tasks if isinstance(task, Task)}
    assert kinds == {OutcomeKind.RAISED}


def test_a_setup_that_fails_on_a_slave_that_is_leaving_does_not_count() -> None:
    cluster = FakeCluster()
    context = cluster.open_context(max_attempts=1)
    slaves = [cluster.add_ready_slave() for _ in range(2)]
    (task,) = cluster.add_tasks(context, 1)
    cluster.exchange()
    slave = slaves[0]
    cluster.leave(slave)
    cluster.deliver(slave)
    slave.end_first(1.0, 1, fails=True)
    cluster.exchange()
    assert task.id not in cluster.ledger.outcomes
    assert cluster.ledger.contexts[context].failed_on == set()


def test_a_slave_that_is_leaving_is_still_leaving_with_its_next_runner() -> None:
    cluster, _, (slave,) = cluster_with_setup(1, tasks=2)
    cluster.leave(slave)
    cluster.kill_runner(slave)
    cluster.exchange()
    assert slave.items == {}
    assert cluster.scheduler.items_of(slave.id) == 0


def test_what_waits_on_a_slave_that_is_leaving_is_taken_back_at_once() -> None:
    cluster, _, (slave,) = cluster_that_runs_short_tasks(5)
    cluster.leave(slave)
    cluster.deliver(slave)
    assert cluster.last == [TakeBack(slave.id)]


# ---- slaves whose connection breaks


def test_a_slave_that_is_away_gets_no_task_until_it_is_back() -> None:
    cluster, context, (away, busy) = cluster_with_setup(2, tasks=2)
    task = running(away)
    cluster.cut_off(away)
    (first,) = cluster.add_tasks(context, 1)
    assert cluster.last == []
    cluster.finish_item(busy)
    assert running(busy) is first
    cluster.come_back(away)
    assert running(away) is task


def test_an_idle_slave_that_was_away_gets_what_waits_when_it_is_back() -> None:
    cluster, context, (slave,) = cluster_with_setup(1, tasks=0)
    cluster.cut_off(slave)
    (task,) = cluster.add_tasks(context, 1)
    assert cluster.last == []
    cluster.come_back(slave)
    assert tasks_sent(cluster.last) == [task]


def test_the_tasks_of_a_slave_that_is_away_begin_elsewhere_once_it_is_suspected() -> None:
    cluster, _, (away, other) = cluster_with_setup(2, tasks=1)
    task = running(away)
    cluster.cut_off(away)
    assert cluster.last == []
    cluster.suspect(away)
    assert tasks_sent(cluster.last) == [task]
    cluster.exchange()
    cluster.come_back(away)
    cluster.hear(away)
    actions = cluster.finish_item(other)
    assert [a.slave for a in actions if isinstance(a, EndAttempt)] == [away.id]


def test_a_slave_that_was_given_up_while_away_begins_anew_when_it_is_launched_again() -> None:
    cluster = FakeCluster()
    context = cluster.open_context()
    slave = cluster.add_ready_slave(relaunchable=True)
    cluster.cut_off(slave)
    cluster.kill_slave(slave)
    assert kinds(cluster.last) == [Relaunch]
    cluster.join(slave)
    cluster.exchange()
    cluster.add_tasks(context, 1)
    assert kinds(cluster.last) == [SendSetup]


# ---- slaves that fall silent


def test_the_tasks_of_a_suspected_slave_begin_elsewhere() -> None:
    cluster, _, (silent, other) = cluster_with_setup(2, tasks=1)
    task = running(silent)
    cluster.suspect(silent)
    assert tasks_sent(cluster.last) == [task]
    assert cluster.last[0].slave == other.id  # type: ignore[union-attr]


def test_of_two_attempts_the_first_outcome_wins_and_the_other_is_ended() -> None:
    cluster, _, (silent, other) = cluster_with_setup(2, tasks=1)
    task = running(silent)
    cluster.suspect(silent)
    cluster.exchange()
    cluster.hear(silent)
    actions = cluster.finish_item(silent)
    assert [a.task for a in actions if isinstance(a, Deliver)] == [task]
    assert [a.slave for a in actions if isinstance(a, EndAttempt)] == [other.id]


def test_a_slave_that_comes_back_too_late_is_freed_from_its_attempt() -> None:
    cluster, _, (silent, other) = cluster_with_setup(2, tasks=1)
    item = silent.first
    cluster.suspect(silent)
    cluster.exchange()
    assert EndAttempt not in kinds(cluster.finish_item(other)), "nobody would hear it"
    cluster.hear(silent)
    assert cluster.last == [EndAttempt(silent.id, item)]
    assert cluster.exchange(silent)[0] == NextRunner(silent.id)


def test_a_slave_that_comes_back_goes_on_and_nothing_of_it_is_begun_elsewhere() -> None:
    cluster, context, (silent, busy) = cluster_with_setup(2, tasks=2)
    task = running(silent)
    (fresh,) = cluster.add_tasks(context, 1)
    cluster.suspect(silent)
    cluster.hear(silent)
    assert cluster.last == []
    cluster.finish_item(busy)
    assert running(busy) is fresh
    assert running(silent) is task


def test_a_task_whose_second_slave_falls_silent_too_begins_on_a_third() -> None:
    cluster, _, (first, second, third) = cluster_with_setup(3, tasks=1)
    task = running(first)
    cluster.suspect(first)
    cluster.exchange()
    assert running(second) is task
    cluster.suspect(second)
    cluster.exchange()
    assert running(third) is task


# ---- slaves on which tasks die


def test_a_task_that_died_is_tried_on_another_slave_next() -> None:
    cluster, _, (bad, good) = cluster_with_setup(2, tasks=2)
    task, held = running(bad), running(good)
    cluster.kill_runner(bad)
    cluster.exchange()
    assert not bad.items, "it waits for the other one"
    assert running(good) is held
    cluster.finish_item(good)
    assert running(good) is task


def test_a_slave_that_a_task_died_on_gets_other_tasks_meanwhile() -> None:
    cluster, _, (bad, _) = cluster_with_setup(2, tasks=3)
    task = running(bad)
    cluster.kill_runner(bad)
    cluster.exchange()
    cluster.finish_item(bad)  # its set-up
    assert isinstance(running(bad), Task)
    assert running(bad) is not task


def test_a_task_waits_for_another_slave_with_patience_but_not_for_ever() -> None:
    cluster, _, (bad, _) = cluster_with_setup(2, tasks=2)
    task = running(bad)
    cluster.kill_runner(bad)
    cluster.exchange()
    began_at = cluster.now
    cluster.tick()
    assert cluster.now - began_at >= 30.0
    cluster.exchange()
    cluster.finish_item(bad)
    assert running(bad) is task


@pytest.mark.parametrize("how", ["kill", "suspect", "leave", "cut off"])
def test_a_task_does_not_wait_for_a_slave_that_is_no_more(how: str) -> None:
    cluster, _, (bad, good) = cluster_with_setup(2, tasks=2)
    task = running(bad)
    cluster.kill_runner(bad)
    cluster.exchange()
    {
        "kill": cluster.kill_slave,
        "suspect": cluster.suspect,
        "leave": cluster.leave,
        "cut off": cluster.cut_off,
    }[how](good)
    cluster.exchange()
    cluster.finish_item(bad)
    assert task in bad.items.values() or running(bad) is not None


def deaths_in_a_row(cluster: FakeCluster, slave: FakeSlave, count: int) -> None:
    for _ in range(count):
        while slave.items and not isinstance(running(slave), Task):
            cluster.finish_item(slave)
        cluster.kill_runner(slave)
        cluster.exchange()


def test_a_slave_on_which_several_tasks_died_in_a_row_is_set_aside_while_others_work() -> None:
    cluster, context, (bad, good) = cluster_with_setup(2, tasks=20)
    deaths_in_a_row(cluster, bad, 3)
    assert not bad.items
    assert cluster.ledger.slaves[bad.id].is_aside
    for _ in range(30):
        cluster.finish_item(good, duration_s=1.0)
    assert not bad.items
    outcomes = cluster.ledger.outcomes.values()
    assert {outcome.kind for outcome in outcomes} == {OutcomeKind.VALUE}
    assert not cluster.ledger.contexts[context].waiting


def test_a_slave_that_was_set_aside_is_tried_again_with_one_task_and_is_back_if_that_ends() -> None:
    cluster, _, (bad, _) = cluster_with_setup(2, tasks=20)
    deaths_in_a_row(cluster, bad, 3)
    cluster.tick()
    assert not cluster.ledger.slaves[bad.id].is_aside
    cluster.exchange()
    cluster.finish_item(bad)  # its set-up
    assert len(bad.items) == 1
    deaths_in_a_row(cluster, bad, 1)
    assert cluster.ledger.slaves[bad.id].is_aside, "the trial has failed"
    began_at = cluster.now
    while cluster.ledger.slaves[bad.id].is_aside:
        cluster.tick()
    assert cluster.now - began_at == pytest.approx(60.0), "ever more seldom"
    cluster.exchange()
    cluster.finish_item(bad)
    cluster.finish_item(bad)
    deaths_in_a_row(cluster, bad, 2)
    assert not cluster.ledger.slaves[bad.id].is_aside, "they are counted anew"


def test_no_slave_is_set_aside_if_tasks_die_on_all() -> None:
    cluster, _, slaves = cluster_with_setup(3, tasks=30)
    for _ in range(5):
        for slave in slaves:
            deaths_in_a_row(cluster, slave, 1)
    assert not any(cluster.ledger.slaves[slave.id].is_aside for slave in slaves)


def test_a_slave_is_not_aside_for_a_context_whose_set_up_has_failed_on_all_others() -> None:
    cluster, _, (bad, good) = cluster_with_setup(2, tasks=20)
    deaths_in_a_row(cluster, bad, 3)
    assert cluster.ledger.slaves[bad.id].is_aside
    while good.items:
        cluster.finish_item(good)
    another = cluster.open_context()
    (task,) = cluster.add_tasks(another, 1)
    cluster.exchange()
    cluster.finish_item(good, fails=True)  # its set-up
    assert not cluster.ledger.slaves[bad.id].is_aside
    cluster.exchange()
    cluster.finish_item(bad, fails=True)
    assert cluster.ledger.outcomes[task.id].kind is OutcomeKind.SETUP_FAILED


def test_slaves_that_were_set_aside_work_when_no_other_is_left() -> None:
    cluster, _, (bad, good) = cluster_with_setup(2, tasks=20)
    deaths_in_a_row(cluster, bad, 3)
    cluster.kill_slave(good, is_charged=False)
    assert not cluster.ledger.slaves[bad.id].is_aside
    cluster.run_to_quiescence()
    assert unstarted(cluster.scheduler) == 0


# ---- set-ups that fail


def test_a_slave_whose_set_up_raised_gets_no_task_of_that_context_but_of_others() -> None:
    cluster = FakeCluster()
    bad, good = cluster.open_context(), cluster.open_context()
    slave, _ = cluster.add_ready_slave(), cluster.add_ready_slave()
    cluster.add_tasks(bad, 5)
    cluster.exchange()
    cluster.finish_item(slave, fails=True)
    assert slave.items == {}
    cluster.add_tasks(good, 1)
    cluster.exchange()
    assert running(slave) == good


def test_a_set_up_that_fails_on_max_attempts_slaves_fails_every_task_and_no_other_context() -> None:
    cluster = FakeCluster()
    bad, good = cluster.open_context(max_attempts=2), cluster.open_context()
    slaves = [cluster.add_ready_slave() for _ in range(3)]
    doomed = cluster.add_tasks(bad, 4)
    cluster.exchange()
    for slave in slaves:
        cluster.finish_item(slave, fails=True)
    cluster.add_ready_slave()
    fine = cluster.add_tasks(good, 3)
    doomed += cluster.add_tasks(bad, 2)
    cluster.run_to_quiescence()
    outcomes = cluster.ledger.outcomes
    assert {outcomes[task.id].kind for task in doomed} == {OutcomeKind.SETUP_FAILED}
    assert {outcomes[task.id].kind for task in fine} == {OutcomeKind.VALUE}


def test_a_set_up_that_fails_on_every_slave_there_is_fails_every_task() -> None:
    cluster = FakeCluster()
    context = cluster.open_context()
    slave, gone = cluster.add_ready_slave(), cluster.add_ready_slave()
    tasks = cluster.add_tasks(context, 2)
    cluster.exchange()
    cluster.finish_item(slave, fails=True)
    assert cluster.ledger.outcomes == {}, "the other one may do better"
    cluster.kill_slave(gone, is_charged=False)
    outcomes = [cluster.ledger.outcomes[task.id] for task in tasks]
    assert {(o.kind, o.slave) for o in outcomes} == {(OutcomeKind.SETUP_FAILED, slave.id)}


def slaves_that_set_up(count: int, **how: Any) -> tuple[FakeCluster, list[FakeSlave], list[Task]]:
    """Slaves that are at the set-up of one context, which has more tasks than slaves."""
    cluster = FakeCluster()
    slaves = [cluster.add_ready_slave(relaunchable=True) for _ in range(count)]
    tasks = cluster.add_tasks(cluster.open_context(**how), 2 * count)
    cluster.exchange()
    return cluster, slaves, tasks


def kinds_of_outcomes(cluster: FakeCluster, tasks: list[Task]) -> set[OutcomeKind]:
    return {cluster.ledger.outcomes[task.id].kind for task in tasks}


def test_slaves_that_are_lost_while_they_set_up_take_nothing_from_those_that_work() -> None:
    cluster, slaves, tasks = slaves_that_set_up(5)
    for slave in slaves[:3]:
        cluster.kill_slave(slave)
    assert cluster.ledger.outcomes == {}, "two are still at it"
    cluster.run_to_quiescence()
    tasks += cluster.add_tasks(tasks[0].context, 3)
    for slave in slaves[:3]:  # and at any later time
        cluster.kill_slave(slave)
        cluster.join(slave)
        tasks += cluster.add_tasks(tasks[0].context, 5)
        cluster.exchange()
    cluster.run_to_quiescence()
    assert kinds_of_outcomes(cluster, tasks) == {OutcomeKind.VALUE}


def test_a_slave_on_which_the_set_up_failed_is_left_out_while_others_do_the_work() -> None:
    cluster, (good, *bad), tasks = slaves_that_set_up(4)
    for slave in bad:
        cluster.finish_item(slave, fails=True)
    assert cluster.ledger.outcomes == {}
    cluster.run_to_quiescence()
    assert kinds_of_outcomes(cluster, tasks) == {OutcomeKind.VALUE}
    assert {cluster.ledger.outcomes[task.id].slave for task in tasks} == {good.id}


def test_while_a_set_up_that_failed_too_often_is_under_way_nobody_else_begins_it() -> None:
    cluster, (first, second), tasks = slaves_that_set_up(2, max_attempts=1)
    cluster.finish_item(first, fails=True)
    late = cluster.add_ready_slave()
    assert cluster.ledger.outcomes == {}
    assert not late.items
    cluster.finish_item(second)
    cluster.exchange()
    assert running(late) == tasks[0].context, "it can be managed"
    cluster.run_to_quiescence()
    assert kinds_of_outcomes(cluster, tasks) == {OutcomeKind.VALUE}


@pytest.mark.parametrize(
    "end", ["fails", "dies", "is suspected", "is sent away", "loses its runner"]
)
def test_when_the_last_one_ends_that_was_at_a_set_up_that_failed_too_often_it_is_given_up(
    end: str,
) -> None:
    cluster, (first, second), tasks = slaves_that_set_up(2, max_attempts=1)
    cluster.finish_item(first, fails=True)
    cluster.add_ready_slave()
    if end == "fails":
        cluster.finish_item(second, fails=True)
    elif end == "dies":
        cluster.kill_slave(second)
    elif end == "is suspected":
        cluster.suspect(second)
    elif end == "is sent away":
        cluster.kill_slave(second, is_charged=False)
    else:
        cluster.kill_runner(second, is_charged=False)
        cluster.exchange()
    assert kinds_of_outcomes(cluster, tasks) == {OutcomeKind.SETUP_FAILED}


def test_a_set_up_that_was_given_up_lives_again_if_a_silent_slave_has_managed_it() -> None:
    cluster, (first, second), tasks = slaves_that_set_up(2, max_attempts=1)
    cluster.suspect(second)
    cluster.finish_item(first, fails=True)
    assert kinds_of_outcomes(cluster, tasks) == {OutcomeKind.SETUP_FAILED}
    cluster.hear(second)
    cluster.finish_item(second)
    more = cluster.add_tasks(tasks[0].context, 2)
    cluster.run_to_quiescence()
    assert kinds_of_outcomes(cluster, more) == {OutcomeKind.VALUE}


def test_a_set_up_that_kills_its_runner_on_every_slave_is_a_set_up_error() -> None:
    cluster, slaves, tasks = slaves_that_set_up(4)
    for slave in slaves:
        cluster.kill_runner(slave)
        cluster.exchange()
    assert kinds_of_outcomes(cluster, tasks) == {OutcomeKind.SETUP_FAILED}


@pytest.mark.parametrize("slaves", [1, 2, 5])
def test_a_set_up_that_kills_every_slave_is_a_set_up_error_and_not_tried_for_ever(
    slaves: int,
) -> None:
    cluster, dying, tasks = slaves_that_set_up(slaves)
    for _ in range(3):
        for slave in dying:
            if slave.items:
                cluster.kill_slave(slave)
        for slave in dying:
            cluster.join(slave)
        cluster.exchange()
    assert kinds_of_outcomes(cluster, tasks) == {OutcomeKind.SETUP_FAILED}
    assert all(slave.is_alive for slave in dying), "the slaves are there for other contexts"


def test_a_slave_that_is_lost_in_a_set_up_again_and_again_is_left_out_too() -> None:
    cluster, (good, bad), tasks = slaves_that_set_up(2)
    cluster.finish_item(good)
    for _ in range(3):
        cluster.kill_slave(bad)
        cluster.join(bad)
        cluster.exchange(bad)
    assert not bad.items
    cluster.run_to_quiescence()
    assert kinds_of_outcomes(cluster, tasks) == {OutcomeKind.VALUE}


def test_what_a_failed_set_up_left_on_a_slave_goes_with_its_context() -> None:
    cluster = FakeCluster()
    context = cluster.open_context()
    slave, other = cluster.add_ready_slave(), cluster.add_ready_slave()
    cluster.add_tasks(context, 2)
    cluster.exchange()
    cluster.finish_item(slave, fails=True)
    cluster.finish_item(other)
    cluster.close_context(context)
    closed = [action.slave for action in cluster.last if isinstance(action, CloseContext)]
    assert sorted(closed) == [slave.id, other.id]


def test_when_no_slave_is_left_tasks_wait_even_if_the_set_up_failed_on_one_that_has_gone() -> None:
    cluster = FakeCluster()
    failed, other = cluster.add_ready_slave(), cluster.add_ready_slave()
    cluster.add_tasks(cluster.open_context(), 2)
    cluster.exchange()
    cluster.finish_item(failed, fails=True)
    cluster.kill_slave(failed)
    cluster.kill_slave(other, is_charged=False)
    assert cluster.ledger.outcomes == {}
    assert unstarted(cluster.scheduler) == 2


def test_a_set_up_that_kills_its_runner_counts_as_failed_with_the_cause() -> None:
    cluster = FakeCluster()
    slave = cluster.add_ready_slave()
    (task,) = cluster.add_tasks(cluster.open_context(), 1)
    cluster.exchange()
    cluster.kill_runner(slave)
    cluster.exchange()
    outcome = cluster.ledger.outcomes[task.id]
    assert outcome.kind is OutcomeKind.SETUP_FAILED
    assert outcome.content == (f"killed on {slave.id}",)


def test_a_set_up_whose_slave_was_lost_through_no_fault_of_its_is_tried_again() -> None:
    cluster = FakeCluster()
    slave = cluster.add_ready_slave()
    (task,) = cluster.add_tasks(cluster.open_context(), 1)
    cluster.exchange()
    cluster.kill_runner(slave, is_charged=False)
    cluster.run_to_quiescence()
    assert cluster.ledger.outcomes[task.id].kind is OutcomeKind.VALUE


# ---- several contexts


def test_nested_contexts_take_turns_on_one_slave() -> None:
    cluster = FakeCluster()
    outer, inner = cluster.open_context(), cluster.open_context()
    slave = cluster.add_ready_slave()
    cluster.add_tasks(outer, 20)
    cluster.add_tasks(inner, 20)
    cluster.exchange()
    ran = []
    for _ in range(12):
        what = running(slave)
        if isinstance(what, Task):
            ran.append(what.context)
        cluster.finish_item(slave)
    assert ran.count(outer) == ran.count(inner) == 5


def test_contexts_share_the_slaves() -> None:
    cluster = FakeCluster()
    contexts = [cluster.open_context() for _ in range(2)]
    for context in contexts:
        cluster.add_tasks(context, 10)
    slaves = [cluster.add_ready_slave() for _ in range(4)]
    setting_up = sorted(what for slave in slaves for what in slave.items.values())  # type: ignore[type-var]
    assert setting_up == sorted(contexts * 2)


def test_a_context_that_comes_later_gets_its_share_of_busy_slaves() -> None:
    cluster, _, slaves = cluster_with_setup(4, tasks=40)
    late = cluster.open_context()
    cluster.add_tasks(late, 10)
    for slave in slaves:
        cluster.finish_item(slave)
    assert [running(slave) for slave in slaves[:2]] == [late, late], "until both have as many"
    assert late not in [running(slave) for slave in slaves[2:]]


# ---- credit


def cluster_without_credit(credit: int = 1) -> tuple[FakeCluster, int, list[Task]]:
    """A cluster whose slave is idle and set up, because outcomes wait that nobody reads."""
    cluster = FakeCluster(Policy(credit_outcomes=credit))
    context = cluster.open_context()
    slave = cluster.add_ready_slave()
    tasks = cluster.add_tasks(context, credit + 10)
    cluster.exchange()
    while slave.items:
        cluster.finish_item(slave)
    assert len(cluster.ledger.outcomes) == credit
    return cluster, context, tasks[credit:]


def test_without_credit_no_fresh_task_is_started_until_the_user_reads() -> None:
    cluster, context, (oldest, *_) = cluster_without_credit(credit=3)
    cluster.read(context, 1)
    assert tasks_sent(cluster.last) == [oldest]


def test_tasks_that_run_use_up_no_credit() -> None:
    cluster = FakeCluster(Policy(credit_outcomes=1))
    slaves = [cluster.add_ready_slave() for _ in range(5)]
    cluster.add_tasks(cluster.open_context(), 20)
    cluster.exchange()
    for slave in slaves:
        cluster.finish_item(slave)
    assert all(isinstance(running(slave), Task) for slave in slaves)


def test_with_nobody_reading_no_more_tasks_start_than_the_credit_and_what_ran() -> None:
    cluster = FakeCluster(Policy(credit_outcomes=3))
    cluster.add_tasks(cluster.open_context(), 1_000)
    slaves = [cluster.add_ready_slave() for _ in range(5)]
    while any(slave.items for slave in slaves):
        for slave in slaves:
            cluster.finish_item(slave)
    assert 3 <= len(cluster.ledger.outcomes) < 3 + 5
    assert unstarted(cluster.scheduler) == 1_000 - len(cluster.ledger.outcomes)


def test_with_nobody_reading_no_more_short_tasks_end_than_the_credit_and_what_was_sent() -> None:
    cluster, _, (slave,) = cluster_that_runs_short_tasks(1_000, credit_outcomes=30)
    most = 0
    while slave.items:
        unread = len(cluster.ledger.outcomes)
        if unread < 30:
            most = unread + cluster.scheduler.items_of(slave.id)
        cluster.finish_item(slave, duration_s=0.0001)
    assert 30 <= len(cluster.ledger.outcomes) == most


def test_bytes_count_as_credit_too() -> None:
    cluster = FakeCluster(Policy(credit_bytes=100))
    context = cluster.open_context()
    first, second = cluster.add_ready_slave(), cluster.add_ready_slave()
    cluster.add_tasks(context, 20)
    for slave in (first, second):
        cluster.exchange()
        cluster.finish_item(slave)
    cluster.finish_item(first, size_bytes=100)
    assert running(first) is None
    cluster.read(context, 1)
    assert len(tasks_sent(cluster.last)) == 1


def test_a_retry_needs_no_credit() -> None:
    cluster = FakeCluster(Policy(credit_outcomes=1))
    context = cluster.open_context()
    first, second = cluster.add_ready_slave(), cluster.add_ready_slave()
    cluster.add_tasks(context, 20)
    for slave in (first, second):
        cluster.exchange()
        cluster.finish_item(slave)
    task = running(second)
    cluster.finish_item(first)
    assert running(first) is None, "one outcome is unread"
    cluster.kill_runner(second)
    cluster.deliver(second)
    assert tasks_sent(cluster.last) == [task]


# ---- readers that wait


def test_while_a_reader_waits_the_oldest_task_needs_no_credit() -> None:
    cluster, context, (oldest, *_) = cluster_without_credit()
    cluster.reader_waits(context)
    assert tasks_sent(cluster.last) == [oldest]


def test_a_reader_that_waits_on_gets_one_task_after_the_other() -> None:
    cluster, context, tasks = cluster_without_credit()
    slaves = [*cluster.slaves.values(), cluster.add_ready_slave()]
    cluster.reader_waits(context)
    begun: list[Task] = []
    while unstarted(cluster.scheduler):
        cluster.exchange()
        held = [task for slave in slaves for task in cluster.ledger.slaves[slave.id].tasks]
        assert len(held) <= 1, "one at a time"
        begun += held
        for slave in slaves:
            cluster.finish_item(slave)
    assert begun == tasks[: len(begun)]
    assert len(begun) >= len(tasks) - 1


def test_a_reader_that_waits_for_what_runs_starts_nothing_else() -> None:
    cluster, context, _ = cluster_without_credit()
    cluster.reader_waits(context)
    cluster.add_ready_slave()
    cluster.reader_waits(context)
    assert cluster.last == []


def test_a_reader_that_waits_for_what_is_to_be_tried_again_starts_nothing_else() -> None:
    cluster, context, (oldest, *_) = cluster_without_credit()
    cluster.reader_waits(context)
    (slave,) = cluster.slaves.values()
    cluster.exchange()
    cluster.kill_slave(slave)
    cluster.reader_waits(context)
    cluster.add_ready_slave()
    cluster.add_ready_slave()
    cluster.exchange()
    sent = [cluster.finish_item(slave) for slave in list(cluster.slaves.values())[1:]]
    assert [tasks_sent(actions) for actions in sent] == [[oldest], []]


def test_a_reader_that_waits_before_there_is_a_slave_is_served_when_one_comes() -> None:
    cluster, context, (oldest, *_) = cluster_without_credit()
    (gone,) = cluster.slaves.values()
    cluster.kill_slave(gone)
    cluster.reader_waits(context)
    assert cluster.last == []
    slave = cluster.add_ready_slave()
    cluster.finish_item(slave)
    assert running(slave) is oldest


def test_a_reader_that_waits_before_there_is_a_task_is_served_when_one_is_added() -> None:
    cluster, context, tasks = cluster_without_credit()
    cluster.reader_waits(context)
    cluster.run_to_quiescence()
    assert len(cluster.ledger.outcomes) == 1 + len(tasks)
    late = cluster.add_tasks(context, 3)
    assert tasks_sent(cluster.last) == late[:1]


def test_once_outcomes_were_read_no_reader_is_known_to_wait() -> None:
    cluster, context, tasks = cluster_without_credit()
    cluster.reader_waits(context)
    cluster.report_read(context, [])
    (slave,) = cluster.slaves.values()
    cluster.exchange()
    assert running(slave) is tasks[0]
    cluster.finish_item(slave)
    assert running(slave) is None


def test_a_reader_waits_for_tasks_of_its_own_context_only() -> None:
    cluster, context, _ = cluster_without_credit()
    other = cluster.open_context()
    cluster.reader_waits(other)
    cluster.add_tasks(other, 1)
    cluster.run_to_quiescence()
    assert len(cluster.ledger.contexts[context].unread) == 1
    assert len(cluster.ledger.contexts[other].unread) == 1


def test_who_reads_a_closed_context_or_none_at_all_is_ignored() -> None:
    cluster, context, _ = cluster_without_credit()
    cluster.close_context(context)
    assert cluster.scheduler.reader_waits(context, 0.0) == []
    assert cluster.scheduler.reader_waits(12345, 0.0) == []


@pytest.mark.parametrize("in_order", [True, False])
@pytest.mark.parametrize("slaves", [1, 3])
def test_a_reader_with_a_credit_of_one_gets_all_results(slaves: int, in_order: bool) -> None:
    cluster = FakeCluster(Policy(credit_outcomes=1))
    for _ in range(slaves):
        cluster.add_ready_slave()
    context = cluster.open_context()
    tasks = cluster.add_tasks(context, 200)
    reader = FakeReader(cluster, context, in_order)
    got: list[int] = []
    while len(got) < len(tasks):
        for slave in reversed(cluster.slaves.values()):  # so that the oldest task ends last
            cluster.finish_item(slave, duration_s=0.0001)
        got += reader.take(1)
    assert sorted(got) == [task.id for task in tasks]
    assert not in_order or got == sorted(got)


def test_a_reader_in_order_gets_a_task_that_others_overtook_though_it_asks_only_once() -> None:
    cluster = FakeCluster(Policy(credit_outcomes=1))
    slave = cluster.add_ready_slave()
    context = cluster.open_context()
    reader = FakeReader(cluster, context)
    tasks = cluster.add_tasks(context, 20, is_reversed=True)
    assert reader.take(1) == []
    for _ in range(3):
        cluster.finish_item(slave)
    assert reader.take(1) == [], "woken in vain: it goes on waiting"
    cluster.run_to_quiescence()
    assert reader.take(20) == [task.id for task in reversed(tasks)]


def test_the_oldest_task_goes_to_an_idle_slave_if_the_one_that_ended_the_last_is_leaving() -> None:
    cluster, context, _ = cluster_without_credit()
    (first,) = cluster.slaves.values()
    cluster.reader_waits(context)
    second = cluster.add_ready_slave()
    cluster.leave(first)
    cluster.exchange()
    assert running(second) is None, "no credit"
    cluster.finish_item(first)
    cluster.exchange()
    assert running(second) == context


# ---- closing a context


def test_closing_a_context_ends_its_running_attempt_and_takes_the_rest_back() -> None:
    cluster, context, (slave,) = cluster_that_runs_short_tasks(20)
    cluster.exchange()
    item = slave.first
    cluster.close_context(context)
    assert cluster.last == [
        EndAttempt(slave.id, item),
        TakeBack(slave.id),
        CloseContext(slave.id, context),
    ]
    cluster.exchange()
    assert unstarted(cluster.scheduler) == 0
    assert cluster.scheduler.items_of(slave.id) == 0


def test_a_task_of_a_closed_context_that_began_before_it_could_be_taken_back_is_ended() -> None:
    cluster, context, (slave,) = cluster_that_runs_short_tasks(20)
    cluster.exchange()
    cluster.end_item(slave)
    cluster.close_context(context)
    begun = slave.first
    actions = cluster.exchange()
    assert EndAttempt(slave.id, begun) in actions
    assert slave.items == {}


def test_closing_a_context_drops_its_values_where_it_was_set_up() -> None:
    cluster, context, slaves = cluster_with_setup(2, tasks=0)
    cluster.close_context(context)
    assert cluster.last == [CloseContext(slave.id, context) for slave in slaves]


def test_a_set_up_that_ends_after_its_context_was_closed_leaves_nothing_behind() -> None:
    cluster = FakeCluster()
    slave = cluster.add_ready_slave()
    context = cluster.open_context()
    cluster.add_tasks(context, 1)
    cluster.exchange()
    cluster.end_item(slave)
    cluster.close_context(context)
    assert kinds(cluster.last) == [EndAttempt]
    assert CloseContext(slave.id, context) in cluster.exchange()
    assert slave.set_up == set()


def test_closing_one_context_leaves_the_tasks_of_another_to_go_on() -> None:
    cluster = FakeCluster()
    closed, other = cluster.open_context(), cluster.open_context()
    cluster.add_ready_slave()
    cluster.add_tasks(closed, 5)
    tasks = cluster.add_tasks(other, 5)
    cluster.exchange()
    cluster.close_context(closed)
    cluster.run_to_quiescence()
    assert set(cluster.ledger.outcomes) == {task.id for task in tasks}


def test_tasks_for_a_closed_context_are_forgotten() -> None:
    cluster, context, _ = cluster_with_setup(1, tasks=0)
    cluster.close_context(context)
    cluster.add_tasks(context, 3)
    assert cluster.last == []
    assert unstarted(cluster.scheduler) == 0
