"""What the scheduler sends in one go travels in as few messages as can be."""

from __future__ import annotations

from imp_parallel_core._engine.performer import _alike
from imp_parallel_core._scheduler.tasks import Task
from imp_parallel_core._wire.protocol import SEGMENT_COUNT_LIMIT


def task(segments: int = 1, bundle: int = 0) -> Task:
    return Task(1, [b""] * segments, bundle=bundle)


def test_tasks_that_need_the_same_definitions_travel_in_one_message() -> None:
    tasks = [task(), task(), task(bundle=1), task(bundle=1), task(bundle=2)]
    assert list(_alike(tasks)) == [(0, 2), (2, 4), (4, 5)]


def test_tasks_that_refer_to_many_large_parts_travel_in_several_messages() -> None:
    # what a slave keeps already costs nothing to refer to, so that up to 1,024 such tasks are sent
    tasks = [task(segments=101) for _ in range(1024)]
    spans = list(_alike(tasks))
    assert [begin for begin, _ in spans[1:]] == [end for _, end in spans[:-1]]
    assert (spans[0][0], spans[-1][1]) == (0, 1024)
    counts = [sum(len(one.payload) for one in tasks[begin:end]) for begin, end in spans]
    assert max(counts) <= SEGMENT_COUNT_LIMIT
    assert len(counts) == 13
