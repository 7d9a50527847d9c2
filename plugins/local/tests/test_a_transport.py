"""A transport that a stranger wrote: slaves that dial the master themselves."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest
from unix_transport import DialingSlave, Plugin, WakingStream

from imp_parallel_core import Manager, PluginError, SocketStream, testing
from tests.support.harness import Processes
from tests.support.waiting import wait_until


@pytest.mark.parametrize("make_stream", [SocketStream, WakingStream])
def test_slaves_that_dial_do_what_others_do(
    processes: Processes, make_stream: type[SocketStream]
) -> None:
    with Manager(plugins=[Plugin(make_stream)]) as manager:
        for _ in range(2):
            manager.add_slave(DialingSlave())
        context = manager.get_context(lambda: "model")
        block = os.urandom(3_000_000)
        for number in range(20):
            context.add_task(lambda model, block, number=number: (model, number, block), block)
        expected = [("model", number, block) for number in range(20)]
        assert sorted(context.get_results_unordered()) == expected


@pytest.mark.parametrize("check", testing.launcher_checks())
def test_a_launcher_with_a_transport_conforms(
    processes: Processes, tmp_path: Path, check: testing.LauncherCheck
) -> None:
    check(DialingSlave, output_folder=tmp_path, plugins=[Plugin()])


def test_who_does_not_know_the_secret_gets_no_further(processes: Processes) -> None:
    plugin = Plugin()
    with Manager(plugins=[plugin]) as manager:
        manager.add_slave(DialingSlave())
        context = manager.get_context()
        context.add_task(lambda: "fine")
        assert list(context.get_results_unordered()) == ["fine"]
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(plugin.transport._listener.getsockname())
            stranger.sendall(b"x" * 17)
            assert stranger.recv(1) == b""
        assert plugin.transport.refused == 1


def test_a_slave_that_claims_a_living_slaves_place_is_turned_away(processes: Processes) -> None:
    plugin = Plugin()
    with Manager(plugins=[plugin]) as manager:
        manager.add_slave(DialingSlave())
        wait_until(lambda: manager.slaves[0].state == "idle")
        with socket.socket(socket.AF_UNIX) as second:
            second.connect(plugin.transport._listener.getsockname())
            second.sendall(plugin.transport.secret(0) + b"\0")
            assert second.recv(1) == b""
        context = manager.get_context()
        context.add_task(lambda: "undisturbed")
        assert list(context.get_results_unordered()) == ["undisturbed"]


def test_a_slave_that_starts_after_the_run_says_so_and_exits_with_0(
    processes: Processes, tmp_path: Path
) -> None:
    plugin = Plugin()
    with Manager(plugins=[plugin], python="sleep 1;") as manager:
        manager.add_slave(DialingSlave())
        wait_until(lambda: manager.slaves[0].state == "launching")
        for pid in processes.alive():
            os.kill(pid, signal.SIGKILL)
    launch_file = tmp_path / "gone"
    from imp_parallel_core._slave.program import _read_file

    with pytest.raises(SystemExit) as caught:
        _read_file(str(launch_file))
    assert caught.value.code == 0


def test_a_transport_that_nobody_brings_is_an_error_of_add_slave(manager: Manager) -> None:
    with pytest.raises(PluginError, match="transport 'unix'"):
        manager.add_slave(DialingSlave())
