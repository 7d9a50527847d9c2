"""Slaves that dial by TCP do what others do, and the Manager decides where they dial."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from imp_parallel_tcp._plugin import imp_parallel_transport
from imp_parallel_tcp._tls import TOKEN_BYTES

from imp_parallel_core import LaunchError, Manager, Transport, testing
from tests.support import file_launcher
from tests.support.file_launcher import FileSlave
from tests.support.harness import Processes
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("traced_slaves")


@pytest.mark.parametrize("check", testing.launcher_checks())
def test_a_launcher_whose_slaves_dial_conforms(
    tmp_path: Path, check: testing.LauncherCheck
) -> None:
    check(FileSlave, output_folder=tmp_path, plugins=[file_launcher])


@pytest.mark.parametrize("check", testing.transport_checks())
def test_the_transport_conforms(tmp_path: Path, check: testing.TransportCheck) -> None:
    check(new_transport, output_folder=tmp_path)


def new_transport() -> Transport:
    made: Transport | None = imp_parallel_transport("tcp")
    assert made is not None
    return made


def test_large_arguments_and_results_travel_whole(manager: Manager) -> None:
    for _ in range(2):
        manager.add_slave(FileSlave())
    context = manager.get_context(lambda: "model")
    blocks = [os.urandom(size) for size in (1, 16_384, 65_536, 300_001, 5_000_000)]
    for number in range(10):
        block = blocks[number % len(blocks)]
        context.add_task(lambda model, block, number=number: (number, block), block)
    got = dict(context.get_results_unordered())
    assert got == {number: blocks[number % len(blocks)] for number in range(10)}


def test_what_many_tasks_hold_travels_to_each_slave_once(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        manager.add_slave(FileSlave())
    block = bytearray(os.urandom(4_000_000))
    context = manager.get_context()
    fleet, sizes = manager._engine._fleet, []
    send = fleet.send

    def note(index: int, kind: int, head: bytes = b"", segments: Sequence[Any] = ()) -> None:
        sizes.append(sum(map(len, segments)))
        send(index, kind, head, segments)

    monkeypatch.setattr(fleet, "send", note)
    for number in range(60):
        context.add_task(lambda block, number: block[number], block, number)
    assert list(context.get_results()) == list(block[:60])
    # to each slave to be kept, and at most once to each with a task that began before the second
    assert sum(sizes) < 4.5 * len(block)
    block[7] ^= 1
    context.add_task(lambda block: block[7], block)
    assert list(context.get_results()) == [block[7]]


def addresses_of(manager: Manager) -> tuple[str, ...]:
    return manager._transports.get("tcp")[1]


def test_by_default_slaves_may_try_all_addresses_loopback_last() -> None:
    with Manager(plugins=[file_launcher]) as manager:
        addresses = addresses_of(manager)
        hosts = [address.rpartition(":")[0] for address in addresses]
        assert "127.0.0.1" in hosts
        first_loopback = hosts.index("127.0.0.1")
        assert set(hosts[first_loopback:]) <= {"127.0.0.1", "[::1]"}
        assert len({address.rpartition(":")[2] for address in addresses}) == 1
        assert not [host for host in hosts if host.startswith("[fe80")]
        for address in addresses:
            host, _, port = address.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()


def test_a_host_that_was_given_is_the_only_address() -> None:
    with Manager(host="127.0.0.1", plugins=[file_launcher]) as manager:
        (address,) = addresses_of(manager)
        port = int(address.removeprefix("127.0.0.1:"))
        with socket.socket() as elsewhere:
            assert elsewhere.connect_ex(("127.0.0.2", port)) != 0


def free_ports(count: int) -> range:
    for start in range(20_000, 30_000, count):
        try:
            for port in range(start, start + count):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return range(start, start + count)
    raise AssertionError("no free ports")


def test_a_port_or_a_range_of_them_can_be_given() -> None:
    ports = free_ports(2)
    with (
        Manager(host="127.0.0.1", port=ports, plugins=[file_launcher]) as first,
        Manager(host="127.0.0.1", port=ports, plugins=[file_launcher]) as second,
    ):
        assert addresses_of(first) == (f"127.0.0.1:{ports[0]}",)
        assert addresses_of(second) == (f"127.0.0.1:{ports[1]}",)
        with (
            Manager(host="127.0.0.1", port=ports, plugins=[file_launcher]) as third,
            pytest.raises(LaunchError, match=f"port {ports[0]} to {ports[1]}"),
        ):
            third.add_slave(FileSlave())
    with Manager(host="127.0.0.1", port=ports[1], plugins=[file_launcher]) as fourth:
        assert addresses_of(fourth) == (f"127.0.0.1:{ports[1]}",)


def test_a_host_that_is_not_this_machine_is_an_error_that_names_it() -> None:
    with (
        Manager(host="192.0.2.77", plugins=[file_launcher]) as manager,
        pytest.raises(LaunchError, match=r"192\.0\.2\.77"),
    ):
        manager.add_slave(FileSlave())


def test_the_key_is_in_no_command_line_environment_log_or_output(
    manager: Manager,
    tmp_path: Path,
    processes: Processes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    manager.add_slave(FileSlave())
    context = manager.get_context()
    context.add_task(lambda: dict(os.environ))
    (environment,) = context.get_results_unordered()
    token = manager._transports.get("tcp")[0].secret(0)[:TOKEN_BYTES]
    needles = [token.hex(), base64.b64encode(token).decode()[:40], repr(token)[2:20]]
    found = [str(environment), caplog.text, (tmp_path / "slave0.output").read_text()]
    assert len(processes.alive()) >= 2
    for pid in processes.alive():
        for name in ("cmdline", "environ"):
            found.append(Path(f"/proc/{pid}/{name}").read_text())
    for needle in needles:
        assert not [text for text in found if needle in text]


@pytest.mark.untraced
def test_the_slaves_side_needs_the_standard_library_only() -> None:
    program = """
        import sys
        import imp_parallel_tcp._dial
        ours = {name.partition(".")[0] for name in sys.modules}
        print(sorted(ours & {"cryptography", "pluggy", "cloudpickle", "ipaddress"}))
        print(sorted(name for name in sys.modules if name.startswith("imp_parallel_tcp")))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    foreign, own = map(eval, done.stdout.splitlines())
    assert foreign == []
    from imp_parallel_tcp._transport import TcpTransport

    assert own == sorted(TcpTransport.slave_modules)


