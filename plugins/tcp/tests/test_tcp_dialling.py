"""How a slave looks for its master, and what it says if it finds none."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from imp_parallel_tcp import _dial, _route
from imp_parallel_tcp._credentials import RunCredentials
from imp_parallel_tcp._tls import SlaveCredentials
from imp_parallel_tcp._transport import TcpTransport

from imp_parallel_core import Stream

pytestmark = pytest.mark.usefixtures("traced_slaves")


class Listening:
    """A transport that listens at 127.0.0.1, and what it let in."""

    def __init__(self) -> None:
        self.transport = TcpTransport()
        self.accepted: list[tuple[int, Stream]] = []
        (self.address,) = self.transport.listen(
            "127.0.0.1", None, lambda index, stream: self.accepted.append((index, stream))
        )

    def document(self, *addresses: str) -> dict[str, object]:
        secret = base64.b64encode(self.transport.secret(5)).decode()
        return {"index": 5, "addresses": addresses or (self.address,), "secret": secret}

    def close(self) -> None:
        self.transport.close()
        for _, stream in self.accepted:
            stream.close()


@pytest.fixture
def listening() -> Iterator[Listening]:
    made = Listening()
    yield made
    made.close()


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port: int = reserved.getsockname()[1]
    return port


@pytest.fixture
def silent() -> Iterator[str]:
    """An address where connections are accepted by the system, and nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def impostor() -> Iterator[str]:
    """An address where the master of another run listens."""
    other = Listening()
    yield other.address
    other.close()


def wait_for_one(listening: Listening) -> tuple[int, Stream]:
    deadline = time.monotonic() + 10
    while not listening.accepted:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return listening.accepted[0]


def test_a_slave_comes_in_with_its_index(listening: Listening) -> None:
    stream = _dial.dial(listening.document(), 10.0)
    index, _ = wait_for_one(listening)
    assert index == 5
    stream.close()


def test_the_first_address_that_proves_to_be_the_master_is_taken(
    listening: Listening, silent: str, impostor: str, closed_port: int
) -> None:
    document = listening.document(
        silent, impostor, f"127.0.0.1:{closed_port}", "203.0.113.9:7", listening.address
    )
    begun_at = time.monotonic()
    stream = _dial.dial(document, 20.0)
    assert time.monotonic() - begun_at < 5.0
    assert wait_for_one(listening)[0] == 5
    stream.close()


def test_a_master_that_answers_slowly_is_not_bothered_at_its_other_addresses_at_once(
    listening: Listening,
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as busy,
        socket.create_server(("127.0.0.1", 0)) as second,
    ):
        addresses = [f"127.0.0.1:{end.getsockname()[1]}" for end in (busy, second)]
        second.settimeout(10.0)
        document = listening.document(*addresses, listening.address)
        begun_at = time.monotonic()
        with ThreadPoolExecutor() as pool:
            dialled = pool.submit(_dial.dial, document, 20.0)
            second.accept()[0].close()
            assert time.monotonic() - begun_at >= 1.0
            dialled.result().close()


