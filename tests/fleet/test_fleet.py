"""The fleet performs what the lives of slaves decide."""

from __future__ import annotations

import queue
import selectors
import socket
from collections.abc import Callable, Sequence
from typing import Any

from imp_parallel_core import Bootstrap, LaunchError, Slave
from imp_parallel_core._fleet.fleet import Fleet
from imp_parallel_core._fleet.record import SlaveRecord
from imp_parallel_core._fleet.state import SlaveState, Timeouts
from imp_parallel_core._scheduler.scheduler import Scheduler
from imp_parallel_core._wire import protocol
from imp_parallel_core._wire.handshake import refusal
from imp_parallel_core._wire.stream import SocketStream


class FakeLoop:
    """Does what is posted when a test says so, and never what is to be done later."""

    def __init__(self) -> None:
        self.posted: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.selector = selectors.DefaultSelector()

    def post(self, function: Callable[[], None]) -> None:
        self.posted.put(function)

    def call_at(self, when: float, function: Callable[[], None]) -> None: ...


class NoLicence:
    """Plugins of which none can launch anything."""

    def launch(self, *_: object) -> None:
        raise LaunchError("no licence")


class Stream:
    """A stream that fails as soon as anybody wants to read from it."""

    resumable = True

    def __init__(self) -> None:
        self.is_closed = False

    def fileno(self) -> int:
        raise RuntimeError("it is broken")

    def close(self) -> None:
        self.is_closed = True


class Scene:
    def __init__(self) -> None:
        loop: Any = FakeLoop()
        plugins: Any = NoLicence()
        self.loop = loop
        self.states: list[SlaveState] = []
        self.fleet = Fleet(Scheduler(), lambda actions: None, plugins, loop, self.note)
        bootstrap = Bootstrap(index=0, python="", cwd="", output_path=None, sys_path=[])
        self.record = SlaveRecord(Slave(), bootstrap, Timeouts(30.0, 10.0, 60.0, 30.0))
        self.fleet.launch([self.record])

    def note(self, record: SlaveRecord) -> None:
        self.states.append(record.life.state)

    def take_report(self) -> None:
        self.loop.posted.get(timeout=30.0)()

    def offer(self, streams: Sequence[Stream | SocketStream]) -> None:
        for stream in streams:
            self.fleet.stream_made(0, stream)  # type: ignore[arg-type]  # a plugin's

    def close(self) -> None:
        self.fleet.close(0.0)
        self.fleet.abandon()
        self.loop.selector.close()


def test_a_slave_that_is_lost_and_not_launched_again_is_let_go() -> None:
    scene = Scene()
    watch = scene.record.watch
    scene.take_report()
    assert scene.states == [SlaveState.LAUNCHING, SlaveState.GONE]
    assert scene.record.failure == "slave 0: no licence"
    assert scene.record.watch is None
    assert watch is not None
    watch.join(30.0)
    assert not watch.is_alive()
    scene.close()


def test_a_stream_that_can_not_be_read_from_is_closed_and_costs_a_slave_at_most() -> None:
    scene = Scene()
    stream = Stream()
    scene.offer([stream])
    assert stream.is_closed
    assert scene.record.offered == {}
    assert scene.record.life.question is not None
    scene.close()


def test_a_slave_that_just_connects_when_the_run_ends_is_told_so_and_does_not_dial_again() -> None:
    scene = Scene()
    ours, theirs = socket.socketpair()
    with theirs:
        scene.offer([SocketStream(ours)])
        scene.close()
        theirs.settimeout(30.0)
        said = b"".join(iter(lambda: theirs.recv(1 << 16), b""))
    assert said == protocol.encode_frame(protocol.REFUSE, refusal("the run is over"))


def test_streams_that_come_after_the_end_are_closed() -> None:
    scene = Scene()
    scene.close()
    stream = Stream()
    warned = scene.record.life.question
    scene.offer([stream])
    assert stream.is_closed
    assert scene.record.life.question is warned  # nobody has tried to read from it
