"""Joining the Ray cluster at an address, for slaves that are described by it."""

from __future__ import annotations

import logging
import os
import socket
import threading

import ray

from imp_parallel_core import LaunchError, explained, printable

_logger = logging.getLogger("imp_parallel.ray")
_ANSWER_S = 5.0
_LATE_S = 10.0
_CLIENT = "ray://"
_CLIENT_PORT = "10001"  # Ray's default
_LATE = "Ray has not joined the cluster at %s for %.0f s: is it there? Ray itself tries for minutes"


def join(address: str) -> None:
    """Join a cluster, unless this process has joined it already. Raises LaunchError."""
    if ray.is_initialized():
        _demand_the_same(address)
        return
    place, origin = _place_of(address)
    late = threading.Timer(_LATE_S, _logger.warning, [_LATE, printable(address), _LATE_S])
    late.daemon = True
    late.start()
    try:
        if place:
            _demand_an_answer(place)  # Ray itself tries for minutes
        # slaves print to files of their own, and their actors print nothing
        ray.init(address, log_to_driver=False, logging_level=logging.WARNING)
    except Exception as problem:  # Ray has many kinds
        why = printable(f"{type(problem).__name__}: {problem}").rstrip(".")
        where = f"{place} ({origin})" if origin else address
        text = (
            f"can't join the Ray cluster at {printable(where)}: {why}. Does it run there? "
            "`ray start` says its address, and `ray status` asks it by hand."
        )
        raise LaunchError(explained(text, "ray-unreachable")) from problem
    finally:
        late.cancel()


def _place_of(address: str) -> tuple[str, str]:
    """Return the host and the port to which an address leads, and what says so if it is "auto".

    The first is "" if only Ray can tell. Raises LaunchError if Ray finds no cluster.
    """
    origin = ""
    if address == "auto":
        named = os.environ.get("RAY_ADDRESS", "")
        if named in ("", "auto"):
            return _found_here(), "Ray has found that on this machine"
        address, origin = named, "RAY_ADDRESS names that"
    if address.startswith(_CLIENT):
        place = address.removeprefix(_CLIENT).partition("/")[0]
        return place if ":" in place else f"{place}:{_CLIENT_PORT}", origin
    return address if _is_plain(address) else "", origin


def _found_here() -> str:
    """Return where Ray finds a cluster by itself; "" if that can't be known before it joins that.

    Raises LaunchError if it finds none.
    """
    try:
        from ray._private.services import canonicalize_bootstrap_address_or_die
    except ImportError:  # it is not public, and may go
        return ""
    try:
        return str(canonicalize_bootstrap_address_or_die("auto"))
    except ConnectionError as problem:
        text = (
            f'no Ray cluster is found for address="auto": {printable(str(problem)).rstrip(".")}. '
            "Ray looks on this machine alone: start one here by `ray start --head`, or give "
            'RaySlaveArray the address="HOST:PORT" of another, which `ray start` has said there.'
        )
        raise LaunchError(explained(text, "ray-unreachable")) from problem


def _is_plain(address: str) -> bool:
    """Whether it is a host and a port; Ray alone knows what others mean."""
    return "://" not in address and ":" in address


def _demand_an_answer(address: str) -> None:
    """Raise OSError or ValueError if nothing answers there."""
    host, _, port = address.rpartition(":")
    with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_S):
        pass


def _demand_the_same(address: str) -> None:
    """Raise LaunchError if this process is known to have joined another cluster."""
    joined = str(ray.get_runtime_context().gcs_address)
    if _is_plain(address) and _resolved(address) != _resolved(joined):
        text = (
            f"the script has joined the Ray cluster at {printable(joined)}, and not that at "
            f"{printable(address)}: a process is in one at a time. ray.shutdown() leaves it."
        )
        raise LaunchError(explained(text, "ray-not-joined"))


def _resolved(address: str) -> tuple[str, str]:
    host, _, port = address.rpartition(":")
    try:
        return socket.gethostbyname(host), port
    except OSError:
        return host, port
