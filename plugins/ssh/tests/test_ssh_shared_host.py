"""One connection to a host, and the threads that want it."""

from __future__ import annotations

import threading

import pytest
from imp_parallel_ssh._connection import Channel, Connection
from imp_parallel_ssh._slaves.shared_host import Host
from waiting import wait_until

from imp_parallel_core import LaunchError


class NoConnection:
    """A connection that is made, and never used."""

    def start(self, command: str, take_errors: object) -> Channel:
        raise OSError("never used")

    def on_loss(self, callback: object) -> None: ...

    def close(self) -> None: ...


def test_of_those_who_wait_for_a_connection_none_makes_another_when_it_is_not_needed_any_more() -> (
    None
):
    attempts: list[str] = []
    may_end = threading.Event()

    def connect(target: str, timeout_s: float) -> Connection:
        attempts.append(target)
        may_end.wait(20.0)
        return NoConnection()

    host = Host("there", connect)
    refused: list[str] = []

    def use() -> None:
        with pytest.raises(LaunchError) as caught:
            host.connection(20.0)
        refused.append(str(caught.value))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: attempts)
    host.close()
    may_end.set()
    for thread in threads:
        thread.join()
    assert refused == ["there is not needed any more"] * 4
    assert attempts == ["there"]
