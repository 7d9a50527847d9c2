"""The whole story on real processes: tasks spread over slaves, results as they complete."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import Manager
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("traced_slaves")


class Meeting:
    """A task that ends only when as many as are expected run at the same time."""

    def __init__(self, folder: Path, expected: int) -> None:
        self.folder = folder
        self.expected = expected

    def __call__(self) -> int:
        (self.folder / str(os.getpid())).touch()
        deadline = time.monotonic() + 20
        while len(list(self.folder.iterdir())) < self.expected:
            if time.monotonic() > deadline:
                raise TimeoutError("the others did not come")
            time.sleep(0.005)
        return os.getpid()


def test_ten_tasks_on_two_slaves_give_ten_results(two_slaves: Manager) -> None:
    context = two_slaves.get_context()
    for number in range(10):
        context.add_task(lambda number=number: number**2)
    assert sorted(context.get_results_unordered()) == [n**2 for n in range(10)]


def test_both_slaves_work_at_the_same_time(two_slaves: Manager, tmp_path: Path) -> None:
    folder = tmp_path / "meeting"
    folder.mkdir()
    context = two_slaves.get_context()
    for _ in range(2):
        context.add_task(Meeting(folder, 2))
    assert len(set(context.get_results_unordered())) == 2


def test_a_slave_runs_one_task_at_a_time(one_slave: Manager, tmp_path: Path) -> None:
    def overlap() -> bool:
        flag = tmp_path / "busy"
        if flag.exists():
            return True
        flag.touch()
        time.sleep(0.01)
        flag.unlink()
        return False

    context = one_slave.get_context()
    for _ in range(20):
        context.add_task(overlap)
    assert not any(context.get_results_unordered())


def test_a_setup_runs_once_on_each_slave_and_its_values_are_passed(
    two_slaves: Manager, tmp_path: Path
) -> None:
    log, folder = tmp_path / "log", tmp_path / "meeting"
    folder.mkdir()

    def setup() -> tuple[int, str]:
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return os.getpid(), "model"

    meeting = Meeting(folder, 2)

    def task(pid: int, model: str, extra: int) -> tuple[bool, str, int]:
        meeting()
        return pid == os.getpid(), model, extra

    context = two_slaves.get_context(setup)
    for _ in range(10):
        context.add_task(task, 5)
    assert list(context.get_results_unordered()) == [(True, "model", 5)] * 10
    assert len(log.read_text().split()) == len(set(log.read_text().split())) == 2


@pytest.mark.parametrize(
    ("returned", "arguments"),
    [
        (None, ()),
        ((), ()),
        (3, (3,)),
        ((1, 2), (1, 2)),
        ([], ()),
        ([1, 2], (1, 2)),
        (([1, 2],), ([1, 2],)),
        ({1: 2}, ({1: 2},)),
        ("ab", ("ab",)),
        (((1, 2),), ((1, 2),)),
    ],
)
def test_a_tuple_or_a_list_is_spread_none_is_no_argument_and_anything_else_is_one(
    one_slave: Manager, returned: object, arguments: object
) -> None:
    context = one_slave.get_context(lambda: returned)
    context.add_task(lambda *args: args)
    assert list(context.get_results_unordered()) == [arguments]


def test_the_values_of_a_setup_need_not_be_picklable(one_slave: Manager) -> None:
    context = one_slave.get_context(lambda: (threading.Lock(), sys.stdout))
    context.add_task(lambda lock, file: (lock.acquire(timeout=1), file.writable()))
    assert list(context.get_results_unordered()) == [(True, True)]


def test_new_tasks_can_be_started_from_results(two_slaves: Manager) -> None:
    context = two_slaves.get_context()
    context.add_task(lambda: 1)
    results = []
    for result in context.get_results_unordered():
        results.append(result)
        if result < 20:
            context.add_task(lambda n=result: n + 1)
    assert results == list(range(1, 21))


def test_results_come_as_they_complete_a_slow_one_last(two_slaves: Manager, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def slow() -> str:
        wait_until(gate.exists, 30.0)
        return "slow"

    context = two_slaves.get_context()
    context.add_task(slow)
    for number in range(5):
        context.add_task(lambda number=number: number)
    results = []
    for result in context.get_results_unordered():
        results.append(result)
        if len(results) == 5:
            gate.touch()
    assert sorted(results[:5]) == list(range(5))
    assert results[5] == "slow"


def test_work_goes_on_while_the_loop_body_is_busy(two_slaves: Manager, tmp_path: Path) -> None:
    def leave_a_mark(number: int) -> None:
        (tmp_path / f"mark{number}").touch()

    context = two_slaves.get_context()
    for number in range(30):
        context.add_task(leave_a_mark, number)
    results = context.get_results_unordered()
    next(results)
    # the loop body: reads nothing until all have run
    wait_until(lambda: len(list(tmp_path.glob("mark*"))) == 30)
    assert len(list(results)) == 29


def test_slaves_start_while_the_script_prepares_its_tasks(one_slave: Manager) -> None:
    wait_until(lambda: one_slave.slaves[0].state == "idle")


def test_a_slave_may_be_added_while_results_are_read(one_slave: Manager, tmp_path: Path) -> None:
    folder = tmp_path / "meeting"
    folder.mkdir()
    context = one_slave.get_context()
    context.add_task(os.getpid)
    for _ in range(2):
        context.add_task(Meeting(folder, 2))
    results = context.get_results_unordered()
    next(results)
    one_slave.add_slave(LocalSlave())
    assert len(set(results)) == 2


def test_several_contexts_are_iterated_inside_each_other(one_slave: Manager) -> None:
    outer = one_slave.get_context(lambda: "outer")
    inner = one_slave.get_context(lambda: "inner")
    for number in range(5):
        outer.add_task(lambda name, number=number: (name, number))
    seen = []
    for name, number in outer.get_results_unordered():
        inner.add_task(lambda name, number=number: (name, number))
        seen.append((name, number, *inner.get_results_unordered()))
    assert sorted(seen) == [("outer", n, ("inner", n)) for n in range(5)]


def test_several_threads_share_the_results_of_a_context(two_slaves: Manager) -> None:
    context = two_slaves.get_context()
    for number in range(200):
        context.add_task(lambda number=number: number)
    parts: list[list[int]] = [[], [], []]
    threads = [
        threading.Thread(target=lambda part=part: part.extend(context.get_results_unordered()))
        for part in parts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(n for part in parts for n in part) == list(range(200))


def test_contexts_in_several_threads_go_on_at_once(two_slaves: Manager) -> None:
    totals = {}

    def use(number: int) -> None:
        context = two_slaves.get_context(lambda: number)
        for _ in range(20):
            context.add_task(lambda value: value)
        totals[number] = sum(context.get_results_unordered())

    threads = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert totals == {number: 20 * number for number in range(4)}


def test_get_results_keeps_the_order_of_adding(two_slaves: Manager) -> None:
    context = two_slaves.get_context()
    for number in range(60):
        context.add_task(lambda number=number: time.sleep(0.002 * (number % 3)) or number)  # type: ignore[func-returns-value]  # it returns None
    assert list(context.get_results()) == list(range(60))
    context.add_task(lambda: "more")
    assert list(context.get_results()) == ["more"]


def test_results_can_be_read_again_after_they_were_exhausted(one_slave: Manager) -> None:
    context = one_slave.get_context()
    assert list(context.get_results_unordered()) == []
    context.add_task(lambda: 1)
    assert list(context.get_results_unordered()) == [1]
    assert list(context.get_results_unordered()) == []
    context.add_task(lambda: 2)
    assert list(context.get_results_unordered()) == [2]


def test_an_abandoned_iteration_loses_nothing(one_slave: Manager) -> None:
    context = one_slave.get_context()
    for number in range(10):
        context.add_task(lambda number=number: number)
    first = next(context.get_results_unordered())
    assert sorted([first, *context.get_results_unordered()]) == list(range(10))


def test_manager_slaves_says_what_each_is_doing(one_slave: Manager, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def wait() -> int:
        wait_until(gate.exists, 30.0)
        return os.getpid()

    context = one_slave.get_context()
    context.add_task(wait)
    wait_until(lambda: one_slave.slaves[0].state == "working")
    (busy,) = one_slave.slaves
    assert (busy.task, busy.tasks_done, busy.index) == (0, 0, 0)
    assert busy.host == os.uname().nodename
    assert "working" in str(busy)
    gate.touch()
    assert list(context.get_results_unordered()) == [busy.runner_pid]
    assert busy.pid != busy.runner_pid
    (idle,) = one_slave.slaves
    assert (idle.state, idle.tasks_done, idle.task) == ("idle", 1, None)


def test_reprs_are_readable(one_slave: Manager) -> None:
    context = one_slave.get_context()
    assert repr(context) == "<Context 1: no tasks>"
    assert one_slave.slaves[0].description == "LocalSlave()"


def test_the_output_of_each_slave_goes_to_its_file(one_slave: Manager, tmp_path: Path) -> None:
    context = one_slave.get_context()
    context.add_task(lambda: print("hello from the task"))
    list(context.get_results_unordered())
    assert "hello from the task" in (tmp_path / "slave0.output").read_text()


def test_large_values_travel_both_ways(one_slave: Manager) -> None:
    context = one_slave.get_context()
    block = os.urandom(5_000_000)
    context.add_task(lambda data: data[::-1], block)
    assert list(context.get_results_unordered()) == [block[::-1]]


def test_arrays_travel_out_of_band_and_can_be_written_to(one_slave: Manager) -> None:
    numpy = pytest.importorskip("numpy")

    def double(array):  # type: ignore[no-untyped-def]
        array *= 2
        return array

    context = one_slave.get_context()
    array = numpy.arange(200_000.0)
    context.add_task(double, array)
    array[:] = 0.0  # what was added is what was there then
    (result,) = context.get_results_unordered()
    assert (result == numpy.arange(200_000.0) * 2).all()
    result += 1