def test_a_slave_that_is_refused_everywhere_leaves_quietly_after_three_seconds(
    listening: Listening, closed_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    begun_at = time.monotonic()
    with pytest.raises(SystemExit) as caught:
        _dial.dial(listening.document(f"127.0.0.1:{closed_port}"), 60.0)
    assert not caught.value.code
    assert 3.0 <= time.monotonic() - begun_at < 10.0
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"the master has gone, this slave leaves (127.0.0.1:{closed_port}" in said


def test_another_runs_master_in_the_old_place_means_that_ours_has_gone(
    listening: Listening, impostor: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        _dial.dial(listening.document(impostor), 60.0)
    assert not caught.value.code
    assert "somebody else answers there" in capsys.readouterr().err


def test_where_the_master_has_been_before_decides_whether_it_has_gone(
    listening: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_route, "_CONNECT_S", 0.2)
    document = listening.document("203.0.113.9:7", listening.address)
    _dial.dial(document, 10.0).close()
    listening.transport.close()
    begun_at = time.monotonic()
    with pytest.raises(SystemExit) as caught:
        _dial.dial(document, 60.0)
    assert not caught.value.code
    assert time.monotonic() - begun_at < 15.0


SILENT_ROUTE = "203.0.113.9:7"


class Deaf(_route.Route):
    """One address gets no answer, as behind a firewall that drops packets."""

    def _on_time(self, now: float) -> None:
        if self.address == SILENT_ROUTE and self.stage is _route.Stage.WAITING:
            raise TimeoutError("no answer within 3 s")
        super()._on_time(now)


def test_a_slave_says_after_three_seconds_how_each_address_fails_and_goes_on(
    listening: Listening,
    monkeypatch: pytest.MonkeyPatch,
    closed_port: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(_dial, "Route", Deaf)
    document = listening.document(SILENT_ROUTE, f"127.0.0.1:{closed_port}")
    with pytest.raises(SystemExit, match="can't be reached"):
        _dial.dial(document, 4.0)
    said = capsys.readouterr().err
    assert said.startswith("imp_parallel: the master has not been reached for 3 s")
    assert "tried for 4 s" in said
    assert f"{SILENT_ROUTE}: no answer within 3 s" in said
    assert f"127.0.0.1:{closed_port}: Connection refused" in said
    assert said.count("has not been reached") == 1


def test_an_error_lists_every_address_and_how_it_failed(
    listening: Listening, monkeypatch: pytest.MonkeyPatch, closed_port: int, impostor: str
) -> None:
    monkeypatch.setattr(_dial, "Route", Deaf)
    refused = f"127.0.0.1:{closed_port}"
    begun_at = time.monotonic()
    with pytest.raises(SystemExit) as caught:
        _dial.dial(listening.document(SILENT_ROUTE, refused, impostor), 1.0)
    assert time.monotonic() - begun_at < 10.0
    text = str(caught.value.code)
    assert "can't be reached" in text
    assert f"{SILENT_ROUTE}: no answer within 3 s" in text
    assert f"{refused}: Connection refused" in text
    assert f"{impostor}: somebody else answers there (certificate verify failed)" in text
    assert "host=" in text


def test_a_master_that_accepts_but_is_too_busy_to_answer_is_waited_for(
    listening: Listening, closed_port: int
) -> None:
    """The system accepts connections for a master whose threads can't run."""
    address = f"127.0.0.1:{closed_port}"
    late = socket.create_server(("127.0.0.1", closed_port))
    late.settimeout(20)

    def forward() -> None:
        time.sleep(2.0)  # longer than the slave's patience
        from imp_parallel_tcp._newcomer import Newcomer

        credentials = listening.transport._credentials
        assert credentials is not None
        connected, _ = late.accept()
        newcomer = Newcomer(connected, b"")
        newcomer.speaks(credentials)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                found.append(newcomer.advance()[0])
            except OSError:
                time.sleep(0.01)
            else:
                break
        newcomer.socket.close()

    found: list[int | None] = []
    thread = threading.Thread(target=forward)
    thread.start()
    _dial.dial(listening.document(address), 1.0).close()
    thread.join()
    late.close()
    assert found == [5]


def test_a_slave_program_that_starts_after_the_run_says_so_and_exits_with_0(
    tmp_path: Path, closed_port: int
) -> None:
    from imp_parallel_core import Bootstrap

    bootstrap = Bootstrap(
        index=3,
        python=sys.executable,
        cwd=str(tmp_path),
        output_path=None,
        sys_path=sys.path,
        dial=TcpTransport.dial,
        addresses=[f"127.0.0.1:{closed_port}"],
        secret=RunCredentials().secret(3),
    )
    file = tmp_path / "document"
    file.write_bytes(bootstrap.document())
    assert json.loads(file.read_text())["index"] == 3
    command = bootstrap.command("file", str(file))
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("imp_parallel: the master has gone, this slave leaves")
    assert done.stderr.count("\n") == 1


def test_a_master_that_leaves_before_the_slave_has_proved_itself_is_left_in_peace(
    listening: Listening, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The end of the connection may come with any step of the slave's."""
    check = SlaveCredentials.check

    def check_and_break(credentials: SlaveCredentials, secured: ssl.SSLSocket) -> None:
        check(credentials, secured)
        listening.close()
        secured.shutdown(socket.SHUT_RDWR)

    monkeypatch.setattr(SlaveCredentials, "check", check_and_break)
    with pytest.raises(SystemExit) as end:
        _dial.dial(listening.document(), 20.0)
    assert end.value.code == 0
    assert "the master has gone" in capfd.readouterr().err
