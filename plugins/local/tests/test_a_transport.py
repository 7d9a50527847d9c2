"""A transport that a stranger wrote: slaves that dial the master themselves."""

from __future__ import annotations

import os
import signal
import socket
from functools import partial
from pathlib import Path

import pytest
from dialing_slave import DialingSlave, Plugin

from imp_parallel_core import Manager, PluginError, SocketStream, testing
from tests.support.harness import Processes
from tests.support.unix_transport import UnixTransport, WakingStream, connect
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


def address_of(plugin: Plugin) -> str:
    listener = plugin.transport._listener
    assert listener is not None
    return os.fsdecode(listener.getsockname())


OF_RESUMPTION = {
    "a_slave_whose_stream_has_broken_dials_again",
    "a_session_goes_on_over_another_stream",
}
OF_SOCKETS = {"a_peer_that_has_only_stopped_writing_has_ended"}


@pytest.mark.parametrize(
    ("make_stream", "left_out"),
    [(SocketStream, OF_RESUMPTION), (WakingStream, OF_RESUMPTION | OF_SOCKETS)],
)
def test_a_transport_of_a_strangers_conforms(
    processes: Processes, tmp_path: Path, make_stream: type[SocketStream], left_out: set[str]
) -> None:
    folder = tmp_path / "checks"
    folder.mkdir()
    make = partial(UnixTransport, make_stream)
    assert testing.check_transport(make, output_folder=folder, connect=connect).keys() == left_out


def test_who_does_not_know_the_secret_gets_no_further(processes: Processes) -> None:
    plugin = Plugin()
    with Manager(plugins=[plugin]) as manager:
        manager.add_slave(DialingSlave())
        context = manager.get_context()
        context.add_task(lambda: "fine")
        assert list(context.get_results_unordered()) == ["fine"]
        with connect(address_of(plugin)) as stranger:
            stranger.sendall(b"x" * 18)
            assert stranger.recv(1) == b""
        assert plugin.transport.refused == 1


def test_a_slave_that_claims_a_living_slaves_place_is_turned_away(processes: Processes) -> None:
    plugin = Plugin()
    with Manager(plugins=[plugin]) as manager:
        manager.add_slave(DialingSlave())
        wait_until(lambda: manager.slaves[0].state == "idle")
        with connect(address_of(plugin)) as second:
            second.sendall(plugin.transport.secret(0) + bytes(2))
            assert second.recv(2, socket.MSG_WAITALL) == b"y"
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