def test_when_the_master_is_killed_its_slaves_are_gone_soon(
    tmp_path: Path, processes: Processes
) -> None:
    script = tmp_path / "master.py"
    script.write_text(
        textwrap.dedent(f"""
            import sys, time
            sys.path.insert(0, {str(Path(file_launcher.__file__).parents[2])!r})
            from tests.support import file_launcher
            from imp_parallel_core import Manager
            with Manager(host="localhost", plugins=[file_launcher]) as manager:
                for _ in range(2):
                    manager.add_slave(file_launcher.FileSlave())
                context = manager.get_context()
                for _ in range(2):
                    context.add_task(lambda: print("begun", flush=True) or time.sleep(600))
                list(context.get_results_unordered())
        """)
    )
    with subprocess.Popen([sys.executable, str(script)]) as master:
        outputs = [tmp_path / f"slave{number}.output" for number in range(2)]
        wait_until(lambda: all(path.exists() and "begun" in path.read_text() for path in outputs))
        master.send_signal(signal.SIGKILL)
    killed_at = time.monotonic()
    left = processes.gone_within(20.0)
    assert not left
    assert time.monotonic() - killed_at < 12.0
    for path in outputs:
        assert "the master has gone, this slave leaves" in path.read_text()


def test_what_a_forked_child_keeps_does_not_keep_slaves_from_seeing_that_the_master_has_gone(
    manager: Manager,
) -> None:
    manager.add_slave(FileSlave())
    host, _, port = addresses_of(manager)[0].rpartition(":")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    try:
        manager.close()
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as late:
            assert late.connect_ex((host.strip("[]"), int(port))) != 0
    finally:
        os.close(writing)
        os.close(reading)
        os.waitpid(child, 0)
