"""A host: one SSH connection that all its slaves share, and what was put into its folder."""

from __future__ import annotations

import errno
import functools
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence

from imp_parallel_core import Error

from .._connection import Channel, Connect, Connection
from .._programs.joiner import joined_program
from .._shared_connection import SharedConnection
from .._shipped_modules import Archive
from .bridge_client import BridgeClient, There
from .command_line import command_line, new_mark

_REST_S = 1.0  # after a failure: each slave pauses by itself too
_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_REFUSALS = 2  # of connections that seem to allow no channel at all; others may just be faster


@functools.cache
def bridge_program() -> bytes:
    """Return the source of the bridge, with all that it needs."""
    return joined_program("imp_parallel_ssh._programs.bridge")


class Host:
    """A host, for as long as any slave is there; see :func:`host_of`.

    Args:
        target: what the user calls it.
        connect: makes a connection to it.
    """

    def __init__(self, target: str, connect: Connect) -> None:
        self.target = target
        self.users = 0
        self._shared = SharedConnection(target, connect, _REST_S)
        self._of_use: weakref.WeakSet[Connection] = weakref.WeakSet()
        """The connections on which a channel could be opened."""
        self._folder_lock = threading.Lock()
        self._folder = ""
        self._in_folder: set[str] = set()

    # ---- the connection

    def connection(self, timeout_s: float, patience_s: float = 0.0) -> Connection:
        """Return the connection that all share; see :meth:`SharedConnection.get`."""
        return self._shared.get(timeout_s, patience_s)

    def connection_again(
        self, deadline: float, timeout_s: float, is_cancelled: threading.Event
    ) -> Connection:
        """Return the connection, after however many attempts until a deadline (monotonic s).

        Raises Error.
        """
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return self.connection(min(timeout_s, max(1.0, deadline - time.monotonic())))
            except Error:
                if time.monotonic() + pause_s > deadline or is_cancelled.wait(pause_s):
                    raise
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def close(self) -> None:
        """Close the connection for good."""
        self._shared.end()

    # ---- on the host

    def begin_bridge(
        self,
        connection: Connection,
        python: str | None,
        take_errors: Callable[[bytes], None],
        deadline: float,
        *,
        started: Callable[[Channel], None] = lambda channel: None,
    ) -> tuple[BridgeClient, There]:
        """Start a bridge; return the talk with it and what it says of its host.

        If the connection has as many channels as sshd allows, another one is made.

        Args:
            connection: the host's.
            python: what to run it by; None for a Python of this one's version.
            take_errors: see :meth:`Connection.start`.
            deadline: until when the talk has to be over.
            started: is told the channel as soon as it is there.
        """
        mark = new_mark()
        command = command_line(python, mark, bridge_program())
        refusals = 0
        channel = None
        while channel is None:
            try:
                channel = connection.start(command, take_errors)
            except OSError as problem:
                refusals += connection not in self._of_use
                if problem.errno != errno.EAGAIN or refusals > _REFUSALS:
                    raise
                self._shared.set_aside(
                    connection
                )  # sshd allows no more channels on it (MaxSessions)
                connection = self.connection(max(1.0, deadline - time.monotonic()))
        self._of_use.add(connection)
        started(channel)
        bridge = BridgeClient(channel, deadline)
        return bridge, bridge.introduce(mark, bridge_program(), self.target)

    def folder(self, bridge: BridgeClient, archives: Sequence[Archive]) -> str:
        """Return the run's folder there, when it has these archives: each is sent once.

        Raises OSError if there is no room for them.
        """
        with self._folder_lock:
            while (missing := self._missing(archives)) or not self._folder:
                names = [name for one in missing for name in (one.kind, one.digest)]
                bridge.say("prepare", self._folder, *names, more=[one.content for one in missing])
                answer, *words = bridge.hear_one_of("folder", "gone")
                if answer == "gone":
                    self._forget()
                    raise FileNotFoundError(self.target)
                folder = "".join(words)
                if not folder.startswith("/"):
                    raise OSError(f"the bridge named no folder, but {folder!r}")
                if folder != self._folder:  # a new one, where compiled modules can be loaded
                    self._forget()
                self._folder = folder
                self._in_folder |= {one.digest for one in missing}
            return self._folder

    def _missing(self, archives: Sequence[Archive]) -> list[Archive]:
        return [one for one in archives if one.digest not in self._in_folder]

    def forget_folder(self, path: str) -> None:
        """Note that the folder has gone: its last slave had ended."""
        with self._folder_lock:
            if path == self._folder:
                self._forget()

    def _forget(self) -> None:
        self._folder = ""
        self._in_folder.clear()

    def end_slaves(
        self, python: str | None, folder: str, names: Sequence[str], wait_s: float
    ) -> bool:
        """Kill slaves and what they started; return whether that was done."""
        connection = self._shared.existing()
        if connection is None:
            return False
        deadline = time.monotonic() + wait_s
        try:
            bridge, _ = self.begin_bridge(connection, python, lambda data: None, deadline)
            try:
                bridge.say("end", folder, *names)
                return bridge.hear()[0] in ("done", "gone")
            finally:
                bridge.channel.close()
        except Exception:  # whatever it was: they may be left, and that is said
            return False


_hosts: dict[tuple[str, str], Host] = {}
_hosts_lock = threading.Lock()


def take_host(target: str, client: str, connect: Connect) -> Host:
    """Return the host of that name, which all slaves there share; :func:`give_back` it."""
    with _hosts_lock:
        host = _hosts.setdefault((target, client), Host(target, connect))
        host.users += 1
        return host


def give_back(host: Host) -> None:
    """Close the host's connection if nobody uses it any more."""
    with _hosts_lock:
        host.users -= 1
        is_used = host.users > 0
        if not is_used:
            for key in [key for key, known in _hosts.items() if known is host]:
                del _hosts[key]
    if not is_used:
        host.close()


def _forked() -> None:
    global _hosts_lock
    _hosts_lock = threading.Lock()
    _hosts.clear()  # they are the parent's


os.register_at_fork(after_in_child=_forked)
