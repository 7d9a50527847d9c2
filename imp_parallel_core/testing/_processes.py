"""How a check finds the processes of slaves: by pids, locked files, and a mark in environments."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .._plugins.bootstrap import Bootstrap
from ._check import wait_until
from ._launcher import Launcher

_MARK = "IMP_PARALLEL_CHECK"
OTHER_PIDS = (
    "the slaves are in another PID namespace, or on another machine: check this launcher with "
    "shares_pids=False"
)

_STAYS_S = 600.0
_BEGUN_S = 60.0
_GONE_S = 40.0  # a slave tries for a while to reach a master that has been killed


def stay(folder: Path, number: int) -> Callable[[], None]:
    """Return a task that locks a file, writes into it whose it is, and goes on for long."""
    path, place = folder / f"slave{number}.lock", place_teller()

    def work() -> None:  # a slave need not be able to import this module
        with path.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(f"{os.getpid()} {os.getppid()} {place()}\n")
            file.flush()
            time.sleep(_STAYS_S)

    return work


def place_teller() -> Callable[[], str]:
    """Return a function that tells this machine and PID namespace from others."""

    def place() -> str:
        try:
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
            return f"{boot} {os.readlink('/proc/self/ns/pid')}"
        except OSError:
            return "somewhere"

    return place


def marked(launcher: Launcher) -> Callable[[Bootstrap], Bootstrap]:
    """Return what adds a mark to the environment of slaves, which the processes around inherit."""

    def add(bootstrap: Bootstrap) -> Bootstrap:
        return bootstrap._replace(environment={**bootstrap.environment, _MARK: _value(launcher)})

    return add


def _value(launcher: Launcher) -> str:
    status = launcher.output_folder.stat()  # the same in a script of its own
    return f"{status.st_dev}-{status.st_ino}"


def _marked_pids(launcher: Launcher) -> list[int]:
    """Return the processes that have the mark, as far as this machine shows them."""
    entry, found = f"{_MARK}={_value(launcher)}".encode(), []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if entry in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except OSError:
            continue  # another user's; or it has gone
    return found


class Staying(NamedTuple):
    """One slave that runs such a task: the file, and the pids of its runner and supervisor."""

    lock: Path
    pids: tuple[int, ...]


def staying_in(folder: Path) -> list[Staying]:
    """Return the slaves that have begun to run such tasks."""
    found = []
    for path in sorted(folder.glob("slave*.lock")):
        text = path.read_text()
        if text.endswith("\n"):
            runner, supervisor, *_ = text.split()
            found.append(Staying(path, (int(runner), int(supervisor))))
    return found


def wait_for_staying(launcher: Launcher, count: int) -> list[Staying]:
    """Wait until so many slaves run such tasks, and see whether their pids are what is declared."""
    folder = launcher.output_folder
    assert wait_until(lambda: len(staying_in(folder)) >= count, _BEGUN_S), (
        f"of {count} slaves, {len(staying_in(folder))} began to work within {_BEGUN_S:g} s"
    )
    if launcher.shares_pids:
        here = place_teller()()
        assert all(path.read_text().endswith(f"{here}\n") for path in folder.glob("slave*.lock")), (
            OTHER_PIDS
        )
    return staying_in(folder)


def require_gone(launcher: Launcher, slaves: list[Staying], since: str) -> None:
    """Wait until nothing is left of slaves; else end it, and raise AssertionError."""
    pids = {pid for slave in slaves for pid in slave.pids if launcher.shares_pids}
    locks = [slave.lock for slave in slaves]

    def left() -> list[int]:
        return [pid for pid in {*pids, *_marked_pids(launcher)} if not _has_ended(pid)]

    def is_over() -> bool:
        return not left() and not any(map(_is_locked, locks))

    if not wait_until(is_over, _GONE_S):
        processes = left()
        what = [f"process {pid}: {_words_of(pid)}" for pid in processes]
        what += [f"a process that locks {path}" for path in locks if _is_locked(path)]
        for pid in processes:
            os.kill(pid, signal.SIGKILL)
        raise AssertionError(f"{_GONE_S:g} s after {since}, this is still there: {what}")


def _words_of(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "?"
    return " ".join("…" if "\n" in word else word for word in words).strip()


def _is_locked(path: Path) -> bool:
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return True  # its number is another user's process by now
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return Path("/proc/self").exists()  # it has gone; or there is no /proc on this system
    except OSError:
        return False
    return state in "ZX"
