"""A broken connection is not a lost slave: the session goes on over another."""

from __future__ import annotations

import base64
import ctypes
import json
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

import cloudpickle
import pytest
from imp_parallel_tcp._dial import dial

from imp_parallel_core import LaunchPhase, LaunchState, Manager, Stream
from imp_parallel_core._fleet.record import SlaveRecord
from imp_parallel_core._fleet.session_state import SessionState
from imp_parallel_core._fleet.state import SlaveState
from imp_parallel_core._slave.process import kill_quietly
from imp_parallel_core._wire import protocol
from imp_parallel_core._wire.decoder import Decoder
from imp_parallel_core._wire.handshake import hello_of, slave_identity
from imp_parallel_core._wire.link import Link
from tests.support import file_launcher
from tests.support.file_launcher import FileSlave
from tests.support.harness import Processes
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("traced_slaves")


def open_link(manager: Manager, slave: int = 0) -> Link:
    """Return the master's end of a slave's connection when there is one."""
    record = manager._engine._fleet.records[slave]
    wait_until(lambda: record.link is not None and record.link.is_open)
    assert record.link is not None
    return record.link


def session_of(record: SlaveRecord) -> SessionState:
    """Return the session of a slave that is connected."""
    assert record.life.session is not None
    return record.life.session


def break_connection(manager: Manager, slave: int = 0) -> None:
    """End a slave's connection under the master's feet."""
    descriptor = open_link(manager, slave)._descriptor
    assert descriptor is not None
    with socket.socket(fileno=os.dup(descriptor)) as connected:
        connected.shutdown(socket.SHUT_RDWR)


class Logged:
    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self) -> tuple[int, bytes]:
        with Path("begun").open("a") as file:
            file.write(f"{self.number}\n")
        time.sleep(0.05)
        return self.number, os.urandom(200_000)


def begun() -> list[int]:
    return [int(line) for line in Path("begun").read_text().split()]


def test_nothing_is_lost_or_run_twice_when_connections_break_again_and_again(
    manager: Manager,
) -> None:
    for _ in range(2):
        manager.add_slave(FileSlave())
    context = manager.get_context()
    for number in range(60):
        context.add_task(Logged(number))
    got = []
    for number, _ in context.get_results_unordered():
        got.append(number)
        if len(got) % 12 == 5:
            break_connection(manager, len(got) // 12 % 2)
    assert sorted(got) == list(range(60))
    assert sorted(begun()) == list(range(60))


def test_a_large_result_survives_a_break_in_its_middle(manager: Manager) -> None:
    manager.add_slave(FileSlave())
    context = manager.get_context()
    context.add_task(lambda: bytes(60_000_000))
    wait_until(lambda: manager.slaves[0].task == 0)
    link = open_link(manager)
    wait_until(lambda: link.session._decoder._partial is not None)
    break_connection(manager)
    assert list(context.get_results_unordered()) == [bytes(60_000_000)]


def test_a_slave_that_dies_while_it_is_expected_back_is_lost_at_once_and_charged(
    processes: Processes,
) -> None:
    with Manager(host="localhost", plugins=[file_launcher]) as manager:
        for _ in range(2):
            manager.add_slave(FileSlave())
        context = manager.get_context()
        gate = Path("gate")

        def work() -> str:
            while not gate.exists():
                time.sleep(0.01)
            return "done"

        for _ in range(2):
            context.add_task(work)
        wait_until(lambda: [slave.state for slave in manager.slaves] == ["working"] * 2)
        victim = manager.slaves[0].pid
        assert victim is not None
        begun_at = time.monotonic()
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: manager.slaves[0].pid not in (None, victim))
        assert time.monotonic() - begun_at < 15.0  # not after heartbeat_timeout (30 s)
        gate.touch()
        assert list(context.get_results_unordered()) == ["done", "done"]


