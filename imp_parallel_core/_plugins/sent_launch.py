"""Launching slaves by a system that runs functions on machines of its own, such as Dask or Ray."""

from __future__ import annotations

import abc
import contextlib
import ipaddress
import os
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from .._errors import LaunchError
from .._explained import explained
from .exit_code import exit_code
from .folder_guardian import FolderGuardian
from .kept_slave import ARCHIVE, WARNED_S, start_slave
from .launch import LaunchPhase, LaunchState, read_tail
from .sent import Sent
from .sent_states import SentStates
from .slave_archive import slave_archive

if TYPE_CHECKING:
    from .bootstrap import Bootstrap
    from .sent_array import SentSlaveArray

_DROPPED_S = 10.0
_JOIN_S = 2.0


class SentLaunch(SentStates, abc.ABC):
    """The launch of a :class:`SentSlaveArray`; a launcher's own class derives from it.

    It is a WithdrawingLaunch that knows each slave's state from its reports. Of a slave without a
    report, it says that it is queued. The abstract methods are all that a launcher has to write.
    They may raise any Exception, as ``Launch.poll`` may; OSError and TimeoutError mean that the
    system does not answer.

    The function that keeps a slave runs on a machine of the system's. It calls the slave's start
    with the archive of the slave program, which returns a ``KeptSlave``. Its ``keep(report,
    why_end)`` calls ``report`` with each report, until the slave has ended, or ``why_end()``
    returns why it is to be ended. For a system whose functions can't report while they run,
    ``wait(limit_s)`` returns whether the slave has ended, ``report()`` returns a report, and
    ``end()`` ends the slave and returns the last report; ``end()`` has to be called in any case.
    When the process that keeps the slave ends, in whatever way, the slave is killed. It is run by
    the Python of that process, unless the user has given a ``python=``, and writes to the master's
    output file if that is there, too; otherwise its reports hold what it writes.

    Args:
        slaves: the description. Another object than the one that starts them may be made of it, to
            call :meth:`check`.
    """

    def __init__(self, slaves: SentSlaveArray) -> None:
        super().__init__(slaves)
        self.command: dict[int, Sequence[str]] = {}
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None

    # what a launcher writes

    @abc.abstractmethod
    def why_closed(self) -> str:
        """Return why the system can't be asked from here, and what to do; "" if it can. At once."""

    @abc.abstractmethod
    def machines(self) -> Iterable[str]:
        """Return the addresses to which the slaves' credentials may be sent, as far as is known."""

    @abc.abstractmethod
    def submit(self, starts: Mapping[int, Sent], archive: bytes) -> None:
        """Have the system start the slaves.

        Args:
            starts: what starts each, by its number, and holds its credentials; to be called there
                with the archive.
            archive: the slave program.
        """

    @abc.abstractmethod
    def reason(self) -> str:
        """Return why slaves wait, if some are queued."""

    @abc.abstractmethod
    def drop(self, index: int) -> None:
        """Take a slave out of the system, whether it waits or runs, and end it; never wait.

        If no report of the slave's end will come, call :meth:`ended`. May be called twice.
        """

    def is_private(self, machine: str) -> bool:
        """Whether nobody else can read what the system sends to one of these addresses.

        By default, whether it is on the loopback interface. It may have a protocol (``tcp://``) and
        a port.
        """
        host = machine.rpartition("://")[2]
        if host.startswith("[") or host.count(":") == 1:
            host = host.rpartition(":")[0].strip("[]")
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:  # a name
            return False

    def cluster(self) -> str:
        """Return what people know the system by, for messages."""
        return f"the {self.slaves.system} cluster"

    def look(self) -> None:
        """Find out which slaves have ended without a last report. By default, reports say all."""

    def close(self) -> None:
        """Let the system forget this launch, whose slaves have ended."""

    # what it calls, besides reported(), ended() and the like

    def demand_privacy(self, machines: Iterable[str]) -> None:
        """Raise LaunchError if others may read what is sent there, and the user has not said so."""
        for machine in machines:
            if not self.slaves.trusted_network and not self.is_private(machine):
                slaves = self.slaves
                text = (
                    f"{slaves.system} sends what slaves need to prove who they are to {machine}, "
                    f"and others may read it on the way. {slaves.privacy_advice} Or give "
                    f"{type(slaves).__name__} trusted_network=True, if nobody else can read that "
                    "network, or reach this cluster."
                )
                raise LaunchError(explained(text, "untrusted-network"))

    def keep_asking(self, ask: Callable[[], bool]) -> None:
        """Call a function in a thread, again and again, until it returns False.

        For :meth:`submit`, if slaves can't report by themselves. The function should wait for
        answers for half a second or so, and hand them over. The calls end with the launch.
        """

        def go_on() -> None:
            try:
                while not (self._is_over.is_set() or self.why_closed()) and ask():
                    pass
            except Exception as problem:
                for index in self._states:
                    self.failed(index, problem)

        self._thread = threading.Thread(target=go_on, name=f"imp_parallel {self.slaves}")
        self._thread.daemon = True
        self._thread.start()

    # what the core calls

    def check(self) -> None:
        """Raise LaunchError if it is known at once that slaves can't be started."""
        if why := self.why_closed():
            raise LaunchError(why)
        try:
            machines = [*self.machines()]
        except (OSError, TimeoutError) as problem:
            text = f"{self.cluster()} does not answer. Look at its log."
            raise LaunchError(text) from problem
        self.demand_privacy(machines)

    def start(self, bootstraps: Sequence[Bootstrap]) -> None:
        """Start slaves. Called once."""
        self._begin(bootstraps)
        for bootstrap in bootstraps:
            there = bootstrap._replace(has_own_files=True)
            self.command[bootstrap.index] = there.command("stdin")
        starts = {bootstrap.index: sent_slave(bootstrap) for bootstrap in bootstraps}
        self.submit(starts, slave_archive(bootstraps[0].slave_modules))

    def poll(self) -> Mapping[int, LaunchState]:
        """Return the state of each slave."""
        if why := self.why_closed():
            for index in self._states:
                self.ended(index, why)
        else:
            self._note_places()
            self.look()
            if self._in_phase(LaunchPhase.QUEUED):
                self._wait_for_room(self.reason())
        return self._known()

    def withdraw(self, indices: Collection[int]) -> None:
        """Drop slaves that are not needed."""
        for index in indices:
            self._drop(index)
            self.ended(index, "it was withdrawn")

    def cancel(self, grace_s: float) -> None:
        """Wait for slaves to leave; then drop all, and wait until those that run have ended."""
        self._wait_for_ends(grace_s)
        for index in self._states:
            self._drop(index)
        self._wait_for_ends(_DROPPED_S)
        self._is_over.set()
        if self._thread is not None:
            self._thread.join(_JOIN_S)
        if not self.why_closed():
            self.close()

    def log_tail(self, index: int) -> str:
        """Return the end of a slave's output, as far as it is known here."""
        return read_tail(self._output_paths[index])

    def _drop(self, index: int) -> None:
        if why := self.why_closed():
            self.ended(index, why)
        else:
            self.drop(index)

    def _wait_for_ends(self, limit_s: float) -> None:
        with contextlib.suppress(Exception):  # the system's: of what has gone, nobody hears
            self.poll()
        with self._changed:
            self._changed.wait_for(lambda: not self._in_phase(LaunchPhase.RUNNING), limit_s)


def sent_slave(bootstrap: Bootstrap) -> Sent:
    """Return what starts a slave there, when it is called with the archive; see SentLaunch."""
    is_own = bootstrap.python == sys.executable
    python = "python3" if is_own else bootstrap.python
    there = bootstrap._replace(python=python, has_own_files=True)
    words = there.command("stdin", "warned", str(WARNED_S), code_path=ARCHIVE)
    if is_own:
        words[0] = ""
    path = bootstrap.output_path
    output = None if path is None else (path, os.stat(path).st_ino)
    environment = dict(bootstrap.environment)
    index, document = bootstrap.index, there.document()
    helpers = Sent(exit_code), Sent(FolderGuardian)
    return Sent(start_slave, index, *helpers, words, document, environment, output)
