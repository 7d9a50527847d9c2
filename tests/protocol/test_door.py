"""The door at which a slave waits for its master, and who else may come to it."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from imp_parallel_core import _door
from imp_parallel_core._door import Door


def test_a_visitor_that_says_nothing_is_not_taken_for_a_master_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_door, "_GONE_S", 0.0)
    monkeypatch.chdir(tmp_path)  # a short path, whatever tmp_path is
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("door")
        listening.listen()

        def visitor() -> socket.socket:
            made = socket.socket(socket.AF_UNIX)
            made.connect("door")
            return made

        door = Door(listening)
        master = visitor()
        stream = door.welcome(door.first())
        stream.heard_at -= 60.0  # the master has been silent: its network was cut
        stream.close()
        master.close()
        visitor().close()
        door.dial(10.0).close()
        later = threading.Timer(0.3, lambda: back.append(visitor()))
        back: list[socket.socket] = []
        later.start()
        door.dial(10.0).close()
        later.join()
        back[0].close()
