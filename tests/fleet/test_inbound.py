"""What slaves say goes to the scheduler or to their lives, in order, and never costs another."""

from __future__ import annotations

from typing import Any

import pytest

from imp_parallel_core import Bootstrap, Slave
from imp_parallel_core._fleet.actions import EndSession, LifeAction, Release, Tell
from imp_parallel_core._fleet.evidence import Evidence
from imp_parallel_core._fleet.inbound import Inbound
from imp_parallel_core._fleet.record import SlaveRecord
from imp_parallel_core._fleet.session_state import Greeting
from imp_parallel_core._fleet.state import Stage, Timeouts
from imp_parallel_core._scheduler.actions import Action, Deliver
from imp_parallel_core._scheduler.scheduler import Scheduler
from imp_parallel_core._scheduler.tasks import Task
from imp_parallel_core._wire import heads, protocol
from imp_parallel_core._wire.protocol import Message


class FakeLink:
    """A link of which only the owner's side is looked at."""

    heard_at = 5.0

    def __init__(self) -> None:
        self.is_open = True
        self.sent: list[int] = []

    def send(self, kind: int) -> None:
        self.sent.append(kind)

    def flush(self) -> None: ...

    def close(self) -> None:
        self.is_open = False


class Scene:
    """A slave that is connected, and what becomes of what it says."""

    def __init__(self) -> None:
        self.scheduler = Scheduler()
        self.delivered: list[int] = []
        self.decided: list[LifeAction] = []
        bootstrap = Bootstrap(index=0, python="", cwd="", output_path=None, sys_path=[])
        self.record = SlaveRecord(Slave(), bootstrap, Timeouts(30.0, 10.0, 60.0, 30.0))
        self.life = self.record.life
        self.inbound = Inbound(self.scheduler, self.decide, self.perform)
        self.link: Any = FakeLink()
        self.scheduler.context_opened(1)
        self.scheduler.slave_added(0)
        self.life.stream_made(1, resumable=False, now=0.0)
        self.life.greeted(1, Greeting("host", 1, "boot"), "token", is_fresh=False, now=0.0)
        self.record.link = self.link  # type: ignore[assignment]  # it is as much as is needed
        self.say(protocol.RUNNER_READY, heads.pack_runner_ready(heads.RunnerReadyHead(1)))

    def decide(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Deliver):
                self.delivered.append(action.task.id)

    def perform(self, record: SlaveRecord, actions: list[LifeAction]) -> None:
        self.decided += actions
        for action in actions:
            if isinstance(action, Tell):
                self.decide(action.event(self.scheduler, 0, *action.arguments, 5.0))
            elif isinstance(action, Release):
                self.inbound.release(record)
            elif isinstance(action, EndSession):
                record.end_session()

    def say(self, kind: int, head: bytes = b"", *segments: bytes) -> None:
        self.inbound.take(self.record, self.link, Message(kind, head, list(segments)))

    def work(self) -> None:
        """Give the slave two tasks, and set it up for them."""
        self.scheduler.tasks_added([Task(1, (b"",), id=1), Task(1, (b"",), id=2)], 5.0)
        self.end_item(1)

    def end_item(self, item: int) -> None:
        head = heads.pack_outcome(heads.OutcomeHead(item, heads.VALUE, 0.001))
        self.say(protocol.OUTCOME, head, b"")

    def lose_runner(self, item: int) -> None:
        head = heads.pack_runner_lost(heads.RunnerLostHead(item, 0, False))
        self.say(protocol.RUNNER_LOST, head, b"was killed")


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_outcomes_go_to_the_scheduler(scene: Scene) -> None:
    scene.work()
    scene.end_item(2)
    assert scene.delivered == [1]


def test_what_comes_behind_the_loss_of_a_runner_is_taken_in_order_when_that_is_explained(
    scene: Scene,
) -> None:
    scene.work()
    scene.lose_runner(item=2)
    for pid in (7, 8):
        scene.say(protocol.RUNNER_READY, heads.pack_runner_ready(heads.RunnerReadyHead(pid)))
    assert len(scene.record.held) == 2
    assert scene.life.question is not None
    scene.perform(scene.record, scene.life.answer(scene.life.question.number, Evidence(), 5.0))
    assert scene.record.held == []
    assert scene.life.session is not None
    assert scene.life.session.runner_pid == 8


def test_what_is_held_goes_with_the_session(scene: Scene) -> None:
    scene.work()
    scene.lose_runner(item=2)
    scene.say(protocol.RUNNER_READY, heads.pack_runner_ready(heads.RunnerReadyHead(7)))
    scene.perform(scene.record, scene.life.give_up("of no use", is_charged=False, now=5.0))
    assert scene.record.held == []
    assert not scene.link.is_open


def test_a_leaving_slave_is_told_to_go_when_it_holds_nothing(scene: Scene) -> None:
    scene.work()
    scene.say(protocol.LEAVING, b"", b"has reached its time limit")
    assert scene.link.sent == []
    scene.end_item(2)
    assert protocol.LEAVE in scene.link.sent


@pytest.mark.parametrize(
    ("kind", "head"),
    [(protocol.OUTCOME, b"short"), (protocol.LEAVING, b""), (protocol.WELCOME, b"")],
)
def test_what_can_not_be_read_ends_the_session_of_that_slave(
    scene: Scene, kind: int, head: bytes
) -> None:
    scene.say(kind, head)
    assert scene.life.stage is Stage.ENDING
    scene.end_item(1)  # what comes behind it is void
    assert scene.delivered == []
