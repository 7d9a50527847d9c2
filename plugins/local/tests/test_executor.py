"""An executor does what ``concurrent.futures`` says of executors, on slaves."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import os
import signal
import sys
import threading
import time
import traceback
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import (
    ALL_COMPLETED,
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    CancelledError,
    Future,
    as_completed,
    wait,
)
from pathlib import Path
from typing import Any

import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import (
    ClosedError,
    Manager,
    NoMoreSlavesError,
    PicklingError,
    RemoteError,
    SetupError,
    TaskLostError,
    TooManyFailuresError,
)
from imp_parallel_core._api.executor import Executor
from tests.support.runners import compute_for_ever
from tests.support.waiting import wait_until

LIMIT_S = 50.0  # much more than anything here takes


class OfModel(Exception):
    """An exception of the user's."""


def wait_for(gate: Path) -> str:
    """Return when a file is there."""
    wait_until(gate.exists, 60.0)
    return "waited"


def see(*args: Any, **keywords: Any) -> Any:
    """Return how this was called."""
    return args, keywords


@pytest.fixture
def executor(two_slaves: Manager) -> Iterator[Executor]:
    with two_slaves.get_executor() as made:
        yield made


# ---- submit, and the results of futures


def test_submit_returns_a_future_of_concurrent_futures_with_the_result(executor: Executor) -> None:
    future = executor.submit(pow, 2, 8)
    assert isinstance(executor, concurrent.futures.Executor)
    assert isinstance(future, Future)
    assert future.result(LIMIT_S) == 256
    assert future.done()
    assert not future.running()
    assert not future.cancelled()
    assert future.exception(LIMIT_S) is None


def test_the_values_of_the_setup_come_first_and_keywords_are_passed_on(
    two_slaves: Manager, tmp_path: Path
) -> None:
    def setup() -> tuple[str, str]:
        with (tmp_path / "log").open("a") as log:
            log.write("set up\n")
        return "from", "setup"

    with two_slaves.get_executor(setup) as executor:
        futures = [executor.submit(see, n, fn=n, self=2) for n in range(50)]
        for n, future in enumerate(futures):
            assert future.result(LIMIT_S) == (("from", "setup", n), {"fn": n, "self": 2})
    assert (tmp_path / "log").read_text().count("set up") <= 2


def test_an_exception_arrives_as_itself_and_tells_where_it_was_raised(executor: Executor) -> None:
    def fail(what: str) -> None:
        raise OfModel(what)

    error = executor.submit(fail, "no convergence").exception(LIMIT_S)
    assert type(error) is OfModel
    assert error.args == ("no convergence",)
    cause = error.__cause__
    assert isinstance(cause, RemoteError)
    assert cause.slave.startswith("slave ")
    assert cause.args_of_task == ("'no convergence'",)
    shown = "".join(traceback.format_exception(error))
    assert "in fail" in shown, "the traceback on the slave is missing"
    assert "direct cause" in shown


def test_an_exception_with_a_cause_of_its_own_keeps_it(executor: Executor) -> None:
    def fail() -> None:
        try:
            int("x")
        except ValueError as problem:
            raise OfModel("bad input") from problem

    error = executor.submit(fail).exception(LIMIT_S)
    assert type(error) is OfModel
    shown = "".join(traceback.format_exception(error))
    assert "raised by task 0 on slave" in shown
    assert "invalid literal for int()" in shown


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
def test_an_exception_that_is_no_exception_does_not_end_the_executor(
    executor: Executor, kind: type[BaseException]
) -> None:
    def fail() -> None:
        raise kind

    assert type(executor.submit(fail).exception(LIMIT_S)) is kind
    assert executor.submit(abs, -1).result(LIMIT_S) == 1


def test_what_is_no_exception_of_the_call_is_an_error_of_the_library(two_slaves: Manager) -> None:
    with two_slaves.get_executor(max_attempts=2) as executor:
        lost = executor.submit(os._exit, 3).exception(LIMIT_S)
        assert isinstance(lost, TaskLostError)
        assert len(lost.attempts) == 2
    with two_slaves.get_executor(lambda: int("x")) as executor:
        futures = [executor.submit(abs) for _ in range(3)]
        assert [type(future.exception(LIMIT_S)) for future in futures] == [SetupError] * 3
    with two_slaves.get_executor(task_timeout_s=0.2, max_attempts=1) as executor:
        late = executor.submit(time.sleep, 60).exception(LIMIT_S)
        assert isinstance(late, TaskLostError)
        assert "overran its time limit" in str(late)


