"""Context.map: long and endless rows of items, results as they are read, bounded memory."""

from __future__ import annotations

import gc
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imp_parallel_core import ClosedError, Context, Manager, PicklingError, RemoteError
from tests.support.waiting import wait_until

both = pytest.mark.parametrize("map_", [Context.map, Context.map_unordered])


def double(number: int) -> int:
    return 2 * number


@both
def test_each_item_gives_its_result(two_slaves: Manager, map_: Callable[..., Any]) -> None:
    context = two_slaves.get_context()
    assert sorted(map_(context, double, range(2500))) == list(range(0, 5000, 2))


def wait_for_the_others(number: int, folder: Path, expected: int) -> int:
    """Return the number; the first of them only when so many others have ended."""
    if number == 0:
        wait_until(lambda: len(list(folder.glob("done*"))) == expected)
    else:
        (folder / f"done{number}").touch()
    return number


def test_results_are_in_the_order_of_the_items(two_slaves: Manager, tmp_path: Path) -> None:
    def slow_at_first(number: int) -> int:
        return wait_for_the_others(number, tmp_path, 9)

    context = two_slaves.get_context()
    assert list(context.map(slow_at_first, range(50), ahead=10)) == list(range(50))


def test_unordered_results_do_not_wait_for_a_slow_one(two_slaves: Manager, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    def slow_at_first(number: int) -> int:
        if number == 0:
            wait_until(gate.exists)
        return number

    context = two_slaves.get_context()
    results = []
    for result in context.map_unordered(slow_at_first, range(50)):
        results.append(result)
        if len(results) == 49:
            gate.touch()
    assert results[-1] == 0
    assert sorted(results) == list(range(50))


def test_order_is_kept_with_hardly_any_credit_and_another_map_of_the_context() -> None:
    from imp_parallel_local import LocalSlave

    with Manager(output=None, credit=2) as manager:
        for _ in range(2):
            manager.add_slave(LocalSlave())
        context = manager.get_context()
        other = context.map(double, range(40))  # its results take the credit
        assert next(other) == 0
        assert list(context.map(double, range(40))) == list(range(0, 80, 2))
        assert list(other) == list(range(2, 80, 2))


@both
def test_several_rows_are_taken_up_together_up_to_the_end_of_the_shortest(
    two_slaves: Manager, map_: Callable[..., Any]
) -> None:
    context = two_slaves.get_context()
    results = map_(context, lambda *items: items, [3, 2, 1], itertools.count(10), "abcd")
    assert sorted(results) == [(1, 12, "c"), (2, 11, "b"), (3, 10, "a")]
    assert list(map_(context, lambda *items: items, [], itertools.count())) == []


def test_items_that_belong_together_stay_together_after_a_ctrl_c(one_slave: Manager) -> None:
    class Struck(Iterator[int]):
        def __init__(self) -> None:
            self.numbers = itertools.count()
            self.strikes = [True]

        def __next__(self) -> int:
            if self.strikes:
                self.strikes.pop()
                raise KeyboardInterrupt
            return next(self.numbers)

    results = one_slave.get_context().map(lambda a, b: (a, b), range(3), Struck())
    with pytest.raises(KeyboardInterrupt):
        next(results)
    assert list(results) == [(0, 0), (1, 1), (2, 2)]


def test_of_several_rows_none_may_take_up_items_itself(one_slave: Manager) -> None:
    fed: list[Any] = []

    def nosy() -> int:
        if not fed:
            fed.append(None)
            fed.append(next(results))
        return len(fed)

    results = one_slave.get_context().map(lambda a, b: (a, b), itertools.count(), iter(nosy, 99))
    with pytest.raises(RuntimeError, match="several rows"):
        list(results)


def test_it_serves_as_the_map_of_a_sampler_and_of_an_optimizer(two_slaves: Manager) -> None:
    """As emcee calls its ``pool`` and SciPy its ``workers``: with a function, and any iterable."""

    class LogProbability:
        def __init__(self, width: float) -> None:
            self.width = width

        def __call__(self, place: tuple[float, float]) -> float:
            return -(place[0] ** 2 + place[1] ** 2) / self.width

    places = [(0.5 * number, 1.0) for number in range(20)]
    wanted = [-(a * a + b * b) / 2.0 for a, b in places]

    def sample(pool: Any) -> list[float]:
        return list(pool.map(LogProbability(2.0), (places[i] for i in range(len(places)))))

    def optimize(workers: Callable[..., Any]) -> list[float]:
        return list(workers(LogProbability(2.0), places))

    context = two_slaves.get_context()
    assert sample(context) == wanted
    assert optimize(context.map) == wanted


def test_the_values_of_the_setup_come_before_the_item(one_slave: Manager) -> None:
    context = one_slave.get_context(lambda: (10, 20))
    assert sorted(context.map(lambda a, b, item: a + b + item, [1, 2])) == [31, 32]


def test_an_endless_row_is_taken_up_no_further_than_it_may_be(two_slaves: Manager) -> None:
    taken = 0

    def numbers() -> Iterator[int]:
        nonlocal taken
        while True:
            taken += 1
            yield taken

    results = two_slaves.get_context().map(double, numbers(), ahead=7)
    for read in range(1, 101):
        assert next(results) % 2 == 0
        assert taken <= read + 7


def test_of_large_items_fewer_are_taken_up(one_slave: Manager) -> None:
    taken = read = most = 0
    size_bytes = 4 << 20

    def items() -> Iterator[bytes]:
        nonlocal taken, most
        for _ in range(40):
            taken += 1
            most = max(most, taken - read)
            yield bytes([taken]) * size_bytes

    def measure_slowly(item: bytes) -> int:
        time.sleep(0.05)
        return len(item)

    for result in one_slave.get_context().map_unordered(measure_slowly, items()):
        read += 1
        assert result == size_bytes
    assert read == 40
    assert most <= (64 << 20) // size_bytes + 1


def test_items_that_share_something_large_are_as_many_as_others(
    one_slave: Manager, tmp_path: Path
) -> None:
    shared = os.urandom(80 << 20)

    def items() -> Iterator[tuple[bytes, int]]:
        for number in range(40):
            yield shared, number
            if number == 15:
                (tmp_path / "taken").touch()

    def wait(item: tuple[bytes, int]) -> int:
        if item[1] > 0:  # it came with that one, and is counted no more when it has been read
            wait_until((tmp_path / "taken").exists)
        return item[1]

    results = one_slave.get_context().map(wait, items(), ahead=20)
    assert list(results) == list(range(40))


def test_every_slave_gets_an_item_however_large_they_are(
    two_slaves: Manager, tmp_path: Path
) -> None:
    def meet(item: bytes) -> int:
        (tmp_path / str(os.getpid())).touch()
        wait_until(lambda: len(list(tmp_path.glob("[0-9]*"))) == 2)
        return len(item)

    size_bytes = 65 << 20
    results = two_slaves.get_context().map_unordered(meet, (bytes(size_bytes) for _ in range(2)))
    assert list(results) == [size_bytes] * 2


def test_no_item_is_taken_up_before_the_first_result_is_asked_for(one_slave: Manager) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        taken.append(1)
        yield 1

    results = one_slave.get_context().map(double, items())
    assert not taken
    assert list(results) == [2]


def test_a_result_does_not_wait_for_a_slow_row_of_items(one_slave: Manager) -> None:
    go_on = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        for _ in range(1000):
            time.sleep(0.01)
            yield 2
        go_on.wait(30)

    results = one_slave.get_context().map(double, items(), ahead=10_000)
    assert next(results) == 2
    go_on.set()
    results.close()


def test_results_that_have_come_do_not_wait_for_the_row(one_slave: Manager) -> None:
    asked = 0

    def items() -> Iterator[int]:
        nonlocal asked
        for number in itertools.count():
            asked += 1
            if number == 3:  # let the results of the others come before this one
                wait_until(lambda: one_slave.slaves[0].tasks_done == 3)
            yield number

    results = one_slave.get_context().map(int, items())
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert asked <= 4
    results.close()


@both
def test_a_row_may_be_fed_from_the_results(one_slave: Manager, map_: Callable[..., Any]) -> None:
    fed = [1]
    row = iter(lambda: fed.pop() if fed else None, None)
    for result in map_(one_slave.get_context(), double, row, ahead=1):
        if result < 100:
            fed.append(result)
    assert result == 128


def test_what_the_row_raises_comes_behind_the_results_of_the_items_before(
    two_slaves: Manager,
) -> None:
    def items() -> Iterator[int]:
        yield from range(5)
        raise LookupError("no more")

    results = two_slaves.get_context().map(double, items())
    assert sorted(itertools.islice(results, 5)) == [0, 2, 4, 6, 8]
    with pytest.raises(LookupError, match="no more"):
        next(results)
    assert list(results) == []


@both
def test_after_the_error_of_a_task_the_others_can_be_read(
    two_slaves: Manager, map_: Callable[..., Any]
) -> None:
    results = map_(two_slaves.get_context(), lambda n: 1 // n, [1, 0, -1])
    found: list[object] = []
    while len(found) < 3:
        try:
            found.append(next(results))
        except RemoteError as error:
            found.append(type(error.exc))
    with pytest.raises(StopIteration):
        next(results)
    if map_ is Context.map_unordered:
        found.sort(key=str)
        assert found == [-1, 1, ZeroDivisionError]
    else:
        assert found == [1, ZeroDivisionError, -1]


def test_errors_are_results_if_that_is_asked_for(one_slave: Manager) -> None:
    context = one_slave.get_context()
    first, second = context.map(lambda n: 1 // n, [0, 1], on_error="return")
    assert isinstance(first, RemoteError)
    assert second == 1


def test_an_item_that_can_not_be_pickled_is_said_and_the_next_may_be(one_slave: Manager) -> None:
    results = one_slave.get_context().map(type, [1, threading.Lock(), 2])
    found, errors = [], []
    while True:
        try:
            found.append(next(results))
        except PicklingError as error:
            errors.append(error.culprit)
        except StopIteration:
            break
    assert found == [int, int]
    assert len(errors) == 1


def test_bad_arguments_are_refused_at_once(one_slave: Manager) -> None:
    context = one_slave.get_context()
    with pytest.raises(TypeError, match="callable"):
        context.map(3, [])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not iterable"):
        context.map(double, 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="at least one iterable"):
        context.map(double)
    with pytest.raises(ValueError, match="ahead"):
        context.map(double, [], ahead=0)
    with pytest.raises(ValueError, match="on_error"):
        context.map(double, [], on_error="ignore")  # type: ignore[arg-type]
    context.close()
    with pytest.raises(ClosedError):
        context.map(double, [])


def test_it_yields_its_own_results_and_leaves_the_others(two_slaves: Manager) -> None:
    context = two_slaves.get_context()
    for number in range(100, 110):
        context.add_task(double, number)
    mapped = context.map_unordered(double, range(10))
    other = context.map(double, range(1000, 1010))
    assert next(other) == 2000
    assert sorted(mapped) == list(range(0, 20, 2))
    assert list(context.get_results()) == list(range(200, 220, 2))
    assert list(other) == list(range(2002, 2020, 2))
    context.add_task(double, 1)
    assert list(context.get_results_unordered()) == [2]


def test_threads_that_share_an_iteration_share_its_row(two_slaves: Manager) -> None:
    def items() -> Iterator[int]:
        for number in range(200):
            time.sleep(0.001)  # others come meanwhile
            yield number

    mapped = two_slaves.get_context().map_unordered(double, items())
    found: list[int] = []
    ended = []

    def read() -> None:
        for result in mapped:
            found.append(result)
        ended.append(True)

    threads = [threading.Thread(target=read, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(found) == list(range(0, 400, 2))
    assert len(ended) == 4


@pytest.mark.parametrize("how", ["close", "drop"])
def test_an_iteration_that_is_given_up_frees_the_slaves(
    one_slave: Manager, how: str, tmp_path: Path
) -> None:
    def leave_a_mark(number: int) -> int:
        (tmp_path / str(number)).touch()
        time.sleep(0.05)
        return number

    context = one_slave.get_context()
    results = context.map(leave_a_mark, itertools.count(), ahead=500)
    next(results)
    if how == "close":
        results.close()
    else:
        del results
        gc.collect()
    context.add_task(os.getpid)
    (pid,) = context.get_results()
    assert pid == one_slave.slaves[0].runner_pid  # it was not killed for it
    assert len(list(tmp_path.iterdir())) < 50


def test_closing_ends_an_iteration_for_good(one_slave: Manager) -> None:
    results = one_slave.get_context().map(double, itertools.count())
    next(results)
    results.close()
    results.close()
    assert list(results) == []


def test_closing_ends_an_iteration_that_waits_in_another_thread(one_slave: Manager) -> None:
    results = one_slave.get_context().map(time.sleep, [30], ahead=1)
    found: list[list[None]] = []
    thread = threading.Thread(target=lambda: found.append(list(results)), daemon=True)
    thread.start()
    wait_until(lambda: one_slave.slaves[0].state == "working")
    results.close()
    thread.join(20)
    assert found == [[]]


def test_results_that_nobody_reads_any_more_take_no_credit() -> None:
    from imp_parallel_local import LocalSlave

    with Manager(output=None, credit=20) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        for _ in range(4):
            results = context.map(double, range(1000), ahead=100)
            next(results)
            wait_until(lambda: manager.slaves[0].state == "idle")
            results.close()
        assert sorted(context.map(double, range(50))) == list(range(0, 100, 2))


def test_the_death_of_a_runner_in_the_midst_costs_no_result(two_slaves: Manager) -> None:
    context = two_slaves.get_context()
    found = []
    for result in context.map(double, range(3000), ahead=200):
        found.append(result)
        if len(found) == 500:
            pid = two_slaves.slaves[0].runner_pid
            assert pid is not None
            os.kill(pid, 9)
    assert sorted(found) == list(range(0, 6000, 2))
