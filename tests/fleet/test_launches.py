"""Launches as the engine sees them: when they begin, what they report, when they end."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import pytest

from imp_parallel_core import Bootstrap, LaunchError, LaunchPhase, LaunchState, Slave
from imp_parallel_core._fleet.actions import LifeAction, Lost
from imp_parallel_core._fleet.launches import Launches
from imp_parallel_core._fleet.record import SlaveRecord
from imp_parallel_core._fleet.state import SlaveState, Stage, Timeouts
from imp_parallel_core._launch import watch as launch_watch


class QuietLaunch:
    """A launch that does nothing."""

    command: Sequence[str] = ()

    def poll(self) -> Mapping[int, LaunchState]:
        return {}

    def cancel(self, grace_s: float) -> None:
        pass

    def log_tail(self, index: int) -> str:
        return ""


class QueuedLaunch(QuietLaunch):
    """A launch whose slave waits."""

    def poll(self) -> Mapping[int, LaunchState]:
        return {0: LaunchState(LaunchPhase.QUEUED, "no host is free")}


class MuteLaunch(QuietLaunch):
    """A launch that can't say how its slave is."""

    def poll(self) -> Mapping[int, LaunchState]:
        raise OSError("no route")


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
        self.posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def call_at(self, when: float, function: Callable[[], None]) -> None:
        self.timers.append(function)

    def post(self, function: Callable[[], None]) -> None:
        self.posted.put(function)


class Scene:
    """Launches of one slave, whose plugin is a test's."""

    def __init__(self) -> None:
        self.loop = FakeLoop()
        self.launched: list[list[int]] = []
        self.decided: list[LifeAction] = []
        self.streams: list[tuple[int, Any, int]] = []
        self.launch_made = QuietLaunch()
        self.error: Exception | None = None
        self.may_launch = threading.Event()
        self.may_launch.set()
        bootstrap = Bootstrap(index=0, python="", cwd="", output_path=None, sys_path=[])
        self.record = SlaveRecord(Slave(), bootstrap, Timeouts(30.0, 10.0, 60.0, 30.0))
        self.launches = Launches(
            self,  # type: ignore[arg-type]  # as plugins
            self.loop,  # type: ignore[arg-type]
            perform=lambda record, actions: self.decided.extend(actions),
            stream_made=lambda index, stream, launch: self.streams.append((index, stream, launch)),
        )

    def launch(self, slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Any) -> QuietLaunch:
        self.launched.append([bootstrap.index for bootstrap in bootstraps])
        self.may_launch.wait(30.0)
        if self.error is not None:
            raise self.error
        return self.launch_made

    def label_of(self, kind: type) -> str:
        return "godot-launcher"

    def begin(self) -> None:
        self.launches.begin([self.record])

    @property
    def watch(self) -> launch_watch.LaunchWatch:
        assert self.record.watch is not None
        return self.record.watch

    def take_report(self) -> None:
        """Do what the next report of the launch's thread brings into the engine's."""
        self.loop.posted.get(timeout=30.0)()

    @property
    def losses(self) -> list[str]:
        return [action.text for action in self.decided if isinstance(action, Lost)]


@pytest.fixture
def scene() -> Iterator[Scene]:
    scene = Scene()
    yield scene
    scene.launches.cancel(0.0)
    assert not scene.launches.join(time.monotonic() + 10.0)


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
    watch = scene.watch
    watch.cancel(0.0)
    start(watch)
    watch.join()
    assert scene.launched == []


