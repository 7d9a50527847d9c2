"""Whatever one slave sends, or one plugin does, costs that slave alone."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from struct import Struct
from typing import Any

import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import (
    LaunchPhase,
    LaunchState,
    Manager,
    NoMoreSlavesError,
    RemoteError,
    SetupError,
    SocketStream,
)
from imp_parallel_core._wire import heads, memory, protocol
from imp_parallel_core._wire.handshake import hello_of, slave_identity
from imp_parallel_core._wire.value_records import VALUE_RECORD
from tests.support import liar
from tests.support.harness import Processes
from tests.support.liar import RUNNING, Liar, Peer
from tests.support.rebuilt_run import RebuiltRun
from tests.support.waiting import wait_until

SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
NAN, INFINITY = float("nan"), float("inf")


@pytest.fixture
def manager(processes: Processes) -> Iterator[Manager]:
    with Manager(output=None, plugins=[liar]) as manager:
        yield manager


def outcomes(manager: Manager, behave: Callable[[Peer], None], tasks: int) -> list[Any]:
    """Return the outcomes of some tasks on a slave that behaves so."""
    manager.add_slave(Liar(behave))
    context = manager.get_context()
    for _ in range(tasks):
        context.add_task(abs, -1)
    return list(context.get_results(on_error="return"))


def check_that_another_slave_works(manager: Manager) -> None:
    manager.add_slave(LocalSlave())
    context = manager.get_context()
    context.add_task(abs, -1)
    assert list(context.get_results()) == [1]


LARGE = bytes(2_000_000)


def defined_here() -> Callable[[bytes], int]:
    """Return a function that must be sent with its code."""
    return lambda argument: len(argument)


def hello(**said: Any) -> bytes:
    return json.dumps({**json.loads(hello_of(slave_identity(0), 0)), **said}).encode()


def greets_with(body: bytes) -> Callable[[Peer], None]:
    return lambda peer: peer.greet(body)


def ends_its_task_after(duration_s: float) -> Callable[[Peer], None]:
    def behave(peer: Peer) -> None:
        peer.greet()
        peer.end_item(peer.begin(), [b"N."], duration_s=duration_s)
        peer.stay()

    return behave


def ends_its_task_by_values_after(duration_s: float) -> Callable[[Peer], None]:
    def behave(peer: Peer) -> None:
        peer.greet()
        item = peer.begin()
        peer.send(protocol.VALUES, segments=[VALUE_RECORD.pack(item, duration_s, 0, 0)])
        peer.stay()

    return behave


def sends_memory(kind: int, size: int, head: bytes = b"") -> Callable[[Peer], None]:
    """Send shared memory of a size, all of it holes."""

    def behave(peer: Peer) -> None:
        peer.greet_with_descriptors()
        item = peer.begin()
        memory = os.memfd_create("lie", os.MFD_ALLOW_SEALING)
        os.ftruncate(memory, size)
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, SEALS)
        is_outcome = kind == protocol.OUTCOME
        outcome = heads.pack_outcome(heads.OutcomeHead(item, heads.VALUE, 0.0))
        peer.send_by_descriptor(kind, outcome if is_outcome else head, memory, size)
        os.close(memory)
        peer.stay()

    return behave


def sends(kind: int, head: bytes = b"", *segments: bytes) -> Callable[[Peer], None]:
    def behave(peer: Peer) -> None:
        peer.greet()
        peer.begin()
        peer.send(kind, head, segments)
        peer.stay()

    return behave


LIES = {
    "a duration that is no number": ends_its_task_after(NAN),
    "an infinite duration": ends_its_task_after(INFINITY),
    "values with a duration that is no number": ends_its_task_by_values_after(NAN),
    "values with an infinite duration": ends_its_task_by_values_after(-INFINITY),
    "a HELLO that is no JSON": greets_with(b"\xff"),
    "a HELLO nested too deeply": greets_with(b"[" * 50_000),
    "a HELLO whose values are nested too deeply": greets_with(
        hello(protocol=0).replace(b'"protocol": 0', b'"protocol": ' + b"[" * 900 + b"]" * 900)
    ),
    "an infinite pid": greets_with(hello(pid=INFINITY)),
    "a pid that is too large": greets_with(hello(pid=0).replace(b'"pid": 0', b'"pid": 1e999')),
    "an infinite number of messages": greets_with(hello(received=INFINITY)),
    "an empty value in shared memory": sends_memory(protocol.OUTCOME, 0),
    "values in 40 GiB of holes": sends_memory(protocol.VALUES, 40 << 30),
    "a short head": sends(protocol.OUTCOME, b"short"),
    "an unknown message": sends(99),
    "a loss without a reason": sends(protocol.RUNNER_LOST, bytes(17)),
    "half a value": sends(protocol.VALUES, b"", b"half"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_slave_that_breaks_the_protocol_is_lost_and_nothing_else_is(
    manager: Manager, lie: str
) -> None:
    manager.add_slave(Liar(LIES[lie]))
    context = manager.get_context()
    context.add_task(abs, -1)
    wait_until(lambda: manager.slaves[0].state == "gone")
    manager.add_slave(LocalSlave())
    assert list(context.get_results()) == [1]


ODD_VALUES: dict[str, Callable[[bytes], list[bytes]]] = {
    "none": lambda value: [],
    "an empty segment": lambda value: [b""],
    "one of another item": lambda value: [VALUE_RECORD.pack(1 << 60, 0.0, 0, 3) + b"K\2."],
    "one twice": lambda value: [value + value],
    "one in each of two segments": lambda value: [value, value],
}


@pytest.mark.parametrize("odd", ODD_VALUES)
@pytest.mark.parametrize("is_observed", [False, True])
def test_values_that_end_no_item_change_nothing_and_observers_are_told_of_none(
    odd: str, is_observed: bool, processes: Processes
) -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        item = peer.begin()
        value = VALUE_RECORD.pack(item, 0.0, 0, 3) + b"K\1."
        peer.send(protocol.VALUES, segments=ODD_VALUES[odd](value))
        peer.send(protocol.VALUES, segments=[value])
        peer.stay()

    run = RebuiltRun()
    with Manager(output=None, plugins=[liar, run] if is_observed else [liar]) as manager:
        assert outcomes(manager, behave, tasks=1) == [1]
        check_that_another_slave_works(manager)
    if is_observed:
        run.check()
        assert len(run.done) == 2


def test_an_error_without_its_text_is_its_tasks_error_once(manager: Manager) -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        peer.end_item(peer.begin(), [], heads.RAISED)
        peer.end_item(heads.unpack_tasks(peer.next(protocol.TASKS).head).first_item, [b"K\1."])
        peer.stay()

    error, one = outcomes(manager, behave, tasks=2)
    assert isinstance(error, RemoteError)
    assert "did not send it whole" in str(error)
    assert one == 1


def test_a_set_ups_error_without_its_text_is_a_set_up_error(manager: Manager) -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        head = heads.RunnerReadyHead(1)
        peer.send(protocol.RUNNER_READY, heads.pack_runner_ready(head))
        setup = heads.unpack_setup(peer.next(protocol.SETUP).head)
        peer.end_item(setup.item, [], heads.RAISED)
        peer.stay()

    (error,) = outcomes(manager, behave, tasks=1)
    assert isinstance(error, SetupError)
    assert "did not send it whole" in str(error)


def begin_value(peer: Peer, size: int) -> None:
    """Announce a value of so many bytes as the outcome of the first task."""
    peer.greet()
    head = heads.pack_outcome(heads.OutcomeHead(peer.begin(), heads.VALUE, 0.0))
    start = protocol.PREFIX.pack(protocol.OUTCOME, 1, len(head)) + Struct("!Q").pack(size)
    peer.socket.sendall(protocol.encode_frame(protocol.PART, start + head))


PIECE = bytes(protocol.FRAME_LIMIT_BYTES)


def test_a_value_for_which_the_master_has_no_memory_is_its_tasks_error_and_the_slave_goes_on(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def behave(peer: Peer) -> None:
        begin_value(peer, 400 * len(PIECE))
        for number in range(1, 401):
            kind = protocol.PART if number < 400 else protocol.WHOLE
            peer.socket.sendall(protocol.encode_frame(kind, PIECE))
        peer.end_item(heads.unpack_tasks(peer.next(protocol.TASKS).head).first_item, [b"K\1."])
        peer.stay()

    monkeypatch.setattr(memory, "has_room", lambda size_bytes: False)
    error, one = outcomes(manager, behave, tasks=2)
    assert isinstance(error, RemoteError)
    assert isinstance(error.exc, MemoryError)
    assert "no memory for what it returned, of 104,857,600 bytes" in str(error)
    assert one == 1


def test_a_value_without_end_takes_no_memory_of_the_master(manager: Manager) -> None:
    used: list[int] = []

    def resident_bytes() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    def behave(peer: Peer) -> None:
        begin_value(peer, 1 << 40)
        before = resident_bytes()
        for _ in range(2000):  # 500 MB of it
            peer.socket.sendall(protocol.encode_frame(protocol.PART, PIECE))
        used.append(resident_bytes() - before)

    manager.add_slave(Liar(behave))
    context = manager.get_context()
    context.add_task(abs, -1)
    wait_until(lambda: used)
    assert used[0] < 200_000_000


def test_of_an_error_with_an_endless_text_the_begin_and_the_end_are_shown(
    manager: Manager,
) -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        text = b"begin " + bytes(40_000_000).replace(b"\0", b"x") + b" end"
        peer.end_item(peer.begin(), [text, b"line", b"no facts", b"", b""], heads.RAISED)
        peer.stay()

    (error,) = outcomes(manager, behave, tasks=1)
    assert isinstance(error, RemoteError)
    assert error.traceback.startswith("begin x")
    assert error.traceback.endswith("x end")
    assert len(error.traceback) < 2_000_000
    assert "bytes are left out" in error.traceback


class BadStream(SocketStream):
    """A stream with a bug in one of its methods."""

    def __init__(self, connected: socket.socket, bug: str) -> None:
        super().__init__(connected)
        self.passes_descriptors = False
        self._bug = bug

    def _stumble(self, method: str) -> None:
        if self._bug == method:
            raise RuntimeError(f"a bug in {method}")

    def fileno(self) -> int | None:
        self._stumble("fileno")
        return super().fileno()

    def receive(self, limit_bytes: int) -> bytes:
        self._stumble("receive")
        if self._bug == "type":
            return "text"  # type: ignore[return-value]
        return super().receive(limit_bytes)

    def send(self, buffers: Any) -> int:
        self._stumble("send")
        return super().send(buffers)

    def close(self) -> None:
        super().close()
        self._stumble("close")


@pytest.mark.parametrize("bug", ["fileno", "receive", "send", "type"])
def test_a_stream_with_a_bug_costs_its_slave_alone(manager: Manager, bug: str) -> None:
    manager.add_slave(Liar(Peer.greet, lambda connected: BadStream(connected, bug)))
    wait_until(lambda: manager.slaves[0].state == "gone")
    check_that_another_slave_works(manager)


def test_a_stream_that_can_not_be_closed_costs_nothing(manager: Manager) -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        peer.send(99)

    manager.add_slave(Liar(behave, lambda connected: BadStream(connected, "close")))
    wait_until(lambda: manager.slaves[0].state == "gone")
    check_that_another_slave_works(manager)


def works(peer: Peer) -> None:
    """Be a good slave: whose tasks all return 1."""
    peer.greet()
    item = peer.begin()
    while True:
        peer.end_item(item, [b"K\1."])
        item = heads.unpack_tasks(peer.next(protocol.TASKS).head).first_item


NOT_TEXT: Any = None


@pytest.mark.parametrize("answer", [None, {0: "running"}, {0: RUNNING._replace(detail=NOT_TEXT)}])
def test_a_launch_whose_poll_fails_keeps_its_slaves_and_is_asked_again(
    manager: Manager, caplog: pytest.LogCaptureFixture, answer: Any
) -> None:
    asked: list[None] = []

    def poll() -> Mapping[int, Any]:
        asked.append(None)
        if len(asked) > 3:
            return {0: RUNNING}
        if answer is None:
            raise RuntimeError("the batch system does not answer")
        return answer  # type: ignore[no-any-return]

    def behave(peer: Peer) -> None:
        wait_until(lambda: len(asked) > 4)
        works(peer)

    with caplog.at_level(logging.WARNING, "imp_parallel.launch"):
        manager.add_slave(Liar(behave, poll=poll))
        context = manager.get_context()
        context.add_task(abs, -1)
        assert list(context.get_results()) == [1]
    told = [record.message for record in caplog.records if "poll failed" in record.message]
    assert len(told) == 2  # of three: ever more seldom
    assert "asked again" in told[0]


@pytest.mark.parametrize("hangs", [False, True])
def test_a_launch_that_never_says_how_its_slaves_are_is_their_error_after_connect_timeout(
    manager: Manager, hangs: bool
) -> None:
    is_over = threading.Event()

    def poll() -> Mapping[int, Any]:
        if hangs:
            is_over.wait()
        raise RuntimeError("the batch system\x07 does not answer")

    manager.connect_timeout = 1.0
    manager.add_slave(Liar(Peer.stay, poll=poll))
    context = manager.get_context()
    context.add_task(abs, -1)
    with pytest.raises(NoMoreSlavesError) as raised:
        list(context.get_results())
    is_over.set()
    assert "has not said how it is within 1 s (connect_timeout)" in str(raised.value)
    trouble = "has not answered" if hangs else "RuntimeError: the batch system\\x07 does not answer"
    assert trouble in str(raised.value)


def test_a_launch_that_once_said_that_its_slaves_are_queued_is_waited_for(
    manager: Manager,
) -> None:
    asked: list[None] = []

    def poll() -> Mapping[int, Any]:
        asked.append(None)
        if len(asked) > 1:
            raise RuntimeError("the batch system does not answer")
        return {0: LaunchState(LaunchPhase.QUEUED, "waits")}

    def behave(peer: Peer) -> None:
        wait_until(lambda: asked and time.monotonic() > begun_at + 3 * manager.connect_timeout)
        works(peer)

    manager.connect_timeout = 0.5
    begun_at = time.monotonic()
    manager.add_slave(Liar(behave, poll=poll))
    context = manager.get_context()
    context.add_task(abs, -1)
    assert list(context.get_results()) == [1]


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit])
def test_a_description_that_can_not_be_shown_is_a_slave_like_any_other(
    manager: Manager, kind: type[BaseException]
) -> None:
    class Shy(Liar):
        def __repr__(self) -> str:
            raise kind("shy")

    manager.add_slave(Shy(works))
    context = manager.get_context()
    context.add_task(abs, -1)
    assert list(context.get_results()) == [1]
    assert manager.slaves[0].description == f"Shy(…) (its __repr__ raised {kind.__name__})"


def test_what_is_sent_before_the_loss_of_a_runner_is_explained_is_sent_to_the_next_again(
    manager: Manager,
) -> None:
    are_added, kinds = threading.Event(), list[int]()

    def poll() -> Mapping[int, Any]:
        if is_lost.is_set():
            are_added.wait()  # so that the loss is explained late
        return {0: RUNNING}

    def behave(peer: Peer) -> None:
        peer.greet()
        item = peer.begin()
        peer.end_item(item, [b"K\1."])
        lost = heads.RunnerLostHead(item, 0, False)
        is_lost.set()
        peer.send(protocol.RUNNER_LOST, heads.pack_runner_lost(lost), [b"died"])
        peer.next(protocol.NEXT_RUNNER)
        head = heads.RunnerReadyHead(1)
        peer.send(protocol.RUNNER_READY, heads.pack_runner_ready(head))
        while protocol.SETUP not in kinds:
            message = peer.next(None)
            kinds.append(message.kind)
        peer.end_item(heads.unpack_setup(message.head).item, [b"N."])
        while True:
            message = peer.next(None)
            kinds.append(message.kind)
            if message.kind == protocol.TASKS:
                for item in heads.unpack_tasks(message.head).items:
                    peer.end_item(item, [b"K\1."])

    is_lost = threading.Event()
    manager.add_slave(Liar(behave, poll=poll))
    context = manager.get_context()
    context.add_task(abs, -1)
    wait_until(lambda: manager.slaves[0].detail == "its runner died")
    context.add_task(defined_here(), LARGE)
    context.add_task(defined_here(), LARGE)
    assert manager.slaves[0].state == "connected"  # the engine has sent them by now
    are_added.set()
    assert list(context.get_results()) == [1, 1, 1]
    assert protocol.BUNDLE in kinds
    assert protocol.KEEP in kinds


@pytest.mark.parametrize("begins", [False, True])
def test_a_slave_that_is_heard_and_never_has_a_runner_is_given_up(
    manager: Manager, begins: bool
) -> None:
    def behave(peer: Peer) -> None:
        peer.greet()
        if begins:
            lost = heads.RunnerLostHead(peer.begin(), 0, False)
            peer.send(protocol.RUNNER_LOST, heads.pack_runner_lost(lost), [b"died"])
        peer.beat()

    manager.connect_timeout, manager.heartbeat_timeout = 0.5, 4.0
    manager.add_slave(Liar(behave))
    manager.connect_timeout, manager.heartbeat_timeout = 120.0, 30.0
    context = manager.get_context()
    context.add_task(abs, -1)
    wait_until(lambda: manager.slaves[0].state == "gone")
    assert "has had no runner" in manager.slaves[0].detail
    manager.add_slave(LocalSlave())
    assert list(context.get_results()) == [1]