def test_a_master_that_can_do_nothing_for_a_while_finds_its_slaves_again(
    processes: Processes,
) -> None:
    class Impatient(Manager):
        heartbeat_timeout = 1.0
        reconnect_timeout = 1.0

    with Impatient(host="localhost", plugins=[file_launcher]) as manager:
        manager.add_slave(FileSlave())
        context = manager.get_context()
        context.add_task(os.getppid)
        ((before,)) = context.get_results_unordered()
        keep_the_interpreter_lock(5.0)
        context.add_task(os.getppid)
        assert list(context.get_results_unordered()) == [before]


def keep_the_interpreter_lock(seconds: float) -> None:
    """Call C code that does not release it: no other thread of this process runs."""
    ctypes.PyDLL(None).usleep(int(seconds * 1e6))


def answer_to(document: dict[str, object], hello: dict[str, object]) -> tuple[int, bytes]:
    """Claim to be a slave; return the master's answer."""
    stream = dial(document, 10.0)
    try:
        stream.send([protocol.encode_frame(protocol.HELLO, hello_of(hello, 0))])
        decoder = Decoder()
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                data = stream.receive(1 << 18)
            except BlockingIOError:
                time.sleep(0.01)
                continue
            assert data, "the stream ended without an answer"
            for kind, body in decoder.feed(data):
                assert isinstance(body, bytes)
                return kind, body
        raise AssertionError("no answer")
    finally:
        stream.close()


def document_of(manager: Manager, index: int) -> dict[str, object]:
    """Return what the slave of that index would be given, whether there is one or not."""
    transport, addresses = manager._transports.get("tcp")
    secret = base64.b64encode(transport.secret(index)).decode()
    return {"index": index, "addresses": addresses, "secret": secret}


@pytest.fixture
def document(manager: Manager) -> dict[str, object]:
    manager.add_slave(FileSlave())
    wait_until(lambda: manager.slaves[0].state == "idle")
    record = manager._engine._fleet.records[0]
    found: dict[str, object] = json.loads(record.bootstrap.document())
    return found


def test_who_claims_the_place_of_a_living_slave_is_refused(
    manager: Manager, document: dict[str, object]
) -> None:
    identity = slave_identity(0) | {"cloudpickle": cloudpickle.__version__}
    record = manager._engine._fleet.records[0]
    claims = [
        identity,
        identity | {"session": "f" * 32},
        identity | {"session": session_of(record).token},  # of another boot
        identity | {"boot": session_of(record).boot, "session": "f" * 32},
        identity | {"boot": session_of(record).boot},  # it has received messages already
    ]
    for claim in claims:
        kind, body = answer_to(document, claim)
        assert kind == protocol.REFUSE
        assert b"is there already" in body
    context = manager.get_context()
    context.add_task(lambda: "undisturbed")
    assert list(context.get_results_unordered()) == ["undisturbed"]
    assert manager.slaves[0].pid != os.getpid()


def test_a_slave_that_comes_back_with_nonsense_is_lost_at_once_and_launched_again(
    manager: Manager, document: dict[str, object]
) -> None:
    record = manager._engine._fleet.records[0]
    pid = record.life.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # so that it can't be back itself
    try:
        break_connection(manager)
        wait_until(lambda: record.life.state is SlaveState.RECONNECTING)
        # (meanwhile the launch is asked whether it has ended)
        identity = slave_identity(0) | {"cloudpickle": cloudpickle.__version__}
        claim = identity | {"session": session_of(record).token, "boot": session_of(record).boot}
        stream = dial(document, 10.0)
        stream.send([protocol.encode_frame(protocol.HELLO, hello_of(claim, 10**6))])
        wait_until(lambda: manager.slaves[0].pid not in (None, pid), 15.0)
        stream.close()
    finally:
        kill_quietly(pid, signal.SIGCONT)
    context = manager.get_context()
    context.add_task(lambda: "a new one")
    assert list(context.get_results_unordered()) == ["a new one"]


def test_no_task_has_the_credentials_of_its_slave(manager: Manager) -> None:
    def sought() -> list[str]:
        found: list[str] = []
        frame: FrameType | None = sys._getframe()
        while frame is not None:
            found += [name for name, value in frame.f_locals.items() if '"sys_path"' in repr(value)]
            frame = frame.f_back
        return found

    manager.add_slave(FileSlave())
    context = manager.get_context()
    context.add_task(sought)
    assert list(context.get_results()) == [[]]


