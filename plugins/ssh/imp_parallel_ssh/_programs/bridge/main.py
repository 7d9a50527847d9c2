"""What a bridge does, in order: it obeys the master until it has a slave, and then copies.

The master's orders are words; the first is the order, the second the path of the run's folder:

- ``prepare FOLDER (KIND DIGEST)…`` and each archive: put them there; answer ``folder PATH``;
- ``start FOLDER NAME COUNT ARGV… ENVIRONMENT…`` and the bootstrap document: start a slave;
- ``join FOLDER NAME``: connect to a slave that an earlier bridge has started;
- ``end FOLDER NAME…``: kill slaves; answer ``done``.

After ``start`` and ``join`` the bridge answers ``ready``, and what follows is the slave's. It
answers ``gone`` where there is no such folder or slave, and ``failed WHY`` otherwise.
"""

from __future__ import annotations

import os
import socket
import sys

from .channel import ChannelGone, introduce, receive, receive_words, send_words
from .copying import copy
from .exit_codes import FAILED
from .preparation import prepare
from .run_folder import RunFolder
from .slave import HostedSlave

TYPE_CHECKING = False  # as typing's, which takes long to import
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn


def main() -> NoReturn:
    """Be a bridge; end the process."""
    held: list[RunFolder] = []
    code = FAILED
    try:
        code = _serve(held)
    except ChannelGone:
        code = 0
    except Exception:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    for folder in held[::-1]:
        folder.release()
    os._exit(code)


def _serve(held: list[RunFolder]) -> int:
    """Do as the master says; return the exit code. What is held is released at the end."""
    introduce()
    while True:
        order, path, *words = receive_words()
        document = receive() if order == "start" else b""  # it comes, whatever becomes of the order
        try:
            if order == "prepare":
                kinds, digests = words[0::2], words[1::2]
                folder = prepare(path, kinds, digests, [receive() for _ in kinds])
                held.append(folder)
                send_words("folder", folder.path)
                continue
            folder = RunFolder(path)
            held.append(folder)
            if order == "end":
                _end(folder, words)
                send_words("done")
                return 0
            if order == "start":
                slave, connected = _start(folder, words, document)
            else:
                slave, connected = _join(folder, *words)
        except (FileNotFoundError, ConnectionError):
            send_words("gone")
        except OSError as problem:
            send_words("failed", problem.strerror or str(problem))
        else:
            try:
                send_words("ready")
            except OSError:
                pass  # the channel has gone, as the slave will find; its end is to be waited for
            return copy(slave, connected)


def _start(
    folder: RunFolder, words: Sequence[str], document: bytes
) -> tuple[HostedSlave, socket.socket]:
    name, count, *rest = words
    argv, environment = rest[: int(count)], rest[int(count) :]
    slave = HostedSlave(folder, name, is_new=True)
    slave.start(argv, dict(entry.split("=", 1) for entry in environment if entry))
    return slave, _connect_first(slave, document)


def _connect_first(slave: HostedSlave, document: bytes) -> socket.socket:
    """Connect to a new slave; if it has ended already, its output and exit code will say why."""
    try:
        connected = slave.connect()
    except ConnectionRefusedError:
        connected, other = socket.socketpair()
        other.close()
    try:
        connected.sendall(document)
    except ConnectionError:
        pass
    return connected


def _join(folder: RunFolder, name: str) -> tuple[HostedSlave, socket.socket]:
    slave = HostedSlave(folder, name, is_new=False)
    try:
        return slave, slave.join()
    except OSError:
        slave.remove()
        raise


def _end(folder: RunFolder, names: Sequence[str]) -> None:
    """Kill slaves; their bridges tidy up, or this one for those that have none."""
    for name in names:
        try:
            slave = HostedSlave(folder, name, is_new=False)
        except OSError:
            continue  # it has gone
        slave.kill()
        slave.remove()
