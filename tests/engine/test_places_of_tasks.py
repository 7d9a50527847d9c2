"""The performer tells at a glance whether the numbers of fresh tasks follow each other."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from imp_parallel_core._engine.performer import _follow_each_other, _places_of
from imp_parallel_core._scheduler.tasks import Task


class NumberedInbox:
    """Counts its tasks."""

    def __init__(self, map: int) -> None:
        self.map = map
        self.tasks = 0


# (of which inbox it is, whether it has been forgotten before it was sent)
ADDED = st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=12)


@example([(0, False), (1, False), (0, False)])
@example([(0, True), (1, False), (0, False)])  # number 0 of one map, then number 1 of another
@example([(0, False), (0, True), (1, False), (0, False)])
@given(ADDED)
def test_tasks_are_told_apart_whose_numbers_do_not_follow_each_other(
    added: list[tuple[int, bool]],
) -> None:
    inboxes = [NumberedInbox(map) for map in range(3)]
    tasks = []
    for id, (which, is_forgotten) in enumerate(added):
        inbox = inboxes[which]
        task = Task(1, [b""], id=id, inbox=inbox)
        task.number = inbox.tasks
        task.slaves = (0,)
        inbox.tasks += 1
        if not is_forgotten:
            tasks.append(task)
    if not tasks:
        return
    first = tasks[0]
    expected = [(first.inbox.map, first.number + at, 1) for at in range(len(tasks))]
    follow = _follow_each_other(first, tasks[-1], len(tasks))
    if follow:
        assert _places_of(tasks) == expected
    elif len({task.inbox for task in tasks}) == 1:  # those of a map that runs alone
        assert _places_of(tasks) != expected or any(which for which, _ in added)
