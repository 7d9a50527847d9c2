"""The slave's side: find the master among its addresses, all at once, and prove to belong to it."""

from __future__ import annotations

import base64
import selectors
import ssl
import sys
import time

from ._route import Route, Stage
from ._tls import SlaveCredentials
from ._tls_stream import TlsStream

TYPE_CHECKING = False  # typing itself takes a while to import, and each slave waits for this
if TYPE_CHECKING:
    from typing import Any

_STAGGER_S = 0.1  # between the first attempts, so that the best address usually wins
_ANSWERED_S = 1.0  # while an address answers, no other is tried for so long: a master may be busy
_GONE_S = 3.0
_BUSY_S = 3600.0  # for how long a master may take to answer that accepts connections
_TOLD_S = 3.0  # after so long the slave says, once, how each address fails


def dial(document: dict[str, Any], patience_s: float) -> TlsStream:
    """Reach the master, and say which slave this is; see the core's Transport.

    Args:
        document: the bootstrap document. Which addresses were the master's is noted in it.
        patience_s: for how long to try.
    """
    credentials = SlaveCredentials(base64.b64decode(document["secret"]), document["index"])
    proved: list[str] = document.setdefault("proved_addresses", [])
    addresses = dict.fromkeys([*proved, *document["addresses"]])
    now = time.monotonic()
    routes = [
        Route(address, credentials, now + number * _STAGGER_S)
        for number, address in enumerate(addresses)
    ]
    try:
        found = _search(routes, set(proved), now + patience_s)
        secured, found.socket = found.socket, None
    finally:
        for route in routes:
            route.close()
    if found.address not in proved:
        proved.append(found.address)
    assert isinstance(secured, ssl.SSLSocket)  # noqa: S101 - for mypy
    return TlsStream(secured)


def _search(routes: list[Route], proved: set[str], deadline: float) -> Route:
    """Try all routes until one is the master's; end the process if there is none."""
    began_at = time.monotonic()
    tell_at = began_at + _TOLD_S
    while True:
        now = time.monotonic()
        with selectors.DefaultSelector() as selector:
            for route in routes:
                if route.socket is not None:
                    wanted = selectors.EVENT_WRITE if route.waits_to_write else selectors.EVENT_READ
                    selector.register(route.socket, wanted, route)
            due = min(deadline, tell_at, *(route.due for route in routes))
            ready = [key.data for key, _ in selector.select(max(0.0, due - now))]
        now = time.monotonic()
        if now - began_at < _ANSWERED_S and any(r.stage is Stage.SECURING for r in routes):
            for route in routes:
                if route.is_untried:
                    route.due = max(route.due, now + _STAGGER_S)
        for route in routes:
            if route in ready or now >= route.due:
                route.step(now, is_ready=route in ready)
            if route.stage is Stage.PROVED:
                return route
        absent_s = _absent_s(routes, proved, now)
        if absent_s >= _GONE_S:
            _leave(routes)
        if now >= tell_at:
            tell_at = now + _GONE_S if absent_s else float("inf")
            if not absent_s and now < deadline:
                _tell(routes, now - began_at, deadline - began_at)
        if now >= deadline:
            if any(route.stage is Stage.SECURING for route in routes) and now < began_at + _BUSY_S:
                deadline = now + 1.0
            else:
                _give_up(routes, now - began_at)


def _absent_s(routes: list[Route], proved: set[str], now: float) -> float:
    """Return how long no address has had a master, of those that count; 0 if one may have it.

    If the slave has reached the master before, only the addresses count at which it did; else all
    addresses that this machine can send to.
    """
    where = [route for route in routes if route.address in proved] or [
        route for route in routes if not route.has_no_way
    ]
    absent = [None if route.stage is Stage.SECURING else route.absent_since for route in where]
    since = [at for at in absent if at is not None]
    return now - max(since) if since and len(since) == len(absent) else 0.0


def _leave(routes: list[Route]) -> None:
    tried = "; ".join(f"{route.address}: {route.failure}" for route in routes)
    print(f"imp_parallel: the master has gone, this slave leaves ({tried})", file=sys.stderr)
    sys.exit(0)


def _tell(routes: list[Route], waited_s: float, patience_s: float) -> None:
    print(
        f"imp_parallel: the master has not been reached for {waited_s:.0f} s, and is tried for "
        f"{patience_s:.0f} s:\n{_list(routes)}",
        file=sys.stderr,
        flush=True,
    )


def _give_up(routes: list[Route], waited_s: float) -> None:
    sys.exit(
        f"imp_parallel: the master can't be reached, tried for {waited_s:.0f} s:\n{_list(routes)}\n"
        "  Is it on another network, or behind a firewall? Manager's host= and port= say where "
        "slaves reach it.\nMore: imp-parallel explain master-unreachable"
    )


def _list(routes: list[Route]) -> str:
    return "\n".join(f"    {route.address}: {route.failure}" for route in routes)