def test_what_can_not_be_submitted_is_refused_by_submit(executor: Executor) -> None:
    with pytest.raises(PicklingError):
        executor.submit(see, threading.Lock())
    with pytest.raises(TypeError, match="callable"):
        executor.submit(7)  # type: ignore[arg-type]  # what is tested
    assert executor.submit(abs, -1).result(LIMIT_S) == 1


def test_a_result_may_be_waited_for_for_a_time(executor: Executor, tmp_path: Path) -> None:
    future = executor.submit(wait_for, tmp_path / "gate")
    with pytest.raises(TimeoutError):
        future.result(0.01)
    (tmp_path / "gate").touch()
    assert future.result(LIMIT_S) == "waited"


def test_callbacks_are_called_once_with_the_future_also_if_one_of_them_raises(
    executor: Executor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    called: list[Any] = []

    def end(future: Future[Any]) -> None:
        raise SystemExit("no")

    future = executor.submit(wait_for, tmp_path / "gate")
    future.add_done_callback(called.append)
    other = executor.submit(wait_for, tmp_path / "gate")
    other.add_done_callback(end)
    (tmp_path / "gate").touch()
    wait([future, other], LIMIT_S)
    assert executor.submit(abs, -1).result(LIMIT_S) == 1
    future.add_done_callback(called.append)
    assert called == [future, future]


# ---- several futures


def test_as_completed_and_wait_take_these_futures(executor: Executor, tmp_path: Path) -> None:
    slow: Future[Any] = executor.submit(wait_for, tmp_path / "gate")
    fast: list[Future[Any]] = [executor.submit(abs, -n) for n in range(20)]
    done = as_completed([slow, *fast], LIMIT_S)
    assert sorted(next(done).result() for _ in range(20)) == list(range(20))
    assert wait([slow, *fast], LIMIT_S, FIRST_COMPLETED).done == set(fast)
    failed: Future[Any] = executor.submit(int, "x")
    first = wait([slow, failed], LIMIT_S, FIRST_EXCEPTION)
    assert (first.done, first.not_done) == ({failed}, {slow})
    (tmp_path / "gate").touch()
    assert next(done) is slow
    assert wait([slow, *fast, failed], LIMIT_S, ALL_COMPLETED).not_done == set()


def test_ten_thousand_futures_all_get_their_results(executor: Executor) -> None:
    futures = {executor.submit(abs, -n): n for n in range(10_000)}
    for future in as_completed(futures, LIMIT_S):
        assert future.result() == futures[future]


def test_threads_may_submit_and_cancel_at_once(executor: Executor) -> None:
    ends: list[str] = []

    def use(first: int) -> None:
        futures = [executor.submit(abs, -n) for n in range(first, first + 300)]
        for n, future in enumerate(futures, first):
            if n % 3 == 0 and future.cancel():
                assert future.cancelled()
                ends.append("cancelled")
            else:
                assert future.result(LIMIT_S) == n
                ends.append("done")

    threads = [threading.Thread(target=use, args=(n * 300,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert len(ends) == 1200


# ---- map


def test_map_is_the_builtin_map_with_results_in_order(executor: Executor) -> None:
    assert list(executor.map(pow, range(10), range(5))) == list(map(pow, range(10), range(5)))
    assert list(executor.map(abs, [], timeout=1)) == []
    results = executor.map(int, ["1", "x", "3"])
    assert next(results) == 1
    with pytest.raises(ValueError, match="'x'"):
        next(results)
    with pytest.raises(StopIteration):
        next(results)


def test_map_takes_all_items_at_once_or_as_many_as_its_buffer_holds(executor: Executor) -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for n in range(10**9):
            taken.append(n)
            yield n

    results = executor.map(abs, items(), buffersize=5)
    assert taken == [0, 1, 2, 3, 4]
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    assert len(taken) == 8
    taken.clear()
    executor.map(abs, (taken.append(n) or n for n in range(7)))  # type: ignore[func-returns-value]  # it returns None
    assert len(taken) == 7


def test_map_waits_for_a_time_and_cancels_what_it_has_not_yielded(
    two_slaves: Manager, executor: Executor, tmp_path: Path
) -> None:
    def task(n: int) -> int:
        return n if n < 2 else compute_for_ever(tmp_path / f"mark{n}")

    with pytest.raises(TimeoutError):
        list(executor.map(task, range(5), timeout=0.01))
    results = executor.map(task, range(50))
    assert [next(results), next(results)] == [0, 1]
    del results
    assert list(executor.map(abs, range(50))) == list(range(50)), "slaves are at abandoned calls"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"chunksize": 0}, ValueError),
        ({"buffersize": 0}, ValueError),
        ({"buffersize": 1.5}, TypeError),
    ],
)
def test_map_refuses_what_makes_no_sense(
    executor: Executor, options: Any, problem: type[Exception]
) -> None:
    with pytest.raises(problem, match=next(iter(options))):
        executor.map(abs, [1], **options)


