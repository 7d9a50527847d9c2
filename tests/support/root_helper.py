"""What remains root while the tests run as an ordinary user: it runs commands for them.

The other side is as_root. A caller connects to a socket and sends one request, with its standard
input, output and errors; then the numbers of signals for the command. The helper sends the
command's exit code, negative for a signal. The command is killed when the caller goes away.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import threading
from pathlib import Path

_LIMIT_BYTES = 1 << 20
_MORE_PATH = "/usr/sbin:/sbin"  # an ordinary user's PATH lacks these
_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid


def listen(path: Path, uid: int) -> socket.socket:
    """Return the socket, which one user alone may connect to."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(path))
    os.chown(path, uid, -1)
    path.chmod(0o600)
    listener.listen(64)
    return listener


def serve(listener: socket.socket, uid: int) -> None:
    """Run what is asked for, until the end of this process."""
    while True:
        caller, _ = listener.accept()
        size = _CREDENTIALS.size
        credentials = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        if _CREDENTIALS.unpack(credentials)[1] == uid:
            threading.Thread(target=_run, args=[caller], daemon=True).start()
        else:
            caller.close()


def _run(caller: socket.socket) -> None:
    with caller:
        data, ends, _, _ = socket.recv_fds(caller, _LIMIT_BYTES, 3)
        process = None
        try:
            if data:  # (else the caller has gone)
                process = _start(json.loads(data), ends)
        except OSError as problem:
            os.write(ends[2], f"{problem}\n".encode())
        finally:
            for end in ends:
                os.close(end)
        code = 127 if process is None else _wait(process, caller)
        with contextlib.suppress(OSError):  # the caller has gone
            caller.send(str(code).encode())


def _start(request: dict[str, object], ends: list[int]) -> subprocess.Popen[bytes]:
    command, environment = request["command"], request["env"]
    assert isinstance(command, list)
    assert isinstance(environment, dict)
    environment["PATH"] = f"{environment.get('PATH', os.defpath)}:{_MORE_PATH}"
    return subprocess.Popen(
        command,
        env=environment,
        cwd=str(request["cwd"]),
        umask=int(str(request["umask"])),
        stdin=ends[0],
        stdout=ends[1],
        stderr=ends[2],
        start_new_session=True,
    )


def _wait(process: subprocess.Popen[bytes], caller: socket.socket) -> int:
    """Wait for the end of a command; until then, pass signals on."""
    end = os.pidfd_open(process.pid)
    ends: list[int | socket.socket] = [end, caller]
    try:
        while True:
            ready, _, _ = select.select(ends, [], [])
            if end in ready:
                return process.wait()
            try:
                number = caller.recv(100)
            except ConnectionError:
                number = b""
            process.send_signal(int(number or signal.SIGKILL))
            if not number:
                return process.wait()
    finally:
        os.close(end)
