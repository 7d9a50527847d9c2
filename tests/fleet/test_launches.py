"""Launches as the engine sees them: when they begin, when they are given up, when they end."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import pytest

from imp_parallel_core import Bootstrap, LaunchError, LaunchPhase, LaunchState, Slave
from imp_parallel_core._fleet.launches import Launches
from imp_parallel_core._fleet.record import SlaveRecord
from imp_parallel_core._fleet.state import SlaveState
from imp_parallel_core._launch import watch as launch_watch

RUNNING, QUEUED = LaunchState(LaunchPhase.RUNNING), LaunchState(LaunchPhase.QUEUED)


class QuietLaunch:
    """A launch that does nothing."""

    command: Sequence[str] = ()

    def poll(self) -> Mapping[int, LaunchState]:
        return {}

    def cancel(self, grace_s: float) -> None:
        pass

    def log_tail(self, index: int) -> str:
        return ""


class InformedQuietLaunch(QuietLaunch):
    """One that is told which slaves are connected; its first call lasts until it may end."""

    def __init__(self) -> None:
        self.told: queue.SimpleQueue[tuple[set[int], set[int]]] = queue.SimpleQueue()
        self.may_go_on = threading.Event()

    def note_connections(self, connected: Collection[int], parted: Collection[int]) -> None:
        self.told.put((set(connected), set(parted)))
        self.may_go_on.wait(30.0)


class FakeLoop:
    """Keeps what is to be done later, until a test does it."""

    def __init__(self) -> None:
        self.timers: list[Callable[[], None]] = []
        self.posted: list[Callable[[], None]] = []

    def call_at(self, when: float, function: Callable[[], None]) -> None:
        self.timers.append(function)

    def post(self, function: Callable[[], None]) -> None:
        self.posted.append(function)


class Scene:
    """Launches whose news a test brings."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.launched: list[list[int]] = []
        self.ended: list[int] = []
        self.failed: list[str] = []
        self.launch_made = QuietLaunch()
        bootstrap = Bootstrap(index=0, python="", cwd="", output_path=None, sys_path=[])
        self.record = SlaveRecord(Slave(), bootstrap, 30.0, 10.0, 60.0, 30.0)
        self.launches = Launches(
            {0: self.record},
            self,  # type: ignore[arg-type]  # as plugins
            self.loop,  # type: ignore[arg-type]
            entered=self.enter,
            failed=lambda record, why: self.failed.append(why),
            ended=lambda record, why: self.ended.append(record.index),
            stream_made=lambda index, stream: None,
            explained=lambda index, evidence: None,
        )

    def enter(self, record: SlaveRecord, state: SlaveState, detail: str) -> None:
        record.enter(state, detail)

    def launch(self, slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Any) -> QuietLaunch:
        self.launched.append([bootstrap.index for bootstrap in bootstraps])
        return self.launch_made

    def begin(self) -> None:
        """Begin the launch; the timer that waits for its first answer is left out."""
        self.record.enter(SlaveState.LAUNCHING)
        timers = self.loop.timers.copy()
        self.launches.begin([self.record])
        self.loop.timers = timers

    def time_is_up(self) -> None:
        """All timers that were set so far are due."""
        timers, self.loop.timers = self.loop.timers, []
        for timer in timers:
            timer()


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.launches.cancel(0.0)
    assert not scene.launches.join(time.monotonic() + 10.0)


def test_a_slave_that_runs_and_does_not_connect_is_given_up(scene: Scene) -> None:
    scene.begin()
    scene.launches.launch_state(0, RUNNING)
    scene.time_is_up()
    assert scene.ended == [0]


def test_the_time_of_an_earlier_launch_is_not_held_against_a_later_one(scene: Scene) -> None:
    scene.begin()
    scene.launches.launch_state(0, RUNNING)
    scene.record.host = "it connected, and was lost"
    scene.begin()
    scene.launches.launch_state(0, RUNNING)
    of_the_first, of_the_second = scene.loop.timers
    of_the_first()
    assert scene.ended == []
    of_the_second()
    assert scene.ended == [0]


def test_a_slave_that_goes_back_into_the_queue_gets_its_whole_time_when_it_runs(
    scene: Scene,
) -> None:
    scene.begin()
    for state in (RUNNING, QUEUED, RUNNING):
        scene.launches.launch_state(0, state)
    of_the_first, of_the_second = scene.loop.timers
    of_the_first()
    assert scene.ended == []
    of_the_second()
    assert scene.ended == [0]


def test_news_of_a_slave_that_runs_do_not_give_it_more_time(scene: Scene) -> None:
    scene.begin()
    scene.launches.launch_state(0, RUNNING)
    scene.launches.launch_state(0, RUNNING._replace(detail="still"))
    assert len(scene.loop.timers) == 1


def test_once_all_have_been_cancelled_nothing_is_launched(scene: Scene) -> None:
    scene.launches.cancel(0.0)
    scene.begin()
    assert scene.launched == []
    assert scene.record.watch is None


def test_a_launch_that_is_cancelled_before_its_thread_runs_calls_no_plugin(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start
    monkeypatch.setattr(launch_watch.LaunchWatch, "start", lambda self: None)
    scene.begin()
    watch = scene.record.watch
    assert watch is not None
    watch.cancel(0.0)
    start(watch)
    watch.join()
    assert scene.launched == []


def test_a_launch_that_fails_gives_up_no_slave_that_is_connected(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.begin()
    scene.record.host = "it has connected"
    scene.launches.launch_failed([0], LaunchError("the command that submits them has hung"))
    assert scene.failed == []
    assert "the command that submits them has hung" in caplog.text
    scene.record.host = ""
    scene.launches.launch_failed([0], LaunchError("it has hung"))
    assert scene.failed == ["it has hung"]


def test_a_slave_for_which_there_can_be_no_thread_is_lost_and_nothing_else(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(watch: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(launch_watch.LaunchWatch, "start", start)
    scene.begin()
    for tell in scene.loop.posted:
        tell()
    (why,) = scene.failed
    assert why.startswith("can't start new thread: ")
    assert "ulimit -u" in why


def test_a_launch_is_told_once_of_each_slave_that_connects_or_parts(scene: Scene) -> None:
    scene.launch_made = launch = InformedQuietLaunch()
    scene.begin()
    watch = scene.record.watch
    assert watch is not None
    watch.note_connection(9, is_connected=False)  # it never was
    watch.note_connection(0, is_connected=True)
    assert launch.told.get(timeout=30.0) == ({0}, set())
    for index in range(4):  # while that lasts
        watch.note_connection(index, is_connected=True)
    watch.forget(2)
    watch.note_connection(0, is_connected=False)
    launch.may_go_on.set()
    assert launch.told.get(timeout=30.0) == ({1, 3}, {0, 2})
    watch.note_connection(1, is_connected=False)
    assert launch.told.get(timeout=30.0) == (set(), {1})
    assert launch.told.empty()
