"""What is sent to machines that have nothing but Python is what a slave needs."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cloudpickle
import pytest

import imp_parallel_core
from imp_parallel_core import Bootstrap, slave_archive
from imp_parallel_core._plugins import slave_archive as _slave_archive
from imp_parallel_core._wire import protocol
from imp_parallel_core._wire.handshake import welcome
from tests.support.waiting import wait_until

PACKAGE = Path(imp_parallel_core.__file__).parent


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "slave.zip"
    path.write_bytes(slave_archive())
    return path


def run_alone(archive: Path, statements: str) -> str:
    """Run statements in a Python that has nothing but the archive."""
    program = f"import sys; sys.path.insert(0, {str(archive)!r})\n{statements}"
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("has_sources", [True, False])
def test_all_of_the_archive_can_be_imported_where_nothing_else_is(
    archive: Path, has_sources: bool
) -> None:
    archive.write_bytes(slave_archive(has_sources=has_sources))
    if not has_sources:
        names_in_it = zipfile.ZipFile(archive).namelist()
        assert [name for name in names_in_it if name.endswith(".py")] == ["cloudpickle/__init__.py"]
    names = list(_slave_archive._own_modules())
    said = run_alone(
        archive,
        f"import importlib\nfor name in {names}: importlib.import_module(name)\n"
        "import cloudpickle\nprint(cloudpickle.__file__)",
    )
    assert said.startswith(f"{archive}/")


@pytest.mark.parametrize("has_sources", [True, False])
def test_the_version_of_cloudpickle_is_found_in_an_archive_without_importing_it(
    archive: Path, has_sources: bool
) -> None:
    archive.write_bytes(slave_archive(has_sources=has_sources))

    said = run_alone(
        archive,
        "from imp_parallel_core._code.cloudpickle_version import version_of_cloudpickle\n"
        "print(version_of_cloudpickle(), 'cloudpickle' in sys.modules)",
    )
    assert said.split() == [cloudpickle.__version__, "False"]


def test_the_code_is_compiled_already_and_its_source_is_there_for_other_pythons(
    archive: Path,
) -> None:
    names = zipfile.ZipFile(archive).namelist()
    assert {name.removesuffix("c") for name in names} == set(names) - {
        name for name in names if name.endswith("c")
    }
    assert run_alone(archive, "import cloudpickle as c; print(c.__cached__ or c.__file__)").strip()


def test_more_modules_can_be_asked_for() -> None:
    names = zipfile.ZipFile(io.BytesIO(slave_archive(["wave", "json"]))).namelist()
    assert {"wave.py", "json/__init__.py"} < set(names)


@pytest.mark.parametrize("name", ["no_such_module", "math", "numpy.random.mtrand"])
def test_what_is_no_python_source_can_not_be_sent(name: str) -> None:
    with pytest.raises(ImportError, match=name):
        slave_archive([name])


class ListeningSlave:
    """A slave out of the archive, whose standard input is a socket that listens."""

    def __init__(self, archive: Path, folder: Path) -> None:
        self.address = str(folder / "s")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(self.address)
            listening.listen()
            bootstrap = Bootstrap(0, sys.executable, str(folder), None, [], has_own_files=True)
            self.document = bootstrap.document()
            self.process = subprocess.Popen(
                bootstrap.command("stdin", code_path=str(archive)),
                stdin=listening.fileno(),
                stderr=subprocess.PIPE,
                cwd=folder,
                env={"PATH": os.defpath},
            )

    def connect(self) -> socket.socket:
        connected = socket.socket(socket.AF_UNIX)
        connected.settimeout(20)
        connected.connect(self.address)
        return connected


@pytest.fixture
def slave(archive: Path, tmp_path: Path) -> Iterator[ListeningSlave]:
    made = ListeningSlave(archive, tmp_path)
    yield made
    made.process.kill()
    made.process.communicate()


def read_hello(connected: socket.socket) -> bytes:
    header = connected.recv(5, socket.MSG_WAITALL)
    return connected.recv(int.from_bytes(header[:4], "big"), socket.MSG_WAITALL)


def test_a_slave_whose_input_listens_speaks_over_one_connection_after_the_other(
    slave: ListeningSlave,
) -> None:
    with slave.connect() as first:
        first.sendall(slave.document)
        hello = read_hello(first)
    with slave.connect() as second:  # without the document: the slave has that
        again = read_hello(second)
        assert b'"boot"' in hello
        assert again == hello
        second.sendall(b"\0\0\0\2\3{}")  # a REFUSE that can't be read ends it, and so does …
        assert slave.process.wait(20) != 0


def test_a_slave_to_which_nobody_comes_back_leaves_after_the_time_to_reconnect(
    slave: ListeningSlave,
) -> None:
    with slave.connect() as connected:
        connected.sendall(slave.document)
        read_hello(connected)
        greeting = welcome(cloudpickle.__version__, "a", 0, 30.0, 1.0, passes_descriptors=False)
        connected.sendall(protocol.encode_frame(protocol.WELCOME, greeting))
        assert connected.recv(1), "it is welcome, and says that its runner is ready"
    assert slave.process.wait(20) == 0
    assert slave.process.stderr is not None
    assert b"the master has gone" in slave.process.stderr.read()


def test_a_slave_whose_launcher_has_gone_before_the_document_leaves(slave: ListeningSlave) -> None:
    slave.connect().close()
    assert slave.process.wait(10) == 0


def test_what_the_supervisor_says_waits_for_nobody(archive: Path) -> None:
    """Its standard error is a pipe that is full."""
    read, written = os.pipe()
    os.set_blocking(written, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(written, bytes(65536))
    os.set_blocking(written, True)
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from imp_parallel_core._slave.output import say; say('x' * 9000)",
        ],
        stderr=written,
        cwd=PACKAGE.parent,
    )
    wait_until(lambda: process.poll() is not None, 20.0)
    assert process.returncode == 0
    os.close(read)
    os.close(written)


def test_threads_that_need_an_archive_at_once_get_the_same() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: slave_archive(["pluggy"]), range(8)))
    assert all(each is made[0] for each in made)
