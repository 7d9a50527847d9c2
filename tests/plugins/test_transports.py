"""The transports of one Manager: each listens once, and none after the Manager's end."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from imp_parallel_core import Accept, ClosedError, Stream, Transport, hookimpl
from imp_parallel_core._plugins.registry import Plugins
from imp_parallel_core._plugins.transports import Transports


class Carrier:
    """A transport that notes what it is asked for."""

    dial = "nowhere:dial"
    slave_modules: Sequence[str] = ()

    def __init__(self) -> None:
        self.listened: list[tuple[str | None, int | range | None]] = []
        self.is_closed = False

    def listen(self, host: str | None, port: int | range | None, accept: Accept) -> Sequence[str]:
        self.listened.append((host, port))
        return ["127.0.0.1:1"]

    def secret(self, index: int) -> bytes:
        return b""

    def close(self) -> None:
        self.is_closed = True


class Brings:
    """A plugin that brings transports of any name."""

    def __init__(self) -> None:
        self.made: list[Carrier] = []

    @hookimpl
    def imp_parallel_transport(self, name: str) -> Transport | None:
        if name != "pigeon":
            return None
        self.made.append(Carrier())
        return self.made[-1]


def take(index: int, stream: Stream) -> None:
    raise AssertionError("no slave connects here")


def test_a_transport_is_made_and_listens_when_it_is_first_needed_and_once() -> None:
    plugin = Brings()
    transports = Transports(Plugins([plugin]), "host", range(5, 9), take)
    assert plugin.made == []
    assert (
        transports.get("pigeon") == transports.get("pigeon") == (plugin.made[0], ("127.0.0.1:1",))
    )
    assert [each.listened for each in plugin.made] == [[("host", range(5, 9))]]
    transports.close()
    assert plugin.made[0].is_closed


def test_no_transport_listens_any_more_when_the_manager_has_been_closed() -> None:
    plugin = Brings()
    transports = Transports(Plugins([plugin]), None, None, take)
    transports.close()
    with pytest.raises(ClosedError):
        transports.get("pigeon")
    assert plugin.made == []
