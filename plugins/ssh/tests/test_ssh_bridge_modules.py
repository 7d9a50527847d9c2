"""The modules of the bridge, each by itself."""

from __future__ import annotations

import io
import os
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imp_parallel_ssh._programs.bridge import preparation
from imp_parallel_ssh._programs.bridge.copying import Pump
from imp_parallel_ssh._programs.bridge.listeners import is_heard
from imp_parallel_ssh._programs.bridge.processes import descendants
from imp_parallel_ssh._programs.bridge.run_folder import PREFIX, TURN, RunFolder
from imp_parallel_ssh._programs.bridge.slave import HostedSlave

from imp_parallel_core.private_folders import make_private_folder

# ---- copying


def copy(pieces: list[bytes], taken_at_once: int) -> bytes:
    """Copy pieces from one pipe to another, which holds less than they have."""
    source, fed = os.pipe()
    read, sink = os.pipe()
    for descriptor in (source, sink, read):
        os.set_blocking(descriptor, False)
    pump = Pump(source, sink)
    arrived = b""

    def take() -> bytes:
        try:
            return os.read(read, taken_at_once)
        except BlockingIOError:
            return b""

    try:
        for piece in pieces:
            os.write(fed, piece)
            while pump.wants_to_read() and piece:
                pump.read()
                break
            arrived += take()
            while pump.wants_to_write():
                arrived += take()
                pump.write()
        os.close(fed)
        while pump.has_source or pump.wants_to_write():
            if pump.wants_to_read():
                pump.read()
            pump.write()
            arrived += take()
        while data := take():
            arrived += data
    finally:
        for descriptor in (source, sink, read):
            os.close(descriptor)
    return arrived


@given(st.lists(st.binary(max_size=60_000), max_size=6), st.integers(1_000, 200_000))
def test_what_is_copied_arrives_whole_and_in_order(pieces: list[bytes], taken: int) -> None:
    assert copy(pieces, taken) == b"".join(pieces)


def test_of_what_is_copied_only_one_piece_waits() -> None:
    source, fed = os.pipe()
    read, sink = os.pipe()
    for descriptor in (fed, source, sink):
        os.set_blocking(descriptor, False)
    pump = Pump(source, sink)
    sent = 0
    while pump.wants_to_read():
        sent += os.write(fed, bytes(1 << 14))
        pump.read()
    assert pump.wants_to_write()
    assert sent <= (1 << 18) + (1 << 16) * 2  # a piece, and what the two pipes hold
    for descriptor in (source, fed, read, sink):
        os.close(descriptor)


def test_after_its_sink_has_gone_a_pump_reads_on_and_drops_what_it_reads() -> None:
    source, fed = os.pipe()
    read, sink = os.pipe()
    os.close(read)
    pump = Pump(source, sink)
    for _ in range(3):
        os.write(fed, b"in vain")
        pump.read()
        assert not pump.has_sink
        assert pump.wants_to_read()
    os.close(fed)
    pump.read()
    assert not pump.has_source
    os.close(source)
    os.close(sink)


# ---- processes and sockets


def test_what_a_process_has_started_is_found_with_what_that_has_started() -> None:
    with subprocess.Popen(
        ["sh", "-c", "sleep 60 & echo $!; wait"], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        grandchild = int(process.stdout.readline())
        assert {process.pid, grandchild} <= set(descendants(os.getpid()))
        assert descendants(process.pid) == [grandchild]
        os.kill(grandchild, 9)
    assert process.pid not in descendants(os.getpid())


@pytest.fixture
def short() -> Iterator[Path]:
    """Return a folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_a_socket_is_heard_while_a_process_listens_there(short: Path) -> None:
    address = str(short / "slave0.socket")
    with socket.socket(socket.AF_UNIX) as slave:
        slave.bind(address)
        assert not is_heard(address)
        slave.listen()
        slave.setblocking(False)
        assert is_heard(address)
        if Path("/proc/net/unix").exists():
            with pytest.raises(BlockingIOError):  # it was not connected to
                slave.accept()
    assert not is_heard(address)
    (short / "slave0.socket").unlink()
    with pytest.raises(OSError, match="No such file"):
        is_heard(address)


# ---- the run's folder


def test_a_runs_folder_is_removed_by_the_last_bridge_that_lets_go(short: Path) -> None:
    path = Path(make_private_folder(str(short), PREFIX))
    one, other = RunFolder(str(path)), RunFolder(str(path))
    one.release()
    assert path.exists()
    other.release()
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        RunFolder(str(path))


def test_a_runs_folder_stays_while_a_slave_lives_in_it(short: Path) -> None:
    path = Path(make_private_folder(str(short), PREFIX))
    (path / TURN).touch()
    with socket.socket(socket.AF_UNIX) as slave:
        slave.bind(str(path / "slave0.socket"))
        slave.listen()
        RunFolder(str(path)).release()
        assert path.exists()
    RunFolder(str(path)).release()
    assert not path.exists()


def test_the_places_for_a_runs_folder_have_short_absolute_names_and_come_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for temporary, first in (("/scratch", "/scratch"), ("tmp", "/tmp"), ("/" + "x" * 45, "/tmp")):
        monkeypatch.setenv("TMPDIR", temporary)
        found = preparation.places()
        assert found[0] == first
        assert found[-3:] == ["/tmp", "/home/me", "/dev/shm"]
    monkeypatch.setenv("TMPDIR", "/home/me")
    assert preparation.places() == ["/home/me", "/tmp", "/dev/shm"]


def packed(*names: str) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name in names:
            archive.writestr(name, b"")
    return written.getvalue()


@pytest.mark.parametrize(
    ("kind", "content", "expected"),
    [
        ("modules", packed("a.py", "package/b.cpython-311.so"), True),
        ("modules", packed("libx.so.1"), True),
        ("modules", packed("a.py"), False),
        ("modules", packed("package.something/a.py"), False),
        ("code", packed("b.so"), False),
        ("modules", b"no archive, but .so", False),
    ],
)
def test_compiled_modules_are_known_by_their_names(
    kind: str, content: bytes, expected: bool
) -> None:
    assert preparation.holds_compiled(kind, content) is expected


# ---- a slave

HOLD = """
import fcntl, os, sys, time
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(lock, fcntl.LOCK_EX)
os.pwrite(lock, b"%d 77\\n" % os.getpid(), 0)
print("held", flush=True)
time.sleep(60)
"""


def test_a_bridge_ends_the_one_that_has_its_slave(short: Path) -> None:
    path = Path(make_private_folder(str(short), PREFIX))
    lock = path / "slave0.lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, lock], stdout=subprocess.PIPE) as earlier:
        assert earlier.stdout is not None
        assert earlier.stdout.readline() == b"held\n"
        folder = RunFolder(str(path))
        slave = HostedSlave(folder, "slave0", is_new=False)
        assert earlier.wait(20) == -9
    assert lock.read_text().split() == [str(os.getpid()), "77"]
    slave.remove()
    folder.release()
    assert not path.exists()


def test_there_is_only_one_slave_of_a_name(short: Path) -> None:
    path = Path(make_private_folder(str(short), PREFIX))
    folder = RunFolder(str(path))
    with pytest.raises(FileNotFoundError):
        HostedSlave(folder, "slave0", is_new=False)
    slave = HostedSlave(folder, "slave0", is_new=True)
    with pytest.raises(FileExistsError):
        HostedSlave(folder, "slave0", is_new=True)
    with pytest.raises(OSError, match="no slave has such a name"):
        HostedSlave(folder, "../slave0", is_new=True)
    slave.remove()
    folder.release()