# ---- cancelling


def test_a_call_that_waits_is_cancelled_and_never_begins(
    executor: Executor, tmp_path: Path
) -> None:
    running = [executor.submit(wait_for, tmp_path / "gate") for _ in range(2)]
    waiting = executor.submit((tmp_path / "mark").touch)
    wait_until(lambda: all(future.running() for future in running))
    assert not waiting.running()
    assert waiting.cancel()
    assert waiting.cancelled()
    assert waiting.done()
    assert waiting.cancel()
    with pytest.raises(CancelledError):
        waiting.result(LIMIT_S)
    assert wait([waiting], LIMIT_S).done == {waiting}
    assert list(as_completed([waiting], LIMIT_S)) == [waiting]
    (tmp_path / "gate").touch()
    assert [future.result(LIMIT_S) for future in running] == ["waited"] * 2
    assert not running[0].cancel()
    assert not (tmp_path / "mark").exists()


def test_a_call_that_runs_is_ended_and_its_slave_goes_on(
    one_slave: Manager, tmp_path: Path
) -> None:
    with one_slave.get_executor() as executor:
        future = executor.submit(compute_for_ever, tmp_path / "mark")
        others = [executor.submit(abs, -n) for n in range(20)]
        wait_until((tmp_path / "mark").exists, 30.0)
        assert future.running()
        called: list[Any] = []
        future.add_done_callback(called.append)
        assert future.cancel()
        assert future.cancelled()
        assert not future.running()
        assert called == [future]
        assert [other.result(LIMIT_S) for other in others] == list(range(20))


# ---- the end


@pytest.mark.parametrize("how", ["cancel", "shutdown"])
def test_a_ctrl_c_while_calls_are_cancelled_strikes_when_they_are(
    executor: Executor, tmp_path: Path, how: str
) -> None:
    futures = [executor.submit(wait_for, tmp_path / "gate") for _ in range(6)]
    futures[-1].add_done_callback(lambda future: signal.raise_signal(signal.SIGINT))
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            futures[-1].cancel() if how == "cancel" else executor.shutdown(cancel_futures=True)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, previous)
    (tmp_path / "gate").touch()
    assert wait(futures, LIMIT_S).not_done == set()
    assert futures[-1].cancelled()


def test_after_its_shutdown_an_executor_takes_no_calls_and_ends_those_it_has(
    two_slaves: Manager,
) -> None:
    executor = two_slaves.get_executor()
    futures = [executor.submit(abs, -n) for n in range(50)]
    executor.shutdown()
    assert all(future.done() for future in futures)
    for submit in (lambda: executor.submit(abs, 1), lambda: executor.map(abs, [1])):
        with pytest.raises(RuntimeError, match="shut down"):
            submit()
    executor.shutdown()
    unused = two_slaves.get_executor()
    unused.shutdown()
    with pytest.raises(RuntimeError):
        unused.submit(abs, 1)


def test_a_shutdown_that_does_not_wait_lets_calls_end(two_slaves: Manager, tmp_path: Path) -> None:
    executor = two_slaves.get_executor()
    future = executor.submit(wait_for, tmp_path / "gate")
    executor.shutdown(wait=False)
    assert not future.done()
    (tmp_path / "gate").touch()
    assert future.result(LIMIT_S) == "waited"


def test_a_shutdown_may_cancel_what_has_not_begun(one_slave: Manager, tmp_path: Path) -> None:
    executor = one_slave.get_executor()
    running = executor.submit(wait_for, tmp_path / "gate")
    waiting = [executor.submit((tmp_path / "mark").touch) for _ in range(1000)]
    wait_until(running.running)
    executor.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in waiting)
    assert not running.done()
    (tmp_path / "gate").touch()
    executor.shutdown()
    assert running.result() == "waited"
    assert not (tmp_path / "mark").exists()


