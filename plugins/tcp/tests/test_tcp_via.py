"""A batch plugin that knows nothing of gateways works through one."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from imp_parallel_core import (
    Bootstrap,
    Gateway,
    InformedLaunch,
    LaunchError,
    LaunchState,
    LocalHost,
    Manager,
    NoMoreSlavesError,
    WithdrawingLaunch,
)
from imp_parallel_core._launch.gateway_launch import launch_via
from tests.support.batch import Batch, BatchArray
from tests.support.harness import Processes
from tests.support.waiting import wait_until


class HereRelay:
    """A relay of a gateway that is this machine: there is nothing to relay."""

    def __init__(self, addresses: Sequence[str], folder: str) -> None:
        self.addresses: Sequence[str] = list(addresses)
        self._folder = folder

    def close(self) -> None:
        LocalHost().remove_folder(self._folder)


class HereGateway(LocalHost):
    """A gateway whose other side is another folder."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.relays = 0

    def home(self) -> str:
        return str(self._home)

    def relay(self, addresses: Sequence[str], *, folder: str, patience_s: float) -> HereRelay:
        self.relays += 1
        return HereRelay(addresses, folder)

    def ship_modules(self, folder: str) -> Sequence[str]:
        (Path(folder) / "beside.py").write_text("ANSWER = 42\n")
        return [folder]

    def read_files(self, paths: Sequence[str], *, limit_bytes: int) -> Sequence[bytes]:
        return [Path(path).read_bytes() if Path(path).exists() else b"" for path in paths]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[HereGateway]:
    home = tmp_path / "there"
    home.mkdir()
    yield HereGateway(home)
    assert not list(home.glob(".*")), "left there"


@pytest.fixture
def manager(processes: Processes) -> Iterator[Manager]:
    with Manager(host="localhost", plugins=[Batch()]) as made:
        yield made


def test_slaves_run_there_with_what_was_sent_and_their_output_comes_back(
    gateway: HereGateway, processes: Processes, tmp_path: Path
) -> None:
    def where() -> tuple[Path, int]:
        import beside  # type: ignore[import-not-found]  # it is shipped

        print("hello from there")
        return Path.cwd(), beside.ANSWER

    assert isinstance(gateway, Gateway)
    assert not isinstance(LocalHost(), Gateway)
    with Manager(host="localhost", plugins=[Batch()]) as manager:
        manager.add_slave(BatchArray(2, gateway))
        context = manager.get_context()
        context.add_task(where)
        context.add_task(lambda: sys.modules["imp_parallel_core"].__file__)
        results = list(context.get_results())
        assert results[0] == (tmp_path / "there", 42)
        assert ".zip/imp_parallel_core" in str(results[1])
    assert gateway.relays == 1
    assert sum("hello from there" in p.read_text() for p in tmp_path.glob("slave*.output")) == 1
    wait_until(lambda: not processes.alive(), 15.0)


def test_a_python_of_another_version_is_an_error_that_lists_what_was_tried(
    gateway: HereGateway, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "find_program", lambda name: None)
    manager.add_slave(BatchArray(1, gateway))
    context = manager.get_context()
    context.add_task(print)
    with pytest.raises(NoMoreSlavesError, match=r"no Python 3\.\d+ on .*python3: not there"):
        list(context.get_results())


def test_a_relay_that_can_not_be_made_is_the_reason_and_leaves_nothing(
    gateway: HereGateway, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **options: object) -> HereRelay:
        raise LaunchError("nothing is forwarded there")

    monkeypatch.setattr(gateway, "relay", refuse)
    manager.add_slave(BatchArray(1, gateway))
    context = manager.get_context()
    context.add_task(print)
    with pytest.raises(NoMoreSlavesError, match="nothing is forwarded there"):
        list(context.get_results())


class Queue:
    """A launch of slaves that wait in a queue."""

    command = ("queue",)

    def __init__(self) -> None:
        self.withdrawn: list[int] = []

    def poll(self) -> Mapping[int, LaunchState]:
        return {}

    def cancel(self, grace_s: float) -> None: ...

    def log_tail(self, index: int) -> str:
        return ""


class InformedQueue(Queue):
    """One that is told which slaves are connected."""

    def note_connections(self, connected: Collection[int], parted: Collection[int]) -> None:
        self.withdrawn += [*connected, *parted]


class WithdrawingQueue(Queue):
    """One that lets them be taken out."""

    def withdraw(self, indices: Collection[int]) -> None:
        self.withdrawn += indices


@pytest.mark.parametrize("kind", [Queue, WithdrawingQueue])
def test_slaves_can_be_taken_out_of_a_queue_there_if_they_can_be_at_all(
    gateway: HereGateway, tmp_path: Path, kind: type[Queue]
) -> None:
    queue = kind()
    bootstrap = Bootstrap(0, sys.executable, str(tmp_path), None, [], addresses=["localhost:1"])
    launch = launch_via(gateway, [bootstrap], lambda bootstraps: queue)
    assert isinstance(launch, WithdrawingLaunch) == (kind is WithdrawingQueue)
    if isinstance(launch, WithdrawingLaunch):
        launch.withdraw([0])
        assert queue.withdrawn == [0]
    launch.cancel(0.0)


@pytest.mark.parametrize("kind", [Queue, InformedQueue])
def test_a_launch_there_is_told_which_slaves_are_connected_if_it_can_be_told(
    gateway: HereGateway, tmp_path: Path, kind: type[Queue]
) -> None:
    queue = kind()
    bootstrap = Bootstrap(0, sys.executable, str(tmp_path), None, [], addresses=["localhost:1"])
    launch = launch_via(gateway, [bootstrap], lambda bootstraps: queue)
    assert isinstance(launch, InformedLaunch)
    launch.note_connections([3], [4])
    assert queue.withdrawn == ([3, 4] if kind is InformedQueue else [])
    launch.cancel(0.0)
