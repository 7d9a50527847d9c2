"""What the tests of all systems that run functions need of a running one."""

from __future__ import annotations

import contextlib
import os
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from imp_parallel_core import Bootstrap, Manager, Sent
from imp_parallel_core._plugins import sent_launch
from imp_parallel_core._plugins.kept_slave import start_slave
from tests.support.harness import parent_of


class Home(Protocol):
    """A system of the tests' own, on which two slaves have room."""

    joins: str
    """The lines of a script that join the system, and import the plugin's class."""
    array_there: str
    """What makes an array of four slaves, in such a script."""
    said_in_readme: str
    """The address of a system in the script of the plugin's README."""
    address: str
    """The one to put there."""
    folder: Path
    """The plugin's."""
    said_of_no_room: str
    """The reason for which slaves wait when two run."""
    said_of_end: str
    """What the slave says whose task or actor :meth:`end` ended; a regular expression."""
    requirement: str
    """What pip installs the system by."""
    modules: Sequence[str]
    """The packages that only a script loads that adds slaves; the first is the system's client."""
    array_in_vain: str
    """What makes an array in a script that has not joined the system."""
    array_by_address: str
    """What makes an array of one slave in a script that has not joined the system, but will do."""
    array_nowhere: str
    """The same at an address where no system is."""

    def array(self, count: int = 1, **options: Any) -> Any:
        """Describe slaves."""

    def maker(self) -> Callable[[], Any]:
        """Return what describes one slave, also in a script of its own."""

    def end(self, pid: int) -> None:
        """End what keeps the slave with that supervisor, as the system does."""

    def wait_until_empty(self) -> None:
        """Wait until nothing of any slave is left there."""

    def queued(self) -> int | None:
        """Return how many slaves the system knows; None if it does not tell."""

    def said(self) -> str:
        """Return all that the system shows and logs."""


def states(manager: Manager) -> list[str]:
    """Return the state of each slave."""
    return [slave.state for slave in manager.slaves]


def _slowly_tell_pid() -> int:
    """Return the pid of the supervisor, late enough for other slaves to tell theirs."""
    time.sleep(0.05)
    return os.getppid()


def pids_of(manager: Manager) -> list[int]:
    """Return the pids of the supervisors, as the slaves themselves tell."""
    context = manager.get_context()
    count = states(manager).count("idle")
    pids: set[int] = set()
    while len(pids) < count:
        for _ in range(4 * count):
            context.add_task(_slowly_tell_pid)
        pids.update(context.get_results_unordered())
    return sorted(pids)


def shown_of(pids: Sequence[int]) -> bytes:
    """Return command lines and environments of supervisors, and of what keeps them."""
    return b"".join(
        Path(f"/proc/{one}/{name}").read_bytes()
        for pid in pids
        for one in (pid, parent_of(pid))
        for name in ("cmdline", "environ")
    )


@contextlib.contextmanager
def changed(change: Callable[[list[Any]], object]) -> Iterator[None]:
    """Change the arguments of what starts each slave, before it is sent."""
    sent_slave = sent_launch.sent_slave

    def sent_otherwise(bootstrap: Bootstrap) -> Sent:
        arguments = list(sent_slave(bootstrap)._arguments)
        change(arguments)
        return Sent(start_slave, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sent_launch, "sent_slave", sent_otherwise)
        yield


@contextlib.contextmanager
def noted_secrets() -> Iterator[list[str]]:
    """Yield a list that gets the secret of each slave that is sent."""
    secrets: list[str] = []
    sent_slave = sent_launch.sent_slave

    def noted(bootstrap: Bootstrap) -> Sent:
        secrets.append(b64encode(bootstrap.secret).decode())
        return sent_slave(bootstrap)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sent_launch, "sent_slave", noted)
        yield secrets
