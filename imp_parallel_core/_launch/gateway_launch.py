"""Launching slaves through a gateway: on machines that know nothing of this one and its files."""

from __future__ import annotations

import hashlib
import logging
import shlex
import sys
from collections.abc import Callable, Collection, Mapping, Sequence

from .._errors import LaunchError
from .._explained import explained
from .._plugins.bootstrap import Bootstrap
from .._plugins.gateway import Gateway, Relay
from .._plugins.launch import (
    Launch,
    LaunchState,
    WithdrawingLaunch,
    can_end_slave,
    can_withdraw,
    is_informed,
)
from .._plugins.output_files import open_output
from .._plugins.slave_archive import slave_archive
from ..trusted_paths import SHELL_FUNCTION

_logger = logging.getLogger("imp_parallel.launch")

_PREFIX = ".imp_parallel-"
_TRY_S = 30.0
_OUTPUT_BYTES = 4 * 1024 * 1024  # of each slave, at most; the end counts
_VERSION = tuple(sys.version_info[:2])


def launch_via(
    gateway: Gateway,
    bootstraps: Sequence[Bootstrap],
    launch: Callable[[Sequence[Bootstrap]], Launch],
) -> Launch:
    """Launch slaves beyond a gateway.

    Args:
        gateway: the way to them.
        bootstraps: as the slaves would need them here.
        launch: launches them with bootstraps as they need them there.

    Raises LaunchError, or whatever the launch raises.
    """
    try:
        folder = gateway.make_private_folder(gateway.home(), _PREFIX)
    except OSError as problem:
        raise LaunchError(f"there is no place for the slaves' files: {problem}") from problem
    relay: Relay | None = None
    try:
        relay = gateway.relay(
            bootstraps[0].addresses,
            folder=folder,
            patience_s=bootstraps[0].reconnect_timeout_s,
        )
        adapted = _adapted(gateway, bootstraps, folder, relay.addresses)
        launched = launch(adapted)
        if can_withdraw(launched):
            return _WithdrawingLaunchVia(gateway, launched, bootstraps, adapted, relay)
        return _LaunchVia(gateway, launched, bootstraps, adapted, relay)
    except BaseException as problem:
        if relay is not None:
            relay.close()
        else:
            gateway.remove_folder(folder)
        if isinstance(problem, OSError):
            raise LaunchError(f"slaves can't be prepared on {gateway!r}: {problem}") from problem
        raise


def _adapted(
    gateway: Gateway, bootstraps: Sequence[Bootstrap], folder: str, addresses: Sequence[str]
) -> list[Bootstrap]:
    first = bootstraps[0]
    archive = slave_archive(first.slave_modules)
    code_path = f"{folder}/{hashlib.sha256(archive).hexdigest()[:16]}.zip"
    gateway.write_file(code_path, archive)
    python = first.python
    if python == sys.executable:
        python = shlex.quote(_find_python(gateway))  # as in a line of the user's
    cwd = gateway.home()
    sent_path = tuple(gateway.ship_modules(folder))
    return [
        bootstrap._replace(
            python=python,
            cwd=cwd,
            output_path=_output_path(folder, bootstrap),
            sys_path=(),
            sent_path=sent_path,
            addresses=tuple(addresses),
            code_path=code_path,
            has_own_files=True,
        )
        for bootstrap in bootstraps
    ]


def _output_path(folder: str, bootstrap: Bootstrap) -> str | None:
    return None if bootstrap.output_path is None else f"{folder}/slave{bootstrap.index}.output"


def _find_python(gateway: Gateway) -> str:
    """Return a Python there like this one. Raises LaunchError."""
    named = "python{}.{}".format(*_VERSION)
    tried = []
    for candidate in (sys.executable, named, "python3", f"/usr/bin/{named}", "/usr/bin/python3"):
        path = gateway.find_program(candidate)
        if path is None:
            tried.append(f"{candidate}: not there")
            continue
        if candidate == sys.executable and (reason := _why_not(gateway, path)):
            text = (
                f"{path} is not used on {gateway!r}, since somebody else may be behind it: {reason}"
            )
            _logger.warning("%s", explained(text, "untrusted-file"))
            tried.append(text)
            continue
        done = gateway.run(
            [path, "-c", "import sys; print(tuple(sys.version_info[:2]))"], timeout_s=_TRY_S
        )
        if done.stdout.strip() == str(_VERSION):
            return path
        tried.append(f"{path}: {done.stdout.strip() or done.words}")
    raise LaunchError(
        f"there is no Python {_VERSION[0]}.{_VERSION[1]} on {gateway!r}, as this script runs: "
        f"{'; '.join(tried)}. Let python= name one, as it is called there."
    )


def _why_not(gateway: Gateway, path: str) -> str:
    """Return why a path there is not to be trusted; "" if it is."""
    command = ["/bin/sh", "-c", f'{SHELL_FUNCTION}; why_not "$1"', "sh", path]
    done = gateway.run(command, timeout_s=_TRY_S)
    return done.words if done.exit_code == 0 else done.words or "it can't be looked at"


class _LaunchVia:
    """A launch beyond a gateway, with what was prepared for it there."""

    def __init__(
        self,
        gateway: Gateway,
        launch: Launch,
        bootstraps: Sequence[Bootstrap],
        adapted: Sequence[Bootstrap],
        relay: Relay,
    ) -> None:
        self.command = launch.command
        self._gateway = gateway
        self._launch = launch
        self._relay = relay
        self._outputs = {
            there.output_path: here.output_path
            for here, there in zip(bootstraps, adapted, strict=True)
            if here.output_path is not None and there.output_path is not None
        }

    def poll(self) -> Mapping[int, LaunchState]:
        """Return the state of each slave."""
        return self._launch.poll()

    @property
    def reminds_of_queue(self) -> bool:
        """Whether the launch itself tells people that its slaves are queued."""
        return bool(getattr(self._launch, "reminds_of_queue", False))

    def log_tail(self, index: int) -> str:
        """Return the last lines of a slave's output."""
        return self._launch.log_tail(index)

    def end_slave(self, index: int) -> None:
        """End one slave by force, if that can be done."""
        if can_end_slave(self._launch):
            self._launch.end_slave(index)

    def note_connections(self, connected: Collection[int], parted: Collection[int]) -> None:
        """Tell the launch which slaves are connected, if it is to be told."""
        if is_informed(self._launch):
            self._launch.note_connections(connected, parted)

    def cancel(self, grace_s: float) -> None:
        """End all slaves, fetch their output, end the relay."""
        try:
            self._launch.cancel(grace_s)
            self._fetch_output()
        finally:
            self._relay.close()

    def _fetch_output(self) -> None:
        try:
            fetched = self._gateway.read_files(list(self._outputs), limit_bytes=_OUTPUT_BYTES)
            for here, data in zip(self._outputs.values(), fetched, strict=True):
                if data:
                    with open_output(here) as file:
                        file.write(data)
        except (OSError, LaunchError) as problem:
            _logger.warning("the output of slaves could not be fetched: %s", problem)


class _WithdrawingLaunchVia(_LaunchVia):
    """One whose slaves can be taken out of a queue."""

    _launch: WithdrawingLaunch

    def withdraw(self, indices: Collection[int]) -> None:
        """Take slaves out of the queue that are not needed any more."""
        self._launch.withdraw(indices)
