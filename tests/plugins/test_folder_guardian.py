"""Whatever is killed of what keeps a slave on another machine, and whenever, nothing is left."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from imp_parallel_core import Sent, slave_archive
from imp_parallel_core._plugins.exit_code import exit_code
from imp_parallel_core._plugins.folder_guardian import FolderGuardian
from imp_parallel_core._plugins.kept_slave import start_slave
from tests.support.harness import Processes, processes
from tests.support.waiting import wait_for_end, wait_until

__all__ = ["processes"]

# Starts and ends a slave again and again, each time in a new process, which is killed as it comes
# to the first line of our code, to the second, and so on until there is no more line.
KILLED_AT_EACH_LINE = """\
import itertools, os, pickle, signal, sys

sent, archive = pickle.load(sys.stdin.buffer)

def keep(last):
    count = 0

    def trace(frame, event, _):
        nonlocal count
        code = frame.f_code
        if not code.co_filename.startswith("<sent") or not code.co_flags & 1:  # (no class's body)
            return None
        if event == "line":
            count += 1
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    sent(archive).end()
    os._exit(0)

for last in itertools.count(1):
    pid = os.fork()
    if not pid:
        keep(last)
    if os.waitpid(pid, 0)[1] == 0:
        break
print(last)
"""
START_AND_END = (
    "import pickle, sys\nsent, archive = pickle.load(sys.stdin.buffer)\nsent(archive).end()\n"
)
# stands for a command of the shell's, and waits in it, before or after its work
HELD = """\
#!/bin/sh
[ {when} = before ] || /bin/{command} "$@" || exit
: > {folder}/reached
read -r line < {folder}/go
[ {when} = after ] || exec /bin/{command} "$@"
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder for all that is temporary."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture
def nothing_is_left(temporary: Path, processes: Processes) -> Callable[[], None]:
    """Return what waits until there is no file and no process any more."""

    def wait() -> None:
        wait_until(lambda: not processes.alive(), what="no process is left")
        wait_until(lambda: not [*temporary.iterdir()], what="no file is left")

    return wait


def sent() -> bytes:
    """Return what starts a slave that leaves as soon as its connection ends; and the archive."""
    helpers = Sent(exit_code), Sent(FolderGuardian)
    start = Sent(start_slave, 0, *helpers, ["cat"], b"the document", {}, ("/nowhere", 0))
    return pickle.dumps((start, slave_archive()))


def shell_of(guardian: FolderGuardian, processes: Processes) -> int:
    """Return the pid of a guardian's shell."""
    (pid,) = (pid for pid, line in processes.alive().items() if guardian.path in line)
    return pid


def test_what_keeps_a_slave_may_be_killed_at_any_line_and_nothing_is_left(
    nothing_is_left: Callable[[], None],
) -> None:
    command = [sys.executable, "-I", "-S", "-c", KILLED_AT_EACH_LINE]
    done = subprocess.run(command, input=sent(), stdout=subprocess.PIPE, check=True)
    assert int(done.stdout) > 60
    nothing_is_left()


@pytest.mark.parametrize(
    ("command", "when"),
    [("mkdir", "before"), ("mkdir", "after"), ("rm", "before"), ("rmdir", "before")],
)
def test_what_keeps_a_slave_may_be_killed_with_its_children_while_its_folder_is_made_or_removed(
    command: str,
    when: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    processes: Processes,
    nothing_is_left: Callable[[], None],
) -> None:
    held = tmp_path / command
    held.write_text(HELD.format(when=when, command=command, folder=tmp_path))
    held.chmod(0o755)
    os.mkfifo(tmp_path / "go")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    keeper = [sys.executable, "-I", "-S", "-c", START_AND_END]
    with subprocess.Popen(keeper, stdin=subprocess.PIPE) as keeping:
        assert keeping.stdin is not None
        keeping.stdin.write(sent())
        keeping.stdin.close()
        wait_until((tmp_path / "reached").exists)
        children = Path(f"/proc/{keeping.pid}/task/{keeping.pid}/children").read_text()
        for pid in [keeping.pid, *map(int, children.split())]:
            os.kill(pid, signal.SIGKILL)
    for pid, line in processes.alive().items():
        if command not in line.partition("\0")[0]:  # what goes on is the shell
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
                os.kill(pid, number)
    (tmp_path / "go").write_text("go on\n")
    nothing_is_left()


def test_a_shell_that_was_killed_leaves_the_folder_to_the_process_that_keeps_the_slave(
    processes: Processes, nothing_is_left: Callable[[], None]
) -> None:
    guardian = FolderGuardian()
    Path(guardian.path, "slave.zip").touch()
    shell = shell_of(guardian, processes)
    os.kill(shell, signal.SIGKILL)
    wait_for_end(shell, "the shell")
    guardian.forget_group()
    guardian.end()
    nothing_is_left()


def test_no_slave_goes_on_without_a_shell_that_watches_it(
    processes: Processes, nothing_is_left: Callable[[], None]
) -> None:
    def guard_in_vain() -> FolderGuardian:
        guardian = FolderGuardian()
        shell = shell_of(guardian, processes)
        os.kill(shell, signal.SIGKILL)
        wait_for_end(shell, "the shell")
        return guardian

    with pytest.raises(BrokenPipeError):
        start_slave(0, exit_code, guard_in_vain, ["cat"], b"", {}, ("/nowhere", 0), b"")
    nothing_is_left()


def test_only_the_folder_that_was_made_is_emptied(temporary: Path) -> None:
    guardian = FolderGuardian()
    folder = Path(guardian.path)
    assert folder.parent == temporary
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "output").touch()
    moved = folder.rename(temporary / "moved")
    folder.mkdir()
    (folder / "output").write_text("precious")
    guardian.end()
    assert [*moved.iterdir()] == []
    assert (folder / "output").read_text() == "precious"


def test_a_folder_that_can_not_be_made_is_an_error_that_says_why(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", f"{temporary}/not there")
    with pytest.raises(OSError, match=r"can't be made: .*not there.*No such file or directory"):
        FolderGuardian()
