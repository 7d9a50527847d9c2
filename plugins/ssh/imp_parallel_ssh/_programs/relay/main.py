"""Starts the relay in the background, or a keeper; the package says how they are called."""

import fcntl
import os
import signal
import socket
import sys
import tempfile

from imp_parallel_core.private_folders import (
    make_private_folder,
    open_private_folder,
    remove_private_folder,
)

from .addresses import listen
from .keeper import keep
from .limits import raise_limit
from .server import RelayServer

PREFIX = ".imp_parallel-"
PATH_LIMIT = 60  # of what the folder for the socket is in


def main() -> None:
    """Serve or attach."""
    words = sys.argv[1:]
    if words[0] == "serve":
        _serve(float(words[1]), words[2], words[3])
    else:
        keep(words[1], [])


def _serve(patience_s: float, host: str, folder: str) -> None:
    """Start the relay in the background, and be its keeper."""
    listening, addresses = listen(host)
    private = _make_folder()
    path = private + "/relay"
    try:
        keepers = socket.socket(socket.AF_UNIX)
        keepers.bind(path)
        keepers.listen(8)
        keepers.setblocking(False)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        # the child's Python forgets a signal that it has seen when it begins
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        child = os.fork()
    except BaseException:
        _remove(private)
        raise
    if child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        for each in [*listening, keepers]:
            each.close()
        keep(path, addresses)
        return
    relay = None
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        # what removes old files from /tmp passes over a folder that is locked
        fcntl.flock(open_private_folder(private), fcntl.LOCK_SH)
        relay = RelayServer(listening, keepers, patience_s, raise_limit())
        relay.run()
    except Exception:
        if relay is not None:
            relay.master.report()
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if relay is not None:
            relay.abandon()
        _remove(private, folder)


def _make_folder() -> str:
    """Make a folder of our own for the relay's socket, whose path must not be long."""
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) > PATH_LIMIT:
        parent = "/tmp"  # noqa: S108 - the folder in it has mode 0700
    return make_private_folder(parent, PREFIX)


def _remove(*folders: str) -> None:
    """Remove folders of our own, as far as that is possible."""
    for folder in folders:
        try:
            remove_private_folder(folder, PREFIX)
        except OSError:
            pass  # it is none of ours
