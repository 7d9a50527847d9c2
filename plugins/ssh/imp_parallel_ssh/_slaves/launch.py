"""Starting slaves by SSH: all at once, each by itself."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from imp_parallel_core import Accept, Bootstrap, LaunchState

from .._clients import CLIENTS
from .._shipped_modules import pack_modules
from .descriptions import SSHSlave, SSHSlaveArray
from .remote_slave import RemoteSlave
from .shared_host import Host, give_back, take_host

_logger = logging.getLogger("imp_parallel.ssh")

_KILLING_S = 2.5


class SSHLaunch:
    """Slaves on one host or several; see the core's Launch.

    Returns at once; what fails is found by :meth:`poll`, each slave for itself.

    Args:
        slaves: the description.
        bootstraps: of these slaves, or of some of an array's that are launched again.
        accept: is given their streams.
    """

    def __init__(
        self, slaves: SSHSlave | SSHSlaveArray, bootstraps: Sequence[Bootstrap], accept: Accept
    ) -> None:
        options = slaves.options
        modules = pack_modules(options.ship_modules)
        self._slaves: dict[int, RemoteSlave] = {}
        for bootstrap, target in zip(bootstraps, _targets(slaves, bootstraps), strict=True):
            host = take_host(target, options.client, CLIENTS[options.client])
            python = options.python or _own_line(bootstrap)
            slave = RemoteSlave(host, bootstrap, python, modules, accept)
            self._slaves[bootstrap.index] = slave
        self._ending: dict[int, threading.Thread] = {}
        """Slaves that are launched again by another launch, and what ends the rest of them."""
        self.command = {
            index: ["ssh", slave.host.target, slave.python or "python3"]
            for index, slave in self._slaves.items()
        }
        for slave in self._slaves.values():
            slave.start()

    def poll(self) -> Mapping[int, LaunchState]:
        """Return how far each slave has come."""
        return {index: slave.progress.state for index, slave in self._slaves.items()}

    def cancel(self, grace_s: float) -> None:
        """Wait for the slaves to leave; kill those that don't, over their hosts' connections."""
        self._end_all([s for i, s in self._slaves.items() if i not in self._ending], grace_s)
        for thread in self._ending.values():
            thread.join(_KILLING_S)

    def end_slave(self, index: int) -> None:
        """Kill one slave, in a thread: it is launched again, and the others go on."""
        slave = self._slaves[index]
        name = f"imp_parallel end of {slave.name} on {slave.host.target}"
        thread = threading.Thread(target=self._end_all, args=([slave], 0.0), name=name, daemon=True)
        self._ending[index] = thread
        thread.start()

    def _end_all(self, slaves: Sequence[RemoteSlave], grace_s: float) -> None:
        deadline = time.monotonic() + grace_s
        for slave in slaves:
            slave.begin_to_end()
        for slave in slaves:
            slave.wait_for_end(deadline)
        left = [slave for slave in slaves if not slave.has_ended]
        _all_at_once(
            [
                partial(self._kill, host, [slave for slave in left if slave.host is host])
                for host in {slave.host for slave in left}
            ]
        )
        for slave in slaves:
            slave.close()
        for slave in slaves:
            give_back(slave.host)

    def _kill(self, host: Host, slaves: Sequence[RemoteSlave]) -> None:
        names = [slave.name for slave in slaves]
        folder = slaves[0].folder
        if not host.end_slaves(slaves[0].python, folder, names, _KILLING_S):
            _logger.warning(
                "%s can't be reached to end %d slave(s) there; they leave by themselves when they "
                "have not heard of this script for a while (%s)",
                host.target,
                len(slaves),
                ", ".join(names),
            )

    def log_tail(self, index: int) -> str:
        """Return the end of a slave's output."""
        return self._slaves[index].progress.log_tail()


def _all_at_once(calls: Sequence[Callable[[], None]]) -> None:
    """Call functions that may wait, each in a thread, and wait for them."""
    threads = []
    for call in calls:
        thread = threading.Thread(target=call, name="imp_parallel end of a host", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # too many threads, or the interpreter ends
            call()
        else:
            threads.append(thread)
    for thread in threads:
        thread.join()


def _targets(slaves: SSHSlave | SSHSlaveArray, bootstraps: Sequence[Bootstrap]) -> list[str]:
    """Return the hosts of these slaves; one that is launched again stays at its host."""
    if isinstance(slaves, SSHSlave):
        return slaves.hosts
    if len(bootstraps) == len(slaves):
        indices = [bootstrap.index for bootstrap in bootstraps]
        slaves.places.update(zip(indices, slaves.hosts, strict=True))
    return [slaves.places[bootstrap.index] for bootstrap in bootstraps]


def _own_line(bootstrap: Bootstrap) -> str | None:
    """Return Manager's python=, if that is not just this machine's Python."""
    return None if bootstrap.python == sys.executable else bootstrap.python
