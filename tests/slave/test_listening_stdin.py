"""The socket at which a slave waits for its master, and for how long it waits."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imp_parallel_core._slave.listening_stdin import ListeningStdin

Visit = Callable[[], socket.socket]


@pytest.fixture
def listening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    monkeypatch.chdir(tmp_path)  # a short path, whatever tmp_path is
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("door")
        made.listen()
        yield made


def visit() -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.connect("door")
    return made


def test_a_slave_waits_for_its_master_as_long_as_the_master_tries(
    listening: socket.socket,
) -> None:
    stdin = ListeningStdin(listening)
    master = visit()
    stdin.stream_over(stdin.accept_first()).close()
    master.close()
    back: list[socket.socket] = []
    later = threading.Timer(0.5, lambda: back.append(visit()))
    later.start()
    stdin.dial(60.0).close()
    later.join()
    back[0].close()


def test_a_slave_to_which_nobody_comes_leaves_and_says_so(
    listening: socket.socket, capfd: pytest.CaptureFixture[str]
) -> None:
    stdin = ListeningStdin(listening)
    master = visit()
    stdin.stream_over(stdin.accept_first()).close()
    master.close()
    begun_at = time.monotonic()
    with pytest.raises(SystemExit) as end:
        stdin.dial(0.3)
    assert end.value.code == 0
    assert time.monotonic() - begun_at >= 0.3
    assert "nobody came for 0.3 s" in capfd.readouterr().err


def test_a_stream_can_be_followed_by_another(listening: socket.socket) -> None:
    stdin = ListeningStdin(listening)
    for _ in range(3):
        master = visit()
        stream = stdin.dial(10.0)
        assert stream.resumable
        stream.close()
        master.close()
