"""Large payloads on one machine: passed and not copied, whoever dies; memory is bounded."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from imp_parallel_core import (
    Accept,
    Bootstrap,
    LaunchPhase,
    LaunchState,
    Manager,
    Slave,
    SocketStream,
    TaskLostError,
    hookimpl,
)
from tests.support.harness import Processes, RunScript
from tests.support.large_blocks import (
    Block,
    mapped_shared_memory_of,
    pass_over_what_is_held,
    shared_memory_of,
)
from tests.support.waiting import wait_until

MB = 1_000_000
SUPERVISOR_BYTES = 60 * MB  # a supervisor without any payload has some 20


@pytest.fixture(autouse=True)
def _count_from_here() -> None:
    pass_over_what_is_held()


def echo(value: Any) -> Any:
    return value


def peak_bytes(pid: int) -> int:
    """Return the most memory that a process has had."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmHWM:")[2].split()[0]) * 1024


def nothing_is_held(manager: Manager) -> bool:
    """Tell whether all slaves are there, and neither they nor this process hold anything."""
    gc.collect()
    if {slave.state for slave in manager.slaves} != {"idle"}:
        return False
    pids = [pid for slave in manager.slaves for pid in (slave.pid, slave.runner_pid) if pid]
    holders: list[int | str] = ["self", *pids]
    return not any(map(shared_memory_of, holders))


def test_a_large_payload_does_not_pass_through_the_supervisor(one_slave: Manager) -> None:
    data = os.urandom(100 * MB)
    context = one_slave.get_context()
    for thing in (data, Block(bytearray(data))):
        context.add_task(echo, thing)
    first, second = context.get_results()
    assert first == data
    assert bytes(second.data) == data
    supervisor = one_slave.slaves[0].pid
    assert supervisor is not None
    assert peak_bytes(supervisor) < SUPERVISOR_BYTES
    del first, second
    wait_until(lambda: nothing_is_held(one_slave))


def test_what_a_task_writes_to_its_argument_is_seen_by_nobody_else(one_slave: Manager) -> None:
    block = Block(bytearray(3 * MB))

    def spoil(shared: Block, own: Block) -> tuple[int, int]:
        found = shared.data[0], own.data[0]
        shared.data[0] = own.data[0] = 1
        return found

    context = one_slave.get_context(lambda: Block(bytearray(block.data)))
    for _ in range(3):
        context.add_task(spoil, block)
    assert list(context.get_results()) == [(0, 0), (1, 0), (1, 0)]
    assert block.data[0] == 0


def test_a_result_can_be_written_to(one_slave: Manager) -> None:
    context = one_slave.get_context()
    context.add_task(lambda: Block(bytearray(3 * MB)))
    (result,) = context.get_results_unordered()
    result.data[:2] = b"me"
    assert bytes(result.data[:3]) == b"me\0"


def test_what_a_set_up_has_captured_is_in_memory_once_for_all_slaves(two_slaves: Manager) -> None:
    block = Block(os.urandom(50 * MB))
    context = two_slaves.get_context(lambda: block)

    def look(block: Block) -> tuple[int, int, set[str]]:
        return os.getpid(), block.data[-1], mapped_shared_memory_of("self")

    seen: dict[int, set[str]] = {}
    while len(seen) < 2:
        for _ in range(10):
            context.add_task(look)
        for pid, last, mapped in context.get_results_unordered():
            assert last == block.data[-1]
            seen[pid] = mapped
    inodes = [*seen.values()]
    assert inodes[0] == inodes[1] != set()


def test_what_code_has_captured_is_kept_no_longer_than_the_context_is_open(
    one_slave: Manager,
) -> None:
    context = one_slave.get_context()
    for number in range(3):
        names: dict[str, Any] = {"__name__": "__main__", "DATA": Block(bytes([number]) * MB)}
        exec("def first_byte(): return DATA.data[0]", names)
        context.add_task(names["first_byte"])
    assert sorted(context.get_results_unordered()) == [0, 1, 2]
    names.clear()
    assert not nothing_is_held(one_slave)
    context.close()
    wait_until(lambda: nothing_is_held(one_slave))


def test_a_task_whose_runner_dies_is_tried_again_with_the_same_payload(
    one_slave: Manager, tmp_path: Path
) -> None:
    data = os.urandom(20 * MB)

    def die_twice(block: Block) -> bytes:
        tries = tmp_path / "tries"
        with tries.open("a") as file:
            file.write(".")
        block.data[:10] = b"overwrites"
        if len(tries.read_text()) < 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return bytes(block.data[10:])

    context = one_slave.get_context()
    context.add_task(die_twice, Block(bytearray(data)))
    (result,) = context.get_results_unordered()
    assert result == data[10:]
    del result
    wait_until(lambda: nothing_is_held(one_slave))


def test_nothing_is_left_of_a_task_that_is_given_up(one_slave: Manager) -> None:
    context = one_slave.get_context()
    context.add_task(lambda block: os.kill(os.getpid(), signal.SIGKILL), Block(bytearray(20 * MB)))
    with pytest.raises(TaskLostError) as caught:
        list(context.get_results_unordered())
    del caught
    wait_until(lambda: nothing_is_held(one_slave))