def test_a_token_of_another_slave_or_for_a_slave_that_there_is_not_opens_nothing(
    manager: Manager, document: dict[str, object]
) -> None:
    manager.add_slave(FileSlave())
    wait_until(lambda: manager.slaves[1].state == "idle")
    record = manager._engine._fleet.records[0]
    identity = slave_identity(1) | {
        "cloudpickle": cloudpickle.__version__,
        "session": session_of(record).token,
        "boot": session_of(record).boot,
    }
    kind, _ = answer_to(document_of(manager, 1), identity)
    assert kind == protocol.REFUSE
    stream = dial(document_of(manager, 77), 10.0)
    try:
        wait_until(lambda: ended(stream))
    finally:
        stream.close()


def ended(stream: Stream) -> bool:
    try:
        return stream.receive(1 << 18) == b""
    except BlockingIOError:
        return False
    except (OSError, ssl.SSLError):
        return True


def test_a_slave_that_is_told_to_leave_while_it_is_cut_off_brings_its_result_first(
    processes: Processes,
) -> None:
    with Manager(host="localhost", plugins=[file_launcher], max_relaunches=0) as manager:
        manager.add_slave(FileSlave())
        context = manager.get_context()
        gate, begun = Path("gate"), Path("begun")

        def work() -> bytes:
            begun.touch()
            while not gate.exists():
                time.sleep(0.01)
            return bytes(3_000_000)

        context.add_task(work)
        wait_until(begun.exists)
        pid = manager.slaves[0].pid
        assert pid is not None
        break_connection(manager)
        os.kill(pid, signal.SIGTERM)
        gate.touch()
        assert list(context.get_results_unordered()) == [bytes(3_000_000)]
        wait_until(lambda: manager.slaves[0].state == "gone")
        assert "left: it received SIGTERM" in manager.slaves[0].detail


class SlowToNotice(file_launcher.FileLaunch):
    """A launch that learns of an end two seconds late, as a batch system's does."""

    ended_at = float("inf")

    def poll(self) -> Mapping[int, LaunchState]:
        (found,) = super().poll().items()
        index, state = found
        if state.phase is not LaunchPhase.ENDED:
            return {index: state}
        self.ended_at = min(self.ended_at, time.monotonic())
        is_known = time.monotonic() - self.ended_at >= 2.0
        return {index: state if is_known else LaunchState(LaunchPhase.RUNNING)}


def test_a_slave_that_was_killed_is_known_to_be_gone_soon_after_its_launch_knows_it(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_launcher, "FileLaunch", SlowToNotice)
    manager.add_slave(FileSlave())
    wait_until(lambda: manager.slaves[0].state == "idle")
    pid = manager.slaves[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    killed_at = time.monotonic()
    wait_until(lambda: manager.slaves[0].state == "reconnecting")
    wait_until(lambda: manager.slaves[0].state != "reconnecting")
    assert time.monotonic() - killed_at < 6.0  # by heartbeats alone it would take 7.5 s


def test_tasks_are_for_others_while_a_slave_is_away(manager: Manager) -> None:
    for _ in range(2):
        manager.add_slave(FileSlave())
    wait_until(lambda: [slave.state for slave in manager.slaves] == ["idle"] * 2)
    supervisor = manager.slaves[0].pid
    assert supervisor is not None
    context = manager.get_context()
    os.kill(supervisor, signal.SIGSTOP)  # so that it can't be back at once
    try:
        break_connection(manager, 0)
        wait_until(lambda: manager.slaves[0].state == "reconnecting")
        for number in range(10):
            context.add_task(lambda number=number: number)
        assert sorted(context.get_results_unordered()) == list(range(10))
        assert [slave.tasks_done for slave in manager.slaves] == [0, 10]
    finally:
        os.kill(supervisor, signal.SIGCONT)
    wait_until(lambda: manager.slaves[0].state == "idle")
    for _ in range(2):
        context.add_task(time.sleep, 0.5)
    assert list(context.get_results_unordered()) == [None] * 2
    assert [slave.tasks_done for slave in manager.slaves] == [1, 11]
