"""A real slave, and the master's end of its stream in the hands of a test."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imp_parallel_core import Bootstrap, LaunchPhase, SocketStream, Stream, start_processes
from imp_parallel_core._wire import heads, protocol
from imp_parallel_core._wire.protocol import Message
from imp_parallel_core._wire.session import Session
from imp_parallel_core._wire.shared_memory import open_segment
from imp_parallel_core._wire.value_records import unpack_values

from .waiting import wait_until


class FalseMaster:
    """The master's end of a real slave's stream.

    Args:
        folder: where the slave works, and writes its output.
        arguments: more arguments of the slave program.
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.output = folder / "output"
        self.pending: list[Message] = []
        self.session = Session()
        bootstrap = Bootstrap(
            index=0,
            python=sys.executable,
            cwd=str(folder),
            output_path=str(self.output),
            sys_path=sys.path,
        )
        self.launch = start_processes(
            [bootstrap], self._accept, lambda argv, _: [*argv, *arguments]
        )

    def _accept(self, index: int, stream: Stream) -> None:
        assert isinstance(stream, SocketStream)
        self.socket = stream._socket
        self.socket.settimeout(60)

    def _read(self) -> None:
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError("the slave has closed the stream")
        self.pending += self.session.receive(data)

    def hear(self) -> dict[str, object]:
        """Return what the slave's HELLO says."""
        while not (greetings := self.session.take_handshake()):
            self._read()
        return dict(json.loads(greetings[0][1]))

    def welcome(self, body: bytes | None = None, **changes: object) -> dict[str, object]:
        """Let the slave in, or say something else instead; return what its HELLO says."""
        said = self.hear()
        answer = {
            **{key: said[key] for key in ("protocol", "package", "python", "cloudpickle")},
            **{"session": "x", "received": 0, "descriptors": False},
            **{"heartbeat_timeout_s": 30.0, "reconnect_timeout_s": 60.0, **changes},
        }
        greeting = json.dumps(answer).encode() if body is None else body
        self.session.send_control(protocol.WELCOME, greeting)
        self.flush()
        return said

    def send(self, kind: int, head: bytes = b"", segments: Sequence[bytes] = ()) -> None:
        """Send a message to the slave."""
        self.session.send(kind, head, segments)
        self.flush()

    def flush(self) -> None:
        """Write what is queued."""
        while self.session.has_unsent:
            self.session.wrote(self.socket.sendmsg(self.session.unsent()))

    def next(self, kind: int) -> Message:
        """Return the next message of a kind; drop those before it."""
        while True:
            while self.pending:
                message = self.pending.pop(0)
                if message.kind == kind:
                    return message
            self._read()

    def last_words(self) -> str:
        """Wait until the slave has left; return all that it has said."""
        wait_until(lambda: self.launch.poll()[0].phase is LaunchPhase.ENDED, 50.0)
        return self.output.read_text()

    def close(self) -> None:
        """End the slave."""
        self.launch.cancel(0.0)
        self.socket.close()


class GivingMaster(FalseMaster):
    """A master that gives its slave plain tasks."""

    def begin(self) -> None:
        """Let the slave in."""
        self.supervisor = int(str(self.welcome()["pid"]))
        self.runner = self.next_runner()

    def next_runner(self) -> int:
        """Wait until a runner is ready; return its pid."""
        return heads.unpack_runner_ready(self.next(protocol.RUNNER_READY).head).pid

    def give(self, item: int, task: Any = None) -> None:
        """Give the slave a task, by default one that returns the item's number."""
        head = heads.pack_tasks(heads.TasksHead(item, 1, 0, 0.0, 0, 0, 0, [1]))
        self.send(protocol.TASKS, head, [pickle.dumps(task or (abs, (-item,)))])

    def next_value(self) -> tuple[int, Any]:
        """Return the next item with a value, and the value."""
        (records,) = self.next(protocol.VALUES).segments
        (item,), _, _, (pickled,) = unpack_values(bytes(open_segment(records)))
        return item, pickle.loads(pickled)

    def next_taken_back(self) -> list[int]:
        """Return the items that the slave hands back next."""
        return list(heads.unpack_items(self.next(protocol.TAKEN_BACK).head))
