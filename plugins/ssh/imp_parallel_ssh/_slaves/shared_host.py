"""A host: one SSH connection that all its slaves share, and what was put into its folder."""

from __future__ import annotations

import errno
import functools
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

from imp_parallel_core import Error, LaunchError
from imp_parallel_core.private_folders import with_private_folders

from .._connection import Channel, Connect, Connection
from .._crowd import persist
from .._shipped_modules import Archive, archive
from .bridge_client import Talk, There
from .command_line import command_line, new_mark

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 5.0
_REFUSALS = 2  # of connections that seem to allow no channel at all; others may just be faster


@functools.cache
def bridge_program() -> bytes:
    """Return the source of the bridge, with all that it needs."""
    return with_private_folders((Path(__file__).parents[1] / "_programs/bridge.py").read_bytes())


@functools.cache
def core_archive() -> Archive:
    """Return the slave program for hosts that don't have it."""
    from imp_parallel_core import slave_archive  # most hosts don't need it

    return archive("code", slave_archive())


class Host:
    """A host, for as long as any slave is there; see :func:`host_of`.

    Args:
        target: what the user calls it.
        connect: makes a connection to it.
    """

    def __init__(self, target: str, connect: Connect) -> None:
        self.target = target
        self.users = 0
        self._connect = connect
        self._changed = threading.Condition()
        self._connection: Connection | None = None
        self._full: list[Connection] = []
        """Earlier connections, on which sshd allows no more channels (see its MaxSessions)."""
        self._of_use: weakref.WeakSet[Connection] = weakref.WeakSet()
        """Those on which a channel was had."""
        self._is_connecting = False
        self._is_closed = False
        self._closing = threading.Event()
        self._failure: Error | None = None
        self._failures = 0
        self._folder_lock = threading.Lock()
        self._folder = ""
        self._in_folder: set[str] = set()

    # ---- the connection

    def connection(self, timeout_s: float, patience_s: float = 0.0) -> Connection:
        """Return the connection; whoever comes first makes it, and the others wait.

        Args:
            timeout_s: how long one attempt may take.
            patience_s: for how long to try again when the host drops connections before login.

        Raises Error if it can't be made.
        """
        with self._changed:
            failures = self._failures
            while self._connection is None and self._is_connecting:
                self._changed.wait()
                if self._failures != failures and self._failure is not None:
                    raise self._failure
            if self._is_closed:
                raise self._not_needed()
            if self._connection is not None:
                return self._connection
            self._is_connecting = True
        try:
            made = persist(lambda: self._connect(self.target, timeout_s), patience_s, self._closing)
        except Exception as problem:
            failure = problem if isinstance(problem, Error) else _unknown(self.target, problem)
            with self._changed:
                self._is_connecting = False
                self._failure = failure
                self._failures += 1
                self._changed.notify_all()
            raise failure from problem
        if not self._keep(made):
            made.close()
            raise self._not_needed()
        made.on_loss(lambda how: self._lost(made))
        return made

    def _keep(self, made: Connection) -> bool:
        """Have a new connection be the one that all share, if it is still needed."""
        with self._changed:
            self._is_connecting = False
            self._changed.notify_all()
            if not self._is_closed:
                self._connection = made
            return not self._is_closed

    def _not_needed(self) -> LaunchError:
        return LaunchError(f"{self.target} is not needed any more")

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

    def _lost(self, connection: Connection) -> None:
        with self._changed:
            if self._connection is connection:
                self._connection = None
            elif connection in self._full:
                self._full.remove(connection)
        connection.close()

    def _note_full(self, connection: Connection) -> None:
        with self._changed:
            if self._connection is connection:
                self._connection = None
                self._full.append(connection)

    def close(self) -> None:
        """Close the connection."""
        self._closing.set()
        with self._changed:
            self._is_closed = True
            connections, self._full = self._full, []
            if self._connection is not None:
                connections.append(self._connection)
            self._connection = None
        for connection in connections:
            connection.close()

    # ---- on the host

    def begin_bridge(
        self,
        connection: Connection,
        python: str | None,
        take_errors: Callable[[bytes], None],
        deadline: float,
        *,
        started: Callable[[Channel], None] = lambda channel: None,
    ) -> tuple[Talk, There]:
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
                self._note_full(connection)
                connection = self.connection(max(1.0, deadline - time.monotonic()))
        self._of_use.add(connection)
        started(channel)
        talk = Talk(channel, deadline)
        return talk, talk.introduce(mark, bridge_program(), self.target)

    def folder(self, talk: Talk, archives: Sequence[Archive]) -> str:
        """Return the run's folder there, when it has these archives: each is sent once.

        Raises OSError if there is no room for them.
        """
        with self._folder_lock:
            while (missing := self._missing(archives)) or not self._folder:
                names = [name for one in missing for name in (one.kind, one.digest)]
                talk.say("prepare", self._folder, *names, more=[one.content for one in missing])
                answer, *words = talk.hear_one_of("folder", "gone")
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
        connection = self._connection or (self._full[-1] if self._full else None)
        if connection is None:
            return False
        deadline = time.monotonic() + wait_s
        try:
            talk, _ = self.begin_bridge(connection, python, lambda data: None, deadline)
            try:
                talk.say("end", folder, *names)
                return talk.hear()[0] in ("done", "gone")
            finally:
                talk.channel.close()
        except Exception:  # whatever it was: they may be left, and that is said
            return False


def _unknown(target: str, problem: Exception) -> LaunchError:
    return LaunchError(f"can't connect to {target}: {type(problem).__name__}: {problem}")


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
