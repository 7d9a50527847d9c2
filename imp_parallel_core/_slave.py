"""The slave program: ``python -c <Bootstrap's program> stdin`` or ``… file PATH``.

It reads its bootstrap document (one line of JSON), reaches the master by the transport that the
document names, and becomes the slave's supervisor.

With ``stdin``, standard input is both: the document's line, and then the stream, which must be a
socket. With a file, the document names a function that dials the master.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from typing import Any

_LINE_LIMIT_BYTES = 1 << 20
EXIT_BAD_BOOTSTRAP = 4


def main() -> None:
    """Become a slave; end the process with its exit code."""
    code_path = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    if sys.argv[1:] != ["stdin"]:
        sys.exit(f"imp_parallel: bad arguments for a slave: {sys.argv[1:]}")
    connected = _take_over_stdin()
    document = _read_document(connected)
    sys.argv[:] = [""]

    from ._handshake import slave_identity
    from ._stream import SocketStream
    from ._supervisor import Supervisor

    supervisor = Supervisor(
        SocketStream(connected), slave_identity(document["index"]), document["sys_path"], code_path
    )
    sys.exit(supervisor.run())


def _take_over_stdin() -> socket.socket:
    """Return standard input as a socket, and leave the null device in its place.

    So no wrapper between the launch and this process can close it, and no task can read from it.
    """
    try:
        connected = socket.socket(fileno=os.dup(0))
    except OSError as problem:
        sys.exit(f"imp_parallel: standard input is no socket: {problem}")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return connected


def _read_document(connected: socket.socket) -> dict[str, Any]:
    """Read the first line and not a byte more: what follows is the protocol."""
    line = bytearray()
    while len(line) < _LINE_LIMIT_BYTES:
        waiting = connected.recv(4096, socket.MSG_PEEK)
        if not waiting:
            sys.exit(0)  # the master has gone already
        end = waiting.find(b"\n") + 1
        line += connected.recv(end or len(waiting))
        if end:
            document: dict[str, Any] = json.loads(line)
            return document
    print("imp_parallel: the bootstrap document never ends", file=sys.stderr)
    sys.exit(EXIT_BAD_BOOTSTRAP)
