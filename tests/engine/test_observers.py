"""What one observer does costs neither the run nor the other observers anything."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from imp_parallel_core import Event, EventsMissed, RunEnded, SlaveChanged
from imp_parallel_core._engine import observers as module
from imp_parallel_core._engine.observers import Observers
from tests.support.waiting import wait_until


class Hanging:
    """An observer that does not return until it may."""

    def __init__(self) -> None:
        self.is_in, self.may_go = threading.Event(), threading.Event()
        self.seen: list[Event] = []

    def __call__(self, events: Sequence[Event]) -> None:
        self.is_in.set()
        self.may_go.wait(60)
        self.seen.extend(events)


@pytest.fixture(autouse=True)
def _patient_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CLOSE_S", 60.0)  # on a busy machine, too


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    """Yield an observer that hangs until the end of the test."""
    with ExitStack() as stack:
        made = Hanging()
        stack.callback(made.may_go.set)
        yield made


def change(number: int) -> SlaveChanged:
    """Return some event."""
    return SlaveChanged(float(number), "slave 0", "idle")


def has_come(seen: Sequence[Event], event: Event) -> bool:
    """Return whether an event is the last one that has come."""
    return seen[-1:] == [event]


@pytest.mark.parametrize("is_first", [True, False])
def test_others_get_each_event_while_one_hangs(hanging: Hanging, *, is_first: bool) -> None:
    seen: list[Event] = []
    both: list[tuple[str, Callable[..., None]]] = [
        ("hanging", hanging),
        ("good", lambda events: seen.extend(events)),
    ]
    observers = Observers(both if is_first else both[::-1])
    told: list[Event] = [change(number) for number in range(3)]
    observers.tell(told[0])
    assert hanging.is_in.wait(30)
    for event in told[1:]:
        observers.tell(event)
        wait_until(partial(has_come, seen, event))
    assert seen == told
    hanging.may_go.set()
    observers.close()
    assert hanging.seen == told


def test_only_the_slow_one_misses_events_and_is_told_so_and_that_the_run_ended(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_QUEUE_LIMIT", 3)
    seen: list[Event] = []
    observers = Observers([("slow", hanging), ("good", lambda events: seen.extend(events))])
    told = [change(number) for number in range(8)]
    for event in told:
        observers.tell(event)
        assert hanging.is_in.wait(30)
        wait_until(partial(has_come, seen, event))
    end = RunEnded(9.0)
    observers.tell(end)
    hanging.may_go.set()
    observers.close()
    assert seen == [*told, end]
    assert hanging.seen == [*told[:4], EventsMissed(9.0, 4), end]


def test_one_that_is_in_a_call_for_long_is_named_once(
    hanging: Hanging, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HANGING_S", 0.3)
    calls: list[int] = []
    observers = Observers([("stuck", hanging), ("good", lambda events: calls.append(len(events)))])
    observers.tell(change(0))
    wait_until(lambda: "has been in a call for 0.3 s" in caplog.text)
    until = time.monotonic() + 1.0
    while time.monotonic() < until:  # several times as long as it takes to be named
        observers.tell(change(1))
        time.sleep(0.01)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("observer stuck has been in a call for 0.3 s: ")
    hanging.may_go.set()
    observers.close()
    assert sum(calls) == len(hanging.seen)


def test_the_close_waits_for_all_that_hang_together_and_names_them(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CLOSE_S", 1.0)
    hanging = [Hanging() for _ in range(8)]
    seen: list[Event] = []
    named: list[tuple[str, Any]] = [(f"stuck {number}", one) for number, one in enumerate(hanging)]
    observers = Observers([*named, ("good", lambda events: seen.extend(events))])
    observers.tell(change(0))
    assert all(one.is_in.wait(30) for one in hanging)
    observers.tell(RunEnded(1.0))
    began_at = time.monotonic()
    observers.close()
    assert time.monotonic() - began_at < 6.0  # not 8 times 1 s
    assert seen == [change(0), RunEnded(1.0)]
    (record,) = caplog.records
    names = ", ".join(name for name, _ in named)
    assert record.getMessage().endswith(f"did not take it in 1 s: {names}")
    for one in hanging:
        one.may_go.set()
    wait_until(lambda: all(one.seen == [change(0), RunEnded(1.0)] for one in hanging))


def test_after_an_interrupt_of_the_close_each_is_still_told_of_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: dict[str, list[Event]] = {"first": [], "second": []}
    is_ending = threading.Event()

    def slow(name: str, events: Sequence[Event]) -> None:
        if any(isinstance(event, RunEnded) for event in events):
            is_ending.set()
            wait_until(has_struck.is_set, 30.0)
            time.sleep(0.3)
        seen[name].extend(events)

    has_struck = threading.Event()

    def strike() -> None:
        is_ending.wait(30)
        wait_until(observers._is_closing.is_set, 30.0)
        time.sleep(0.5)  # until the main thread waits for the observers
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        has_struck.set()

    observers = Observers(
        [(name, lambda events, name=name: slow(name, events)) for name in seen],
    )
    observers.tell(change(0))
    observers.tell(RunEnded(1.0))
    striker = threading.Thread(target=strike)
    striker.start()
    with pytest.raises(KeyboardInterrupt):
        observers.close()
    striker.join()
    assert seen == {name: [change(0), RunEnded(1.0)] for name in seen}
    assert not caplog.records


def test_one_that_fails_keeps_no_more_events(caplog: pytest.LogCaptureFixture) -> None:
    def fail(events: Sequence[Event]) -> None:
        raise OSError("the disk is full")

    seen: list[Event] = []
    observers = Observers([("bad", fail), ("good", lambda events: seen.extend(events))])
    observers.tell(change(0))
    wait_until(lambda: len(observers._told) == 1)
    observers.tell(change(1))
    observers.close()
    assert seen == [change(0), change(1)]
    assert not observers._observers[0].events
    assert [record.getMessage() for record in caplog.records] == [
        "observer bad failed, and is not called again; the run goes on: the disk is full"
    ]


def test_an_observer_may_close_what_calls_it(caplog: pytest.LogCaptureFixture) -> None:
    closed = threading.Event()

    def close(events: Sequence[Event]) -> None:
        observers.close()
        closed.set()

    observers = Observers([("closing", close), ("good", lambda events: None)])
    observers.tell(change(0))
    assert closed.wait(30)
    observers.close()
    assert not caplog.records
