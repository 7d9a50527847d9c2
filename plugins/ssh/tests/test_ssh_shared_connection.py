"""One connection to a host, and the threads that want it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from imp_parallel_ssh._connection import Channel, Connection, ForwardedStream
from imp_parallel_ssh._shared_connection import SharedConnection

from imp_parallel_core import LaunchError
from tests.support.waiting import wait_until


class MadeConnection:
    """A connection to no host, which can be lost."""

    def __init__(self, *, is_lost: bool = False) -> None:
        self.is_closed = False
        self.is_lost = is_lost
        self.lose: Callable[[str], None] = lambda how: pytest.fail("nobody wants to know")

    def start(self, command: str, take_errors: object) -> Channel:
        raise OSError("never used")

    def forward(self, connected: Callable[[ForwardedStream], None]) -> int:
        raise OSError("never used")

    def stop_forwarding(self, port: int) -> None: ...

    def explain_loss(self) -> None:
        raise AssertionError("not used here")

    def on_loss(self, callback: Callable[[str], None]) -> None:
        self.lose = callback
        if self.is_lost:
            callback("it was lost at once")

    def close(self) -> None:
        self.is_closed = True


class Maker:
    """Makes connections when the test lets it, and counts."""

    def __init__(self) -> None:
        self.attempts = 0
        self.next: Future[Connection] = Future()

    def __call__(self, target: str, timeout_s: float) -> Connection:
        assert target == "there"
        self.attempts += 1
        return self.next.result(20.0)


@pytest.fixture
def maker() -> Maker:
    return Maker()


class Clock:
    """A time that tests set."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("imp_parallel_ssh._shared_connection.time", made)
    return made


@pytest.fixture
def shared(maker: Maker) -> SharedConnection:
    return SharedConnection("there", maker)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as made:
        yield made


def get_in_threads(
    pool: ThreadPoolExecutor, shared: SharedConnection, maker: Maker
) -> list[Future[Connection]]:
    """Have several threads want the connection; return when one of them tries to make it."""
    found = [pool.submit(shared.get, 20.0) for _ in range(4)]
    wait_until(lambda: maker.attempts)
    assert shared.is_being_made
    return found


def test_the_first_caller_makes_it_and_all_share_it(
    pool: ThreadPoolExecutor, shared: SharedConnection, maker: Maker
) -> None:
    assert shared.existing() is None
    callers = get_in_threads(pool, shared, maker)
    made = MadeConnection()
    maker.next.set_result(made)
    assert [each.result(20.0) for each in callers] == [made] * 4
    assert shared.get(20.0) is shared.existing() is made
    assert maker.attempts == 1


def test_a_failure_is_that_of_all_who_wait_and_a_later_caller_tries_again(
    pool: ThreadPoolExecutor, shared: SharedConnection, maker: Maker, clock: Clock
) -> None:
    callers = [pool.submit(shared.get, 20.0)]
    wait_until(lambda: maker.attempts)
    callers += [pool.submit(shared.get, 20.0) for _ in range(3)]
    problem = LaunchError("it is switched off")
    maker.next.set_exception(problem)
    assert callers[0].exception(20.0) is problem
    for each in callers[1:]:
        assert each.exception(20.0) is problem
    assert maker.attempts == 1
    maker.next = Future()
    maker.next.set_result(MadeConnection())
    clock.now += 2.0
    assert shared.get(20.0) is shared.existing()


@pytest.mark.parametrize(("longest_rest_s", "fewest", "most"), [(10.0, 8, 18), (1.0, 43, 90)])
def test_a_host_that_can_not_be_reached_is_tried_seldom_however_often_it_is_asked_for(
    maker: Maker, clock: Clock, longest_rest_s: float, fewest: int, most: int
) -> None:
    shared = SharedConnection("there", maker, longest_rest_s)
    maker.next.set_exception(LaunchError("it is switched off"))
    for _ in range(6000):  # a minute
        with pytest.raises(LaunchError, match="it is switched off"):
            shared.get(20.0)
        clock.now += 0.01
    assert fewest <= maker.attempts <= most
    attempts = maker.attempts
    maker.next = Future()
    maker.next.set_result(MadeConnection())
    clock.now += 1.3 * longest_rest_s
    made = shared.get(20.0)
    assert isinstance(made, MadeConnection)
    maker.next = Future()
    maker.next.set_exception(LaunchError("it is switched off again"))
    made.lose("it is off")
    for _ in range(2):  # and as often as at the beginning
        with pytest.raises(LaunchError, match="again"):
            shared.get(20.0)
        clock.now += 1.3
    assert maker.attempts == attempts + 3


