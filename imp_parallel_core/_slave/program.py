"""The slave program: ``python -c <Bootstrap's program> stdin`` or ``… file PATH``.

``warned SECONDS`` may follow; see :meth:`Bootstrap.command`.

The program reads its bootstrap document (one line of JSON), reaches the master by the transport
that the document names, and becomes the slave's supervisor.

With ``stdin``, standard input is a socket. It brings the document's line, and is the stream to the
master after that. If the document names a function that dials the master, that function makes the
stream instead. If the socket listens, its first connection is used in the same way; when that
connection ends, the next one takes its place.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys

from .._light_typing import TYPE_CHECKING
from .._threads import set_threads
from .outlet import kind_of_outlet
from .runner_start import StartedRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, NoReturn

    from .._wire.stream import Stream
    from .supervisor import Supervisor

_LINE_LIMIT_BYTES = 1 << 24  # a script's arguments alone may take 2 MiB, and more as JSON
_DIAL_S = 30.0
EXIT_BAD_BOOTSTRAP = 4


def main(threads: int | str | None, masters_choice: Mapping[str, str]) -> None:
    """Become a slave; end the process with its exit code.

    Args:
        threads: how many threads libraries are to start in its runners; see ``Slave.threads``.
        masters_choice: variables for threads that the user has set in the master's environment.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # undo what the process around may have blocked
    gc.disable()  # it finds nothing while modules are loaded, and takes a tenth of the time
    set_threads(threads, masters_choice)  # before there is a runner, which inherits them
    code_path = os.path.abspath(__file__).rpartition("/imp_parallel_core/")[0]
    arguments, notify_s = _split_off_warned(sys.argv[1:])
    if arguments != ["stdin"] and (len(arguments) != 2 or arguments[0] != "file"):
        sys.exit(f"imp_parallel: bad arguments for a slave: {sys.argv[1:]}")
    is_file = arguments[0] == "file"
    connected = None if is_file else _take_over_stdin()
    is_warned = notify_s is not None
    # the runner starts while this process goes on
    runner = StartedRunner.first(connected, code_path, kind_of_outlet(), is_warned=is_warned)
    try:
        supervisor = _supervisor(runner, connected, arguments, notify_s)
    except SystemExit:  # the master has gone, or its document can't be read
        runner.wire.close()
        raise
    sys.exit(supervisor.run())


def _supervisor(
    runner: StartedRunner,
    connected: socket.socket | None,
    arguments: list[str],
    notify_s: float | None,
) -> Supervisor:
    """Reach the master; return the supervisor that serves it. Raises SystemExit."""
    # read the document after the fork: it holds keys, which no task shall have
    text = _read_file(arguments[1]) if connected is None else None
    listening = None
    if connected is not None and connected.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        from .listening_stdin import ListeningStdin

        listening = ListeningStdin(connected)
        connected = listening.accept_first()
    if connected is not None:
        text = _read_line(connected)
    sys.argv[:] = [""]

    import json

    from .._wire.handshake import slave_identity
    from .._wire.stream import SocketStream
    from .supervisor import Supervisor
    from .surroundings import enter_surroundings

    try:
        document = json.loads(text or b"")
    except ValueError:  # it holds keys: nothing of it is shown
        _leave_without_document(arguments)
    surroundings = enter_surroundings(document)
    dial = _dialler(document)
    stream: Stream
    if connected is None or document["dial"]:
        if connected is not None:
            connected.detach()  # it stays open: the launch would take its end for the slave's
        stream = dial(_DIAL_S)
    elif listening is not None:
        stream, dial = listening.stream_over(connected), listening.dial
    else:
        stream = SocketStream(connected)
    identity = slave_identity(document["index"])
    gc.enable()
    return Supervisor(stream, dial, identity, surroundings, runner, notify_s)


def _split_off_warned(arguments: list[str]) -> tuple[list[str], float | None]:
    """Return the arguments before ``warned``, and the seconds after it; None if it is not there."""
    if arguments[-2:-1] != ["warned"]:
        return arguments, None
    seconds = arguments[-1]
    return arguments[:-2], float(seconds) if seconds.isdecimal() else 0.0


def _read_file(path: str) -> bytes:
    """Return the bootstrap document in a file; end the process if the file has been removed."""
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_uid != os.geteuid():
                sys.exit(f"imp_parallel: {path} belongs to another user: it is not heeded")
            return file.read(_LINE_LIMIT_BYTES)
    except FileNotFoundError:
        is_over = not os.path.isdir(os.path.dirname(path))
        reason = "the run is over" if is_over else "the script does not wait for this slave"
        print(f"imp_parallel: {path} is gone: {reason}, this slave leaves", file=sys.stderr)
        sys.exit(0)


def _leave_without_document(arguments: list[str]) -> NoReturn:
    """End the process: what should be the bootstrap document can't be read."""
    if arguments[0] == "file":
        text = f"{arguments[1]} holds no bootstrap document, or not all of it"
    else:
        text = (
            "standard input does not begin with the bootstrap document. The command that starts "
            "this slave may have read from it, and must pass it on whole"
        )
    print(f"imp_parallel: {text}", file=sys.stderr)
    sys.exit(EXIT_BAD_BOOTSTRAP)


def _dialler(document: dict[str, Any]) -> Callable[[float], Stream]:
    """Return the function of the transport that dials the master; see ``Transport.dial``."""

    def dial(patience_s: float) -> Stream:
        from importlib import import_module

        module, _, function = document["dial"].partition(":")
        stream: Stream = getattr(import_module(module), function)(document, patience_s)
        return stream

    return dial


def _take_over_stdin() -> socket.socket:
    """Return standard input as a socket, and put the null device in its place.

    So a program between the launch and this process can't close the socket, and no task can read
    from it.
    """
    try:
        connected = socket.socket(fileno=os.dup(0))
    except OSError as problem:
        sys.exit(f"imp_parallel: standard input is no socket: {problem}")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    return connected


def _read_line(connected: socket.socket) -> bytes:
    """Read the first line and not a byte more: the bytes after it belong to the protocol."""
    line = bytearray()
    while len(line) < _LINE_LIMIT_BYTES:
        waiting = connected.recv(4096, socket.MSG_PEEK)
        if not waiting:
            sys.exit(0)  # the master has gone already
        end = waiting.find(b"\n") + 1
        line += connected.recv(end or len(waiting))
        if end:
            return bytes(line)
    print("imp_parallel: the bootstrap document never ends", file=sys.stderr)
    sys.exit(EXIT_BAD_BOOTSTRAP)