def test_an_executor_that_nobody_refers_to_ends_when_its_calls_have(
    two_slaves: Manager, tmp_path: Path
) -> None:
    executor = two_slaves.get_executor()
    future = executor.submit(wait_for, tmp_path / "gate")
    del executor
    gc.collect()
    (tmp_path / "gate").touch()
    assert future.result(LIMIT_S) == "waited"
    wait_until(lambda: "imp_parallel futures" not in [t.name for t in threading.enumerate()])


def test_futures_that_are_dropped_leave_nothing_behind(executor: Executor) -> None:
    class Result:
        pass

    class Failure(Exception):
        pass

    def fail() -> None:
        raise Failure

    futures: list[Future[Any]] = [executor.submit(Result) for _ in range(50)]
    futures += [executor.submit(fail) for _ in range(2)]
    wait(futures, LIMIT_S)
    left: list[weakref.ref[Any]] = [weakref.ref(future) for future in futures]
    left += [weakref.ref(future.result()) for future in futures[:50]]
    futures.clear()
    executor.submit(abs, 1).result(LIMIT_S)  # the thread is at something else now
    gc.collect()
    assert [ref for ref in left if ref() is not None] == []
    assert not executor._pending._futures


def test_of_many_futures_that_are_dropped_no_memory_is_left(executor: Executor) -> None:
    count = 30_000
    wait([executor.submit(abs, -n) for n in range(100)], LIMIT_S)  # what is made once has been made
    gc.collect()
    before = sys.getallocatedblocks()
    futures = [executor.submit(abs, -n) for n in range(count)]
    wait(futures, LIMIT_S)
    assert sys.getallocatedblocks() - before > count
    futures.clear()
    executor.submit(abs, 1).result(LIMIT_S)  # the thread is at something else now
    gc.collect()
    assert sys.getallocatedblocks() - before < count // 10


def test_when_no_slave_is_left_futures_say_so_and_slaves_that_are_added_work(
    manager: Manager, tmp_path: Path
) -> None:
    with manager.get_executor() as executor:
        never = executor.submit((tmp_path / "mark").touch)
        assert isinstance(never.exception(LIMIT_S), NoMoreSlavesError)
        manager.add_slave(LocalSlave())
        assert executor.submit(abs, -2).result(LIMIT_S) == 2
        assert not (tmp_path / "mark").exists()


def test_when_the_manager_is_closed_futures_say_so(two_slaves: Manager, tmp_path: Path) -> None:
    executor = two_slaves.get_executor()
    futures = [executor.submit(wait_for, tmp_path / "gate") for _ in range(5)]
    two_slaves.close()
    assert [type(future.exception(LIMIT_S)) for future in futures] == [ClosedError] * 5
    with pytest.raises(ClosedError):
        executor.submit(abs, 1)
    executor.shutdown()


def test_after_too_many_failures_the_other_futures_say_so(one_slave: Manager) -> None:
    with one_slave.get_executor(max_failures=2) as executor:
        futures = [executor.submit(int, text) for text in ("1", "x", "y", *"2345")]
        ends = [future.exception(LIMIT_S) for future in futures]
        assert [type(end) for end in ends[:3]] == [type(None), ValueError, ValueError]
        rest = [end for end in ends[3:] if end is not None]
        assert {type(end) for end in rest} == {TooManyFailuresError}
        assert len({id(end) for end in rest}) == len(rest), "each has an exception of its own"
        assert isinstance(executor.submit(int).exception(LIMIT_S), TooManyFailuresError)


# ---- asyncio


def test_asyncio_awaits_calls_with_time_outs_that_end_them(
    executor: Executor, tmp_path: Path
) -> None:
    async def main() -> list[int]:
        loop = asyncio.get_running_loop()
        calls = [loop.run_in_executor(executor, abs, -n) for n in range(1000)]
        results = [await done for done in asyncio.as_completed(calls)]
        stuck = loop.run_in_executor(executor, compute_for_ever, tmp_path / "mark")
        while not (tmp_path / "mark").exists():
            await asyncio.sleep(0.01)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(stuck, 0.01)
        wrapped = asyncio.wrap_future(executor.submit(abs, -7))
        return [*results, await asyncio.wait_for(wrapped, LIMIT_S)]

    assert sorted(asyncio.run(main())) == sorted([*range(1000), 7])
    futures: list[Callable[[], Any]] = [executor.submit(abs, 1).result for _ in range(20)]
    assert [result() for result in futures] == [1] * 20
