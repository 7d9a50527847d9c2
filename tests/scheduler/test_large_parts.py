"""What a slave is sent to keep, and when it is told to forget it."""

from __future__ import annotations

import pytest

from imp_parallel_core._definitions.large_parts import LargePart
from imp_parallel_core._scheduler.actions import ForgetPart, KeepPart, SendTasks
from imp_parallel_core._scheduler.tasks import Task

from .model import FakeBytes, FakeCluster, FakeSlave, part


@pytest.fixture
def cluster() -> FakeCluster:
    """A cluster with two slaves that have been set up, and have learned that tasks are short."""
    made = FakeCluster()
    context = made.open_context()
    slaves = [made.add_ready_slave() for _ in range(2)]
    made.add_tasks(context, 4)
    made.exchange()
    for slave in slaves * 4:
        if slave.items:
            made.finish_item(slave, duration_s=0.0001)
    assert not any(slave.items for slave in slaves)
    return made


def context_of(cluster: FakeCluster) -> int:
    return next(iter(cluster.ledger.contexts))


def add(cluster: FakeCluster, *parts: LargePart, count: int = 1) -> None:
    """Add tasks that refer to parts."""
    context = context_of(cluster)
    tasks = [Task(context, (b"", *parts), id=next(cluster._ids)) for _ in range(count)]
    cluster.ledger.tasks_added(tasks)
    cluster._perform(cluster.scheduler.tasks_added(tasks, cluster.now))


def run(cluster: FakeCluster) -> list[tuple[str, int, int]]:
    """Let all tasks come to an end; return which slave was to keep or forget what, in order."""
    told = list(cluster.last)
    told += cluster.exchange()
    for _ in range(1000):
        busy = [slave for slave in cluster.slaves.values() if slave.items]
        if not busy:
            break
        for slave in busy:
            told += cluster.finish_item(slave, duration_s=0.0001)
    seen: list[tuple[str, int, int]] = []
    for action in told:
        if isinstance(action, KeepPart):
            seen.append(("keep", action.slave, action.part.number))
        elif isinstance(action, ForgetPart):
            seen.append(("forget", action.slave, action.number))
    return seen


def first_of(cluster: FakeCluster) -> FakeSlave:
    return next(iter(cluster.slaves.values()))


def test_each_slave_is_sent_a_part_once_for_all_tasks_that_refer_to_it(
    cluster: FakeCluster,
) -> None:
    add(cluster, part(1), count=50)
    slaves = sorted(cluster.slaves)
    assert sorted(run(cluster)) == [("keep", slave, 1) for slave in slaves]
    add(cluster, part(1), count=50)
    assert run(cluster) == []


def test_a_part_that_one_task_refers_to_is_not_kept(cluster: FakeCluster) -> None:
    add(cluster, part(0), count=10)
    assert run(cluster) == []


def test_short_tasks_that_share_a_part_are_sent_ahead_and_others_that_are_large_are_not(
    cluster: FakeCluster,
) -> None:
    (slave, _) = cluster.slaves.values()
    add(cluster, part(1), count=400)
    assert max(len(a.tasks) for a in cluster.last if isinstance(a, SendTasks)) == 1  # it comes
    cluster.exchange()
    sent = cluster.finish_item(slave, duration_s=0.0001)
    assert max(len(a.tasks) for a in sent if isinstance(a, SendTasks)) > 10
    run(cluster)
    add(cluster, part(0), count=400)
    sent = list(cluster.last)
    for _ in range(10):
        sent += cluster.exchange()
        sent += cluster.finish_item(slave, duration_s=0.0001)
    assert {len(a.tasks) for a in sent if isinstance(a, SendTasks)} == {1}


def test_tasks_with_a_new_part_each_are_not_sent_ahead_either(cluster: FakeCluster) -> None:
    for number in range(1, 41):
        add(cluster, part(number), count=2)
    sent = list(cluster.last)
    for _ in range(60):
        for slave in cluster.slaves.values():
            if slave.items:
                sent += cluster.finish_item(slave, duration_s=0.0001)
        for action in sent:
            if isinstance(action, SendTasks):
                numbers = [task.payload[1].number for _, task in action.tasks]
                assert len(set(numbers[:-1])) <= 1, "two parts came with one message"


def test_a_part_that_no_task_refers_to_is_forgotten_by_those_that_keep_it(
    cluster: FakeCluster,
) -> None:
    add(cluster, part(1), count=1)
    ((_, slave, _),) = run(cluster)
    cluster.release_part(context_of(cluster), 1)
    assert cluster.last == [ForgetPart(slave, context_of(cluster), 1)]
    cluster.release_part(context_of(cluster), 1)
    assert cluster.last == []


def test_of_many_parts_those_that_were_not_needed_for_longest_are_forgotten_and_come_again(
    cluster: FakeCluster,
) -> None:
    cluster.kill_slave(first_of(cluster))
    told = []
    for number in (1, 2, 1, 3, 1, 2):  # of 100 MB each; 256 MiB are kept
        add(cluster, part(number))
        told += [(verb, n) for verb, _, n in run(cluster)]
    assert told == [
        ("keep", 1),
        ("keep", 2),
        ("keep", 3),
        ("forget", 2),
        ("keep", 2),
        ("forget", 3),
    ]


def test_all_parts_of_one_task_are_kept_together_however_large_they_are(
    cluster: FakeCluster,
) -> None:
    cluster.kill_slave(first_of(cluster))
    parts = [part(number) for number in range(1, 6)]
    add(cluster, *parts, count=3)
    assert [(verb, number) for verb, _, number in run(cluster)] == [
        ("keep", n) for n in range(1, 6)
    ]


def test_the_runner_that_replaces_a_dead_one_is_sent_the_parts_again(cluster: FakeCluster) -> None:
    cluster.kill_slave(first_of(cluster))
    (slave,) = (slave for slave in cluster.slaves.values() if slave.is_alive)
    add(cluster, part(1))
    assert run(cluster) == [("keep", slave.id, 1)]
    cluster.kill_runner(slave)
    cluster.exchange()
    add(cluster, part(1))
    assert run(cluster) == [("keep", slave.id, 1)]


def test_a_context_that_is_closed_takes_its_parts_along(cluster: FakeCluster) -> None:
    context = context_of(cluster)
    add(cluster, part(1), count=10)
    run(cluster)
    cluster.close_context(context)
    cluster.exchange()
    cluster.release_part(context, 1)
    assert cluster.last == []
    assert not any(slave.kept for slave in cluster.slaves.values())


def test_a_part_that_gets_its_number_while_tasks_wait_is_kept_from_then_on(
    cluster: FakeCluster,
) -> None:
    shared = LargePart(FakeBytes(), 0, lambda number: None)
    add(cluster, shared)
    cluster.exchange()
    shared.number = 1
    add(cluster, shared, count=10)
    assert {number for _, _, number in run(cluster)} == {1}
