"""Tasks that the user drops while the context goes on."""

from __future__ import annotations

from imp_parallel_core._scheduler.actions import Deliver, EndAttempt, SendSetup, SendTasks, TakeBack
from imp_parallel_core._scheduler.scheduler import Scheduler
from imp_parallel_core._scheduler.tasks import Ended, Outcome, OutcomeKind, Task

from .model import unstarted


def scheduler_with_short_tasks(count: int) -> tuple[Scheduler, list[tuple[int, Task]]]:
    """Return a scheduler, and what it has sent to its one slave after a first short task."""
    scheduler = Scheduler()
    scheduler.context_opened(1)
    scheduler.slave_added(1)
    scheduler.runner_ready(1, 0.0)
    (setup,) = scheduler.tasks_added([Task(1, (b"",), id=id) for id in range(count)], 0.0)
    assert isinstance(setup, SendSetup)
    (first,) = scheduler.item_ended(1, setup.item, value(), 0.0, 0.0)
    assert isinstance(first, SendTasks)
    _, sent = scheduler.item_ended(1, first.tasks[0][0], value(), 0.0001, 0.0)
    assert isinstance(sent, SendTasks)
    return scheduler, sent.tasks


def value() -> Outcome:
    return Outcome(OutcomeKind.VALUE, (b"",), 1)


def test_what_has_not_begun_is_taken_back_and_what_runs_is_not_ended() -> None:
    scheduler, sent = scheduler_with_short_tasks(500)
    actions = scheduler.tasks_forgotten(1, lambda task: True, 0.0)
    assert actions == [TakeBack(1)]
    assert unstarted(scheduler) == 0
    (running, _), *others = sent
    assert scheduler.items_returned(1, [item for item, _ in others], 0.0) == []
    assert scheduler.item_ended(1, running, value(), 0.1, 0.0) == []
    assert scheduler.has_idle_slaves
    assert scheduler.unfinished_tasks() == 0


def test_the_others_go_on() -> None:
    scheduler, sent = scheduler_with_short_tasks(500)
    scheduler.tasks_forgotten(1, lambda task: task.id % 2 == 1, 0.0)
    returned = [item for item, _ in sent[1:]]
    (again,) = scheduler.items_returned(1, returned, 0.0)
    assert isinstance(again, SendTasks)
    assert all(task.id % 2 == 0 for _, task in again.tasks)
    assert {task for _, task in sent[1:] if task.id % 2 == 0} <= {task for _, task in again.tasks}
    delivered = scheduler.items_ended(
        1, Ended.of(*((item, value(), 0.0001) for item, _ in (sent[0], *again.tasks))), 0.0
    )
    ids = [action.task.id for action in delivered if isinstance(action, Deliver)]
    assert ids[-len(again.tasks) :] == [task.id for _, task in again.tasks]


def test_a_forgotten_task_whose_runner_dies_is_not_tried_again() -> None:
    scheduler, sent = scheduler_with_short_tasks(10)
    scheduler.tasks_forgotten(1, lambda task: True, 0.0)
    actions = scheduler.runner_lost(1, sent[0][0], "died", 0.0)
    assert not any(isinstance(action, (Deliver, SendTasks, EndAttempt)) for action in actions)
    assert scheduler.runner_ready(1, 0.0) == []
    assert scheduler.unfinished_tasks() == 0


def test_a_forgotten_task_of_a_suspected_slave_is_not_begun_elsewhere() -> None:
    scheduler, _ = scheduler_with_short_tasks(10)
    scheduler.slave_suspected(1, 0.0)
    scheduler.tasks_forgotten(1, lambda task: True, 0.0)
    scheduler.slave_added(2)
    assert scheduler.runner_ready(2, 0.0) == []
    assert scheduler.slave_heard(1, 0.0) == [TakeBack(1)]
