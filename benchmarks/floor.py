"""The floor: what a loop without any promise reaches between one process and two others.

Pickles with their length before them, over Unix sockets, with two tasks under way for each process:
nothing is counted, taken back, retried, limited or reported, and nobody notices when one dies.
"""

from __future__ import annotations

import os
import pickle
import selectors
import socket
import time
from struct import Struct
from typing import Any

from tasks import Noop

_LENGTH = Struct("!I")
_AHEAD = 2


def _send(connected: socket.socket, thing: Any) -> None:
    data = pickle.dumps(thing, 5)
    connected.sendall(_LENGTH.pack(len(data)) + data)


def _receive(connected: socket.socket) -> Any:
    header = connected.recv(_LENGTH.size, socket.MSG_WAITALL)
    if not header:
        return None
    return pickle.loads(connected.recv(*_LENGTH.unpack(header), socket.MSG_WAITALL))


def _serve(connected: socket.socket) -> None:
    while (task := _receive(connected)) is not None:
        _send(connected, (task(),))
    os._exit(0)


def rate(count: int, slaves: int = 2) -> float:
    """Return the no-op tasks/s."""
    ends: list[socket.socket] = []
    children: list[int] = []
    for _ in range(slaves):
        here, there = socket.socketpair()
        if not (pid := os.fork()):
            for other in (here, *ends):
                other.close()
            _serve(there)
        there.close()
        ends.append(here)
        children.append(pid)
    tasks = iter([Noop(number) for number in range(count)])
    done = 0
    with selectors.DefaultSelector() as selector:
        begun_at = time.perf_counter()
        for end in ends:
            selector.register(end, selectors.EVENT_READ)
            for _ in range(_AHEAD):
                _send(end, next(tasks))
        while done < count:
            for key, _ in selector.select():
                _receive(key.fileobj)
                done += 1
                if (task := next(tasks, None)) is not None:
                    _send(key.fileobj, task)
        taken_s = time.perf_counter() - begun_at
    for end, pid in zip(ends, children, strict=True):
        end.close()
        os.waitpid(pid, 0)
    return count / taken_s