def test_a_slave_for_which_there_can_be_no_thread_is_lost_and_nothing_else(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(watch: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(launch_watch.LaunchWatch, "start", start)
    scene.begin()
    scene.take_report()
    (why,) = scene.losses
    assert why.startswith("can't start new thread: ")
    assert "ulimit -u" in why


def test_a_launch_learns_once_of_each_slave_that_connects_or_disconnects(scene: Scene) -> None:
    scene.launch_made = launch = InformedQuietLaunch()
    scene.begin()
    watch = scene.watch
    watch.note_connection(9, is_connected=False)  # it never was
    watch.note_connection(0, is_connected=True)
    assert launch.told.get(timeout=30.0) == ({0}, set())
    for index in range(4):  # while that lasts
        watch.note_connection(index, is_connected=True)
    watch.note_connection(2, is_connected=False)
    watch.note_connection(0, is_connected=False)
    launch.may_go_on.set()
    assert launch.told.get(timeout=30.0) == ({1, 3}, {0, 2})
    watch.note_connection(1, is_connected=False)
    assert launch.told.get(timeout=30.0) == (set(), {1})
    assert launch.told.empty()


def test_what_a_launch_reports_comes_into_the_life_of_its_slave(scene: Scene) -> None:
    scene.launch_made = QueuedLaunch()
    scene.begin()
    for _ in range(2):  # it has launched, and says how the slave is
        scene.take_report()
    life = scene.record.life
    assert (life.state, life.detail) == (SlaveState.QUEUED, "no host is free")
    scene.watch.explain(0, 7, has_ended=False)
    life.question = None
    scene.take_report()
    assert life.stage is Stage.LAUNCHING  # nobody has asked that question


def test_that_a_launch_can_not_be_asked_is_the_detail_of_its_slave(scene: Scene) -> None:
    scene.launch_made = MuteLaunch()
    scene.begin()
    for _ in range(2):  # it has launched, and can't be asked
        scene.take_report()
    life = scene.record.life
    assert (life.state, life.detail) == (SlaveState.LAUNCHING, "poll failed: OSError: no route")


def test_the_reports_of_an_earlier_launch_say_nothing_about_a_later_one(scene: Scene) -> None:
    scene.launch_made = QueuedLaunch()
    scene.begin()
    earlier = scene.watch
    scene.take_report()
    scene.begin()
    for _ in range(3):  # that it is queued, of the first; that it is launched and queued
        scene.take_report()
    assert scene.record.life.launching.number == 2
    stream = object()
    earlier._reports.stream_made(0, stream)  # type: ignore[arg-type]  # nobody looks at it
    scene.take_report()
    assert scene.streams == [(0, stream, 1)]
    earlier._reports.launch_failed([0], LaunchError("it has hung"))
    scene.take_report()
    assert scene.losses == []


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (LaunchError("no licence"), "no licence"),
        (LaunchError(""), "LaunchError"),
        (ValueError("what is \x1b[31m?"), "ValueError: what is"),
    ],
)
def test_a_launch_that_fails_says_why_in_whatever_words(
    scene: Scene, error: Exception, why: str
) -> None:
    scene.error = error
    scene.begin()
    scene.take_report()
    (loss,) = scene.losses
    assert why in loss
    assert "\x1b" not in loss


def test_people_are_told_ever_more_seldom_of_a_plugin_that_takes_long_to_launch(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.may_launch.clear()
    scene.begin()
    for _ in range(3):
        scene.loop.timers.pop()()
    said = [message for message in caplog.messages if "has not come to its end" in message]
    first, *later = [message.rpartition("for ")[2] for message in said]
    assert first == "10 s\nMore: imp-parallel explain plugin-hangs"
    assert later == ["20 s", "40 s"]
    scene.may_launch.set()
    scene.take_report()
    caplog.clear()
    scene.loop.timers.pop()()
    assert not caplog.messages
    assert len(scene.loop.timers) == 1, "that which looks for plugins that don't answer"


def test_nobody_is_told_of_a_launch_that_lasts_beyond_the_end(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.may_launch.clear()
    scene.begin()
    scene.launches.cancel(0.0)
    scene.loop.timers.pop()()
    assert not caplog.messages
    scene.may_launch.set()


class HangingLaunch(QuietLaunch):
    """A launch that does not answer."""

    def __init__(self) -> None:
        self.is_asked, self.may_answer = threading.Event(), threading.Event()

    def poll(self) -> Mapping[int, LaunchState]:
        self.is_asked.set()
        self.may_answer.wait(30.0)
        return {}


def test_a_launch_that_does_not_answer_is_told_with_its_plugin_and_looked_at_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imp_parallel_core._fleet.stuck._FIRST_S", 0.0)
    scene = Scene()
    launch = scene.launch_made = HangingLaunch()
    scene.begin()
    assert launch.is_asked.wait(30.0)
    look = scene.loop.timers.pop(0)
    look()
    words = "plugin godot-launcher: poll() of the launch of Slave() has not returned for 0 s"
    assert words in caplog.text
    assert look in scene.loop.timers
    launch.may_answer.set()
    scene.launches.cancel(0.0)
    assert not scene.launches.join(time.monotonic() + 10.0)
    scene.loop.timers.clear()
    look()
    assert not scene.loop.timers, "its thread has ended"