@pytest.mark.parametrize("victim", ["pid", "runner_pid"])
def test_payloads_survive_the_death_of_a_process_that_passes_them_on(
    two_slaves: Manager, victim: str
) -> None:
    """Whatever moment the kill strikes at: each task gives its result once, and nothing is left."""
    wait_until(lambda: {slave.state for slave in two_slaves.slaves} == {"idle"})
    context = two_slaves.get_context(max_attempts=20)
    for number in range(60):
        context.add_task(echo, Block(bytearray([number]) * (2 * MB)))
    found = []
    for count, result in enumerate(context.get_results_unordered()):
        found.append(result.data[-1])
        if count % 12 == 5:
            pid = getattr(two_slaves.slaves[count // 12 % 2], victim)
            with contextlib.suppress(ProcessLookupError):  # it has not been replaced yet
                if pid is not None:
                    os.kill(pid, signal.SIGKILL)
    assert sorted(found) == list(range(60))
    del result
    wait_until(lambda: nothing_is_held(two_slaves))


class RelayedSlave(Slave):
    """A slave whose bytes pass through somebody else, as those of an SSH client do."""


class RelayedLaunch:
    """Sockets at both ends, and two threads between them that know of bytes only."""

    def __init__(self, bootstrap: Bootstrap, accept: Accept) -> None:
        self.command = bootstrap.command("stdin")
        self._index = bootstrap.index
        ours, near = socket.socketpair()
        far, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(self.command, stdin=theirs.fileno())
        self._ends = near, far
        self._relays = [
            threading.Thread(target=self._relay, args=ends) for ends in ((near, far), (far, near))
        ]
        for relay in self._relays:
            relay.start()
        ours.sendall(bootstrap.document())
        accept(bootstrap.index, SocketStream(ours))

    def _relay(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)

    def poll(self) -> dict[int, LaunchState]:
        code = self._process.poll()
        phase = LaunchPhase.RUNNING if code is None else LaunchPhase.ENDED
        return {self._index: LaunchState(phase, exit_code=code)}

    def cancel(self, grace_s: float) -> None:
        self._process.wait(grace_s + 5.0)
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for relay in self._relays:
            relay.join()
        for end in self._ends:
            end.close()

    def log_tail(self, index: int) -> str:
        return ""


class RelayedPlugin:
    @hookimpl
    def imp_parallel_launch(
        self, slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Accept
    ) -> RelayedLaunch | None:
        return RelayedLaunch(bootstraps[0], accept) if isinstance(slaves, RelayedSlave) else None


def test_payloads_arrive_where_something_on_the_way_drops_descriptors(
    processes: Processes,
) -> None:
    with Manager(plugins=[RelayedPlugin()]) as manager:
        manager.add_slave(RelayedSlave())
        context = manager.get_context()
        data = os.urandom(3 * MB)
        context.add_task(echo, data)
        context.add_task(echo, Block(bytearray(data)))
        first, second = context.get_results()
        assert first == bytes(second.data) == data
        for number in range(10):
            context.add_task(lambda block, number: block.data[number], second, number)
        assert list(context.get_results()) == list(data[:10])
        link = manager._engine._fleet.records[0].link
        assert link is not None
        assert link.session.passes_descriptors is False


def test_more_payloads_than_there_are_descriptors_arrive(
    start_script: RunScript, processes: Processes
) -> None:
    source = """
        import os, resource
        from imp_parallel_core import Manager
        from imp_parallel_local import LocalSlave
        resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))
        with Manager() as manager:
            manager.add_slave(LocalSlave())
            context = manager.get_context()
            for number in range(200):
                context.add_task(lambda data: data, bytes([number]) * 400_000)
            kept = list(context.get_results())
            assert [data[-1] for data in kept] == list(range(200))
            assert {len(data) for data in kept} == {400_000}
            print("all there")
    """
    assert start_script(source).communicate(timeout=50) == ("all there\n", "")


SLOW_READER = """
    import os, time
    from pathlib import Path
    from imp_parallel_core import Manager
    from imp_parallel_local import LocalSlave

    SIZE = 50_000_000
    CREDIT = 256 * 1024**2

    def used():
        "What this process has in memory: its own, and the shared memory that only it holds."
        own = 1024 * int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0])
        held = {}
        for line in Path("/proc/self/maps").read_text().splitlines():
            if "memfd:imp_parallel" in line:
                first, last = (int(end, 16) for end in line.split()[0].split("-"))
                held[line.split()[4]] = last - first
        return own + sum(held.values())

    with Manager() as manager:
        for _ in range(2):
            manager.add_slave(LocalSlave())
        context = manager.get_context()
        def make():
            time.sleep(0.1)  # it is not short, so that few are sent ahead
            return bytes(SIZE)

        for _ in range(30):
            context.add_task(make)
        peak, count = 0, 0
        for result in context.get_results_unordered():
            count += 1
            busy_until = time.monotonic() + (1.5 if count < 4 else 0.1)
            while time.monotonic() < busy_until:
                peak = max(peak, used())
                time.sleep(0.01)
        print(count, peak > CREDIT, peak)
        # what waits, what was with the slaves (two tasks each at most, as they are not short),
        # the one that is read, and the next
        assert peak < CREDIT + (2 * 2 + 2) * SIZE + 60_000_000, peak
"""


def test_a_user_who_reads_slowly_bounds_the_memory_that_results_take(
    start_script: RunScript, processes: Processes
) -> None:
    output, errors = start_script(SLOW_READER).communicate(timeout=50)
    assert errors == ""
    assert output.startswith("30 ")