def test_who_closes_it_after_a_failure_can_try_again_at_once(
    shared: SharedConnection, maker: Maker, clock: Clock
) -> None:
    maker.next.set_exception(LaunchError("the password is wrong"))
    with pytest.raises(LaunchError):
        shared.get(20.0)
    maker.next = Future()
    maker.next.set_result(MadeConnection())
    shared.close()
    assert shared.get(20.0) is shared.existing()


def test_a_bug_in_connecting_is_a_launch_error_with_its_cause(
    shared: SharedConnection, maker: Maker
) -> None:
    maker.next.set_exception(ZeroDivisionError("a bug"))
    with pytest.raises(LaunchError, match="can't connect to there: ZeroDivisionError") as caught:
        shared.get(20.0)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_ctrl_c_while_connecting_is_raised_there_and_told_to_the_others(
    pool: ThreadPoolExecutor, shared: SharedConnection, maker: Maker
) -> None:
    first = pool.submit(shared.get, 20.0)
    wait_until(lambda: maker.attempts)
    other = pool.submit(shared.get, 20.0)
    wait_until(lambda: other.running())
    maker.next.set_exception(KeyboardInterrupt())
    assert isinstance(first.exception(20.0), KeyboardInterrupt)
    assert isinstance(other.exception(20.0), (LaunchError, KeyboardInterrupt))
    assert not shared.is_being_made


def test_one_that_was_lost_is_closed_and_made_again(shared: SharedConnection, maker: Maker) -> None:
    first, second = MadeConnection(), MadeConnection()
    maker.next.set_result(first)
    assert shared.get(20.0) is first
    first.lose("the network is down")
    assert first.is_closed
    assert shared.existing() is None
    maker.next = Future()
    maker.next.set_result(second)
    assert shared.get(20.0) is second
    first.lose("once more")
    assert shared.get(20.0) is second


def test_one_that_is_lost_at_once_is_made_again(shared: SharedConnection, maker: Maker) -> None:
    maker.next.set_result(MadeConnection(is_lost=True))
    shared.get(20.0)
    assert shared.existing() is None
    shared.get(20.0)
    assert maker.attempts == 2


def test_one_that_was_set_aside_stays_open_until_it_is_lost_or_all_is_closed(
    shared: SharedConnection, maker: Maker
) -> None:
    made = [MadeConnection() for _ in range(3)]
    for each in made:
        maker.next = Future()
        maker.next.set_result(each)
        assert shared.get(20.0) is each
        shared.set_aside(each)
        shared.set_aside(each)
        assert shared.existing() is each
    assert not any(each.is_closed for each in made)
    made[2].lose("sshd ended it")
    assert made[2].is_closed
    assert shared.existing() is made[1]
    shared.close()
    assert all(each.is_closed for each in made)
    assert shared.existing() is None


def test_after_close_it_is_made_again_when_it_is_needed(
    shared: SharedConnection, maker: Maker
) -> None:
    maker.next.set_result(MadeConnection())
    shared.get(20.0)
    shared.close()
    shared.get(20.0)
    assert maker.attempts == 2


def test_of_those_who_wait_for_a_connection_none_makes_another_when_it_is_not_needed_any_more(
    pool: ThreadPoolExecutor, shared: SharedConnection, maker: Maker
) -> None:
    callers = get_in_threads(pool, shared, maker)
    shared.end()
    made = MadeConnection()
    maker.next.set_result(made)
    told = [str(each.exception(20.0)) for each in callers]
    assert told == ["there is not needed any more"] * 4
    assert made.is_closed
    with pytest.raises(LaunchError, match="not needed any more"):
        shared.get(20.0)
    assert maker.attempts == 1


def test_an_attempt_ends_soon_when_it_is_not_needed_any_more(pool: ThreadPoolExecutor) -> None:
    from imp_parallel_ssh._throttling import Dropped

    attempts = threading.Semaphore(0)

    def drop(target: str, timeout_s: float) -> Connection:
        attempts.release()
        problem = Dropped("it hung up")
        problem.is_sshd = True
        raise problem

    shared = SharedConnection("there", drop)
    caller = pool.submit(shared.get, 20.0, 1000.0)
    assert attempts.acquire(timeout=20.0)
    shared.end()
    assert isinstance(caller.exception(20.0), LaunchError)
