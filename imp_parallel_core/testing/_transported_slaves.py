"""Slaves whose sessions go over a transport: real ones, and one that speaks another version."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import SkipTest

from .._plugins.bootstrap import Bootstrap
from .._plugins.events import Event, SlaveChanged
from .._plugins.hookspecs import hookimpl
from .._plugins.launch import Launch, LaunchPhase, LaunchState
from .._plugins.processes import start_processes
from .._plugins.slaves import Slave
from .._plugins.transport import Transport
from .._wire import protocol
from .._wire.handshake import hello_of, slave_identity
from .._wire.stream import Accept, Stream
from ._check import wait_until
from ._launcher import Launcher
from ._listening import MakeTransport, dial
from ._talk import End, wait
from ._transported import Transported

_NAME = "the transport that is checked"
_SIZES = (0, 1, 1 << 18, (5 << 20) + 1)
_SOON_S = 60.0


class _Dialling(Slave):
    """A slave of this machine that dials."""

    transport = _NAME


class _Awaited(Slave):
    """A slave that nobody starts: the check itself dials."""

    transport = _NAME


class _AwaitedLaunch:
    command: Sequence[str] = ("the check itself",)

    def __init__(self, bootstraps: Sequence[Bootstrap]) -> None:
        self.bootstraps = bootstraps

    def poll(self) -> dict[int, LaunchState]:
        return {each.index: LaunchState(LaunchPhase.RUNNING) for each in self.bootstraps}

    def cancel(self, grace_s: float) -> None:
        """Nothing has been started."""

    def log_tail(self, index: int) -> str:
        return ""


class _NotedTransport:
    """A transport whose streams are noted."""

    def __init__(self, transport: Transport, streams: list[Stream]) -> None:
        self.dial = transport.dial
        self.slave_modules = transport.slave_modules
        self.secret = transport.secret
        self.close = transport.close
        self._transport = transport
        self._streams = streams

    def listen(self, host: str | None, port: int | range | None, accept: Accept) -> Sequence[str]:
        def note(index: int, stream: Stream) -> None:
            self._streams.append(stream)
            accept(index, stream)

        return self._transport.listen("localhost", port, note)


class _Plugin:
    """Brings the transport, and launches these slaves.

    Attributes:
        streams: those that the transport has handed over.
        bootstraps: of the slaves that nobody starts.
        states: of all slaves, in order.
    """

    def __init__(self, make_transport: MakeTransport, folder: Path) -> None:
        self.streams: list[Stream] = []
        self.bootstraps: list[Bootstrap] = []
        self.states: list[str] = []
        self._make_transport = make_transport
        self._folder = folder

    @hookimpl
    def imp_parallel_transport(self, name: str) -> Transport | None:
        return _NotedTransport(self._make_transport(), self.streams) if name == _NAME else None

    @hookimpl
    def imp_parallel_launch(
        self, slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Accept
    ) -> Launch | None:
        if isinstance(slaves, _Awaited):
            self.bootstraps += bootstraps
            return _AwaitedLaunch(bootstraps)
        if isinstance(slaves, _Dialling):
            return start_processes(bootstraps, accept, self._from_file, document="file")
        return None

    def _from_file(self, argv: list[str], bootstrap: Bootstrap) -> Sequence[str]:
        path = self._folder / f"document{bootstrap.index}"
        path.touch(mode=0o600)
        path.write_bytes(bootstrap.document())
        return [*argv, "file", str(path)]

    @hookimpl
    def imp_parallel_observe(self, events: Sequence[Event]) -> None:
        self.states += [event.state for event in events if isinstance(event, SlaveChanged)]


def _launcher(transported: Transported, plugin: _Plugin, kind: type[Slave]) -> Launcher:
    return Launcher(kind, transported.output_folder, (plugin,), True, transported.limit_s)


def _plugin(transported: Transported) -> _Plugin:
    return _Plugin(transported.make_transport, transported.output_folder)


def arguments_and_results_of_any_size_travel(transported: Transported) -> None:
    """Real slaves get and return empty payloads, one byte, 256 KiB and 5 MiB."""
    launcher = _launcher(transported, _plugin(transported), _Dialling)
    with launcher.manager() as manager:
        launcher.add_slaves(manager, least=2)
        context = manager.get_context()
        blocks = [os.urandom(size) for size in _SIZES] * 2
        for block in blocks:
            context.add_task(lambda block: block[::-1], block)
        found = list(context.get_results())
    assert found == [block[::-1] for block in blocks], "other bytes came back than were sent"


def a_session_goes_on_over_another_stream(transported: Transported) -> None:
    """A task goes on when the connection breaks; its result comes over the next connection."""
    plugin = _plugin(transported)
    launcher, folder = _launcher(transported, plugin, _Dialling), transported.output_folder

    def work() -> str:
        import time

        with (folder / "runs").open("a") as file:
            file.write("run\n")
        while not (folder / "go").exists():
            time.sleep(0.01)
        return "done"

    with launcher.manager() as manager:
        launcher.add_slaves(manager)
        context = manager.get_context()
        context.add_task(work)
        assert wait_until((folder / "runs").exists, _SOON_S), "the task did not begin"
        _break(plugin.streams[0])
        assert wait_until(lambda: "reconnecting" in plugin.states, _SOON_S), (
            f"the master does not notice that the connection has broken; states: {plugin.states}"
        )
        (folder / "go").touch()
        results = list(context.get_results())
    runs = (folder / "runs").read_text().count("run")
    assert results == ["done"], f"the results are {results}"
    assert runs == 1, f"the task ran {runs} times, since its slave did not come back"


def _break(stream: Stream) -> None:
    """Break a connection, as a network would."""
    if not stream.resumable:
        raise SkipTest("the streams of this transport can't be made again (resumable)")
    descriptor = stream.fileno()
    try:
        if descriptor is None:
            raise SkipTest("the streams of this transport have no descriptor")
        with socket.socket(fileno=os.dup(descriptor)) as raw:
            raw.shutdown(socket.SHUT_RDWR)
    except OSError as problem:
        raise SkipTest(f"the streams of this transport have no sockets: {problem}") from problem


def a_slave_of_another_version_is_told_why_it_is_refused(transported: Transported) -> None:
    """What the master writes just before it closes a stream arrives."""
    plugin = _plugin(transported)
    launcher = _launcher(transported, plugin, _Awaited)
    with launcher.manager() as manager:
        launcher.add_slaves(manager)
        assert wait_until(lambda: plugin.bootstraps, _SOON_S), "the launch was not begun"
        document: dict[str, Any] = json.loads(plugin.bootstraps[0].document())
        identity = {**slave_identity(0), "cloudpickle": "?", "protocol": 0}
        hello = protocol.encode_frame(protocol.HELLO, hello_of(identity, 0))
        with closing(dial(document)) as stream:
            end, said = End(stream, "the stream of a slave of another version"), b""
            assert end.send([hello]) == len(hello), "send() did not take a small message"
            while not end.has_ended:
                if wait([end]):
                    said += end.receive_ready()
            end.forget()
    assert b"don't fit together" in said, (
        f"a slave of another version was refused, but the reason did not arrive: {said!r}"
    )
