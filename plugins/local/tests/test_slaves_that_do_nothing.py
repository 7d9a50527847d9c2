"""A slave that is heard, and does not do what it was given or asked to do, costs that slave alone.

An honest slave answers at once, whatever its task is at, for however long.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import Struct
from typing import Any

import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import Manager, TaskLostError
from imp_parallel_core._scheduler.scheduler import Scheduler
from imp_parallel_core._wire import heads, protocol
from tests.support import liar
from tests.support.harness import Processes
from tests.support.liar import Liar, Peer
from tests.support.waiting import wait_until

PATIENCE_S = 2.0


def one(argument: bytes) -> int:
    return 1


@pytest.fixture
def manager(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Manager]:
    monkeypatch.setattr(Manager, "heartbeat_timeout", PATIENCE_S)
    with Manager(output=None, plugins=[liar]) as manager:
        yield manager


def next_tasks(peer: Peer) -> heads.TasksHead:
    message = peer.beat(until=protocol.TASKS)
    assert message is not None
    return heads.unpack_tasks(message.head)


def hand_back(peer: Peer, *items: int) -> None:
    peer.send(protocol.TAKEN_BACK, heads.pack_items(list(items)))


def keeps_its_task(peer: Peer) -> None:
    peer.greet()
    peer.begin()
    peer.beat()


def keeps_its_task_and_answers(peer: Peer) -> None:
    peer.greet()
    peer.begin()
    while peer.beat(until=protocol.TAKE_BACK):
        hand_back(peer)


def hands_back_when_asked(peer: Peer) -> None:
    """Hand back what it was given, as if its runner had not begun it, when it is asked."""
    peer.greet()
    item = peer.begin()
    while peer.beat(until=protocol.TAKE_BACK):
        hand_back(peer, item)
        item = next_tasks(peer).first_item


def hands_back_unasked(peer: Peer) -> None:
    peer.greet()
    item = peer.begin()
    while True:
        hand_back(peer, item)
        item = next_tasks(peer).first_item


def loses_its_runner(peer: Peer) -> None:
    """Say of each task that the master has asked for the end of its runner."""
    peer.greet()
    while True:
        lost = heads.RunnerLostHead(peer.begin(), 0, True)
        peer.send(protocol.RUNNER_LOST, heads.pack_runner_lost(lost), [b"was ended"])
        peer.beat(until=protocol.NEXT_RUNNER)


def leaves_out_a_task(peer: Peer) -> None:
    """Do all tasks but its second, and answer whatever it is asked."""
    peer.greet()
    peer.end_item(peer.begin(), [b"K\1."])
    left_out = 0
    while message := peer.beat(until=None):
        if message.kind == protocol.TAKE_BACK:
            hand_back(peer)
        elif message.kind == protocol.TASKS:
            for item in heads.unpack_tasks(message.head).items:
                left_out = left_out or item
                if item != left_out:
                    peer.end_item(item, [b"K\1."])


def stays_when_it_is_to_leave(peer: Peer) -> None:
    peer.greet()
    item = peer.begin()
    peer.send(protocol.LEAVING, segments=[b"received SIGTERM"])
    hand_back(peer, item)
    peer.beat()


def takes_nothing(peer: Peer) -> None:
    """Read nothing any more of what it is sent."""
    peer.greet()
    head = heads.RunnerReadyHead(1)
    peer.send(protocol.RUNNER_READY, heads.pack_runner_ready(head))
    peer.end_item(heads.unpack_setup(peer.next(protocol.SETUP).head).item, [b"N."])
    while True:
        peer.session.send_control(protocol.PING)
        peer.flush()
        time.sleep(0.1)


def trickles(peer: Peer) -> None:
    """Begin to send a large value, and send a byte of it now and then."""
    peer.greet()
    head = heads.pack_outcome(heads.OutcomeHead(peer.begin(), heads.VALUE, 0.0))
    start = protocol.PREFIX.pack(protocol.OUTCOME, 1, len(head)) + Struct("!Q").pack(100_000_000)
    peer.socket.sendall(protocol.encode_frame(protocol.PART, start + head))
    peer.socket.sendall(protocol.encode_frame(protocol.PART, bytes(60_000))[:100])
    while True:
        peer.socket.sendall(b"\0")
        time.sleep(0.05)


LIES: dict[str, tuple[Callable[[Peer], None], str]] = {
    "keeps its task": (keeps_its_task, "has not answered"),
    "hands back what it is given when it is asked": (hands_back_when_asked, "3 times in a row"),
    "hands back what it is given unasked": (hands_back_unasked, "3 times in a row"),
    "loses its runner again and again": (loses_its_runner, "10 times in a row"),
    "leaves out a task": (leaves_out_a_task, "has left out a task"),
    "stays when it is to leave": (stays_when_it_is_to_leave, "told to leave"),
    "sends a byte of something large now and then": (trickles, "has not answered"),
    "takes nothing": (takes_nothing, "has taken nothing"),
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("lie", LIES)
def test_the_tasks_of_a_slave_that_is_heard_and_does_nothing_go_to_others(
    manager: Manager, lie: str, caplog: pytest.LogCaptureFixture
) -> None:
    behave, reason = LIES[lie]
    manager.add_slave(Liar(behave))
    context = manager.get_context(max_attempts=1)  # no task is charged with it
    tasks = 2000 if lie == "leaves out a task" else 2
    for _ in range(tasks):
        context.add_task(one, bytes(20_000_000) if lie == "takes nothing" else b"")
    wait_until(lambda: manager.slaves[0].state == "gone", 60)
    assert reason in manager.slaves[0].detail
    wait_until(lambda: reason in caplog.text)
    assert caplog.text.count(reason) == 1
    manager.add_slave(LocalSlave())
    assert list(context.get_results()) == [1] * tasks


def test_a_slave_that_does_not_end_what_nobody_needs_any_more_is_given_up(
    manager: Manager,
) -> None:
    manager.add_slave(Liar(keeps_its_task_and_answers))
    context = manager.get_context()
    context.add_task(abs, -1)
    wait_until(lambda: manager.slaves[0].state == "working")
    context.close()
    wait_until(lambda: manager.slaves[0].state == "gone")
    assert "has not ended for 2 s (heartbeat_timeout)" in manager.slaves[0].detail


def test_a_slave_that_does_not_see_to_a_time_limit_is_given_up_and_the_task_charged(
    manager: Manager,
) -> None:
    manager.add_slave(Liar(keeps_its_task_and_answers))
    context = manager.get_context(task_timeout_s=0.5, max_attempts=1)
    context.add_task(abs, -1)
    (error,) = context.get_results(on_error="return")
    assert isinstance(error, TaskLostError)
    assert "overrun its time limit of 0.5 s" in str(error)
    assert manager.slaves[0].state == "gone"


def test_a_paused_slave_that_is_heard_keeps_its_task(manager: Manager) -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        item = peer.begin()
        peer.send(protocol.PAUSED, segments=[b"received SIGUSR1"])
        assert peer.beat(limit_s=4 * PATIENCE_S) is None
        peer.send(protocol.RESUMED)
        peer.end_item(item, [b"K\1."])
        peer.beat()

    manager.add_slave(Liar(behave))
    context = manager.get_context()
    context.add_task(abs, -1)
    assert list(context.get_results()) == [1]


def test_a_slave_whose_answer_waits_behind_a_value_that_travels_slowly_is_waited_for(
    manager: Manager,
) -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        pieces, size = round(4 * PATIENCE_S / 0.1), 1000
        value = pickle.dumps(bytes(pieces * size))
        head = heads.pack_outcome(heads.OutcomeHead(peer.begin(), heads.VALUE, 0.0))
        start = protocol.PREFIX.pack(protocol.OUTCOME, 1, len(head)) + Struct("!Q").pack(len(value))
        peer.socket.sendall(protocol.encode_frame(protocol.PART, start + head))
        for at in range(0, len(value), size):
            is_last = at + size >= len(value)
            kind = protocol.WHOLE if is_last else protocol.PART
            peer.socket.sendall(protocol.encode_frame(kind, value[at : at + size]))
            time.sleep(0.1)
        peer.beat()

    manager.add_slave(Liar(behave))
    context = manager.get_context()
    context.add_task(abs, -1)
    (value,) = context.get_results()
    assert len(value) == round(4 * PATIENCE_S / 0.1) * 1000


@pytest.fixture
def answered(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """What slaves have handed back so far."""
    all_items: list[list[int]] = []
    take = Scheduler.items_returned

    def note(self: Scheduler, slave: int, items: list[int], now: float) -> Any:
        all_items.append(items)
        return take(self, slave, items, now)

    monkeypatch.setattr(Scheduler, "items_returned", note)
    return all_items


def read_in_c(path: str) -> int:
    """Wait in C, with the interpreter locked, until the file is opened for writing."""
    ctypes.PyDLL(None).open(path.encode(), os.O_RDONLY)
    return os.getpid()


@pytest.mark.parametrize("is_stopped", [False, True])
def test_a_task_in_c_code_is_left_alone_for_however_long(
    manager: Manager, tmp_path: Path, answered: list[list[int]], is_stopped: bool
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    manager.add_slave(LocalSlave())
    context = manager.get_context(max_attempts=1)
    context.add_task(read_in_c, str(fifo))
    wait_until(lambda: manager.slaves[0].state == "working")
    slave = manager.slaves[0]
    wait_until(lambda: len(answered) >= 3)
    if is_stopped:
        assert slave.pid is not None
        os.kill(slave.pid, signal.SIGSTOP)
        wait_until(lambda: manager.slaves[0].state == "suspected")
        stopped_at = time.monotonic()
        wait_until(lambda: time.monotonic() > stopped_at + 2 * PATIENCE_S)
        os.kill(slave.pid, signal.SIGCONT)
        count = len(answered)
        wait_until(lambda: len(answered) > count + 1)
    assert not any(answered)
    os.close(os.open(fifo, os.O_WRONLY))
    assert list(context.get_results()) == [slave.runner_pid]
    assert manager.slaves[0].runner_pid == slave.runner_pid
