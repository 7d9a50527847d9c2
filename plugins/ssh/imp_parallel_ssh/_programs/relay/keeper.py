"""The keeper: the command that SSH has started, which passes on what the master says."""

import json
import os
import select
import socket
import sys
from typing import List


def keep(path: str, addresses: List[str]) -> None:
    """Pass on what the master says to the relay, and what the relay reports to the master.

    Args:
        path: of the relay's Unix socket.
        addresses: where the relay listens; the master is told.

    Ends when SSH does. Raises SystemExit, with a line that says why, when the relay ends.
    """
    with socket.socket(socket.AF_UNIX) as relay:
        try:
            relay.connect(path)
        except OSError as problem:
            sys.exit("the relay has gone: %s: %s" % (path, problem.strerror))
        _pass_on(relay, path, addresses)


def _pass_on(relay: socket.socket, path: str, addresses: List[str]) -> None:
    try:
        print(json.dumps({"addresses": addresses, "socket": path}), flush=True)
        while True:
            readable = select.select([0, relay.fileno()], [], [])[0]
            if relay.fileno() in readable:
                try:
                    report = relay.recv(4096)
                except OSError:
                    report = b""
                if not report:
                    sys.exit("the relay has ended")
                sys.stdout.buffer.write(report)
                sys.stdout.flush()
            if 0 not in readable:
                continue
            data = os.read(0, 4096)
            if not data:
                return
            relay.sendall(data)
            if data.endswith(b"bye\n"):
                return
    except OSError as problem:
        sys.exit("the relay or the connection to it has gone: %s" % problem.strerror)
