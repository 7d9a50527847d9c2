"""The thread of one launch: which streams it hands on, whom it polls for, when it ends."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import pytest

from imp_parallel_core import Bootstrap, LaunchPhase, LaunchState, Slave
from imp_parallel_core._launch.queued import waiting
from imp_parallel_core._launch.reports import LaunchReports
from imp_parallel_core._launch.watch import LaunchWatch
from tests.support.waiting import wait_until

RUNNING, ENDED = LaunchState(LaunchPhase.RUNNING), LaunchState(LaunchPhase.ENDED)


class Stream:
    """A stream of which only its end matters."""

    def __init__(self) -> None:
        self.is_closed = False

    def close(self) -> None:
        self.is_closed = True


class Told(LaunchReports):
    """What a watch has reported, in order."""

    def __init__(self) -> None:
        self.reports: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()

    def launched(self) -> None:
        self.reports.put(("launched",))

    def launch_failed(self, indices: Sequence[int], error: BaseException) -> None:
        self.reports.put(("launch_failed", list(indices), str(error)))

    def stream_made(self, index: int, stream: Any) -> None:
        self.reports.put(("stream_made", index, stream))

    def launch_state(self, index: int, state: LaunchState) -> None:
        self.reports.put(("launch_state", index, state))

    def poll_failed(self, indices: Sequence[int], trouble: str) -> None:
        self.reports.put(("poll_failed", list(indices), trouble))

    def explained(self, index: int, question: int, *answer: Any) -> None:
        self.reports.put(("explained", index, question, *answer))

    def next(self, kind: str) -> tuple[Any, ...]:
        """Return the next report of a kind; those before it are dropped."""
        while True:
            report = self.reports.get(timeout=30.0)
            if report[0] == kind:
                return report


class Plugin:
    """Launches two slaves, and says of them what a test wants."""

    command = ("true",)
    reminds_of_queue = False

    def __init__(self) -> None:
        self.polls = 0
        self.states: Mapping[int, LaunchState] = {0: RUNNING, 1: RUNNING}
        self.failure: BaseException | None = None  # of the launch
        self.problem: BaseException | None = None
        self.accept: Callable[[int, Any], None] = lambda index, stream: None
        self.cancelled = threading.Event()
        self.ended: queue.SimpleQueue[int] = queue.SimpleQueue()

    def launch(self, slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Any) -> Plugin:
        self.accept = accept
        if self.failure is not None:
            raise self.failure
        return self

    def poll(self) -> Mapping[int, LaunchState]:
        self.polls += 1
        if self.problem is not None:
            raise self.problem
        return self.states

    def has_been_polled(self, times: int) -> bool:
        return self.polls >= times

    def cancel(self, grace_s: float) -> None:
        self.cancelled.set()

    def log_tail(self, index: int) -> str:
        return "its last words"

    def end_slave(self, index: int) -> None:
        self.ended.put(index)


def watch_of(plugin: Any, told: Told) -> LaunchWatch:
    bootstraps = [Bootstrap(index, "", "", None, []) for index in range(2)]
    return LaunchWatch(plugin, Slave(), bootstraps, told, waiting())


class Scene:
    def __init__(self) -> None:
        self.plugin, self.told = Plugin(), Told()
        self.watch = watch_of(self.plugin, self.told)
        self.watch.start()
        self.told.next("launched")


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.watch.cancel(0.0)
    scene.watch.join(30.0)
    assert not scene.watch.is_alive()
    assert scene.plugin.cancelled.is_set()


def test_the_streams_of_slaves_are_handed_on_until_they_are_let_go(scene: Scene) -> None:
    first, second = Stream(), Stream()
    scene.plugin.accept(0, first)
    assert scene.told.next("stream_made") == ("stream_made", 0, first)
    scene.watch.let_go(0)
    assert first.is_closed
    assert scene.plugin.ended.get(timeout=30.0) == 0
    scene.plugin.accept(0, second)
    assert second.is_closed


def test_at_the_end_the_streams_that_nobody_took_are_closed_and_no_more_are_taken(
    scene: Scene,
) -> None:
    taken, late = Stream(), Stream()
    scene.plugin.accept(0, taken)
    scene.watch.cancel(0.0)
    scene.plugin.accept(1, late)
    assert late.is_closed
    scene.watch.join(30.0)
    assert taken.is_closed


def test_the_thread_ends_when_the_last_slave_is_let_go(scene: Scene) -> None:
    for index in range(2):
        scene.watch.let_go(index)
    scene.watch.join(30.0)
    assert not scene.watch.is_alive()


def test_a_slave_that_was_let_go_can_be_looked_after_again_while_the_launch_lasts(
    scene: Scene,
) -> None:
    assert not scene.watch.holds_again(0)
    scene.watch.let_go(0)
    assert scene.watch.holds_again(0)
    scene.watch.let_go(1)
    assert scene.watch.is_alive()
    scene.watch.let_go(0)
    scene.watch.join(30.0)
    assert not scene.watch.holds_again(0)


def test_news_of_a_slave_come_once_and_only_until_it_has_connected(scene: Scene) -> None:
    for index in range(2):
        assert scene.told.next("launch_state") == ("launch_state", index, RUNNING)
    scene.watch.note_connection(0, is_connected=True)
    scene.plugin.states = {0: ENDED, 1: RUNNING._replace(detail="still")}
    assert scene.told.next("launch_state")[1:] == (1, RUNNING._replace(detail="still"))
    scene.watch.explain(1, 7, has_ended=False)
    assert scene.told.reports.get(timeout=30.0)[:3] == ("explained", 1, 7)


@pytest.mark.parametrize("phase", [LaunchPhase.ENDED, LaunchPhase.SUSPENDED])
def test_many_slaves_that_have_ended_or_are_suspended_are_answered_for_at_once(
    scene: Scene, phase: LaunchPhase
) -> None:
    for index in range(2):
        scene.watch.note_connection(index, is_connected=True)  # they are not polled for
    scene.plugin.states = {0: LaunchState(phase)}
    scene.watch.explain(0, 7, has_ended=True)
    assert scene.told.next("explained")[1:4] == (0, 7, LaunchState(phase))
    before = scene.plugin.polls
    scene.watch.explain(0, 8, has_ended=True)
    scene.told.next("explained")
    assert scene.plugin.polls == before + 1


@pytest.mark.parametrize("kind", [OSError, SystemExit])
def test_what_was_known_holds_on_while_a_launch_can_not_be_asked(
    scene: Scene, kind: type[BaseException]
) -> None:
    scene.told.next("launch_state")
    scene.plugin.problem = kind("no route")
    scene.watch.explain(0, 7, has_ended=False)
    *known, trouble = scene.told.next("explained")
    assert known == ["explained", 0, 7, RUNNING, "its last words", "true"]
    assert trouble.startswith(f"poll failed: {kind.__name__}: no route")


def test_that_a_launch_can_not_be_asked_is_reported_for_those_not_connected_until_it_can(
    scene: Scene,
) -> None:
    scene.watch.note_connection(1, is_connected=True)
    wait_until(lambda: scene.watch._unconnected == {0}, what="the note")
    scene.plugin.problem = OSError("no route")
    assert scene.told.next("poll_failed") == ("poll_failed", [0], "poll failed: OSError: no route")
    wait_until(partial(scene.plugin.has_been_polled, scene.plugin.polls + 3), what="polls")
    scene.plugin.problem = None
    assert scene.told.next("poll_failed") == ("poll_failed", [0], "")


def test_a_slave_of_which_the_launch_does_not_speak_has_no_state_and_a_reason(
    scene: Scene,
) -> None:
    scene.plugin.states = {}
    scene.watch.explain(5, 7, has_ended=True)
    *_, state, _, _, trouble = scene.told.next("explained")
    assert state is None
    assert trouble == "poll() does not say how this slave is"


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit])
def test_a_launcher_that_raises_or_exits_leaves_nobody_waiting(kind: type[BaseException]) -> None:
    plugin, told = Plugin(), Told()
    plugin.failure = kind("no more")
    watch = watch_of(plugin, told)
    watch.start()
    assert told.next("launch_failed") == ("launch_failed", [0, 1], "no more")
    watch.join(30.0)
    assert not watch.is_alive()


def test_the_core_reminds_of_slaves_that_are_queued_unless_their_launch_does(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("imp_parallel_core._launch.queued._FIRST_S", 0.0)
    for reminds_itself in (True, False):
        plugin, told = Plugin(), Told()
        plugin.reminds_of_queue = reminds_itself
        plugin.states = dict.fromkeys(range(2), LaunchState(LaunchPhase.QUEUED, "no room"))
        watch = watch_of(plugin, told)
        watch.start()
        told.next("launch_state")
        wait_until(partial(plugin.has_been_polled, 3), what="polls")
        watch.cancel(0.0)
        watch.join(30.0)
        assert ("2 slaves of Slave() are still queued" in caplog.text) is not reminds_itself
