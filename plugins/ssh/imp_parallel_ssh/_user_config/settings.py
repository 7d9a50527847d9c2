"""What the user's SSH configuration says of a host, and of the way to it."""

from __future__ import annotations

import enum
import getpass
import os
import re
import shlex
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.ssh_exception import ConfigParseError, CouldNotCanonicalize

from imp_parallel_core import LaunchError

from .._target import Target, parse_target
from .text import SYSTEM, configuration_text

_PORT = 22
_DEFAULT_IDENTITIES = ("id_ed25519", "id_ecdsa", "id_rsa")
_LONGEST_ROUTE = 8
_TOKEN = re.compile(r"%(.)")
_UNITS_S = {"": 1, "s": 1, "m": 60, "h": 3600}


class Strictness(enum.Enum):
    """What to do with a host key that known_hosts does not have."""

    REFUSE = "refuse"
    """The default. (OpenSSH's own default is to ask; nobody may be there to answer.)"""
    ADD_NEW = "accept-new"
    """Believe and note a key of a host that has none noted; refuse one that has changed."""
    BELIEVE = "no"
    """Believe any."""


@dataclass(frozen=True)
class HostSettings:
    """How to reach one host, apart from the hosts before it.

    Attributes:
        name: what the user, or another host's ProxyJump, calls it.
        host: the name or address to connect to.
        port: the port.
        user: whom to log in as.
        known_as: what known_hosts calls it, if neither the host nor the port shall matter.
        known_hosts: the files of known hosts.
        strictness: what to do when they don't know it.
        identities: the files of private keys to try.
        identities_only: to try no other key that an agent may have.
        certificates: files of certificates for them.
        agent: the agent's socket; "" for none.
        proxy_command: a command line whose standard input and output are the way to it; "" if none.
        timeout_s: how long to try to connect, if the user has said so.
    """

    name: str
    host: str
    port: int
    user: str
    known_as: str
    known_hosts: Sequence[str]
    strictness: Strictness
    identities: Sequence[str]
    identities_only: bool
    certificates: Sequence[str]
    agent: str
    proxy_command: str
    timeout_s: float | None

    def __str__(self) -> str:
        place = str(Target(self.host, self.user, self.port))
        return place if self.name in (self.host, place) else f"{self.name} ({place})"


class SshConfig:
    """The user's SSH configuration.

    Args:
        text: its text; by default what the files say now. Raises LaunchError.
    """

    def __init__(self, text: str | None = None) -> None:
        self._text = configuration_text() if text is None else text

    def route(self, target: Target) -> list[HostSettings]:
        """Return the hosts to connect to, each through the one before; the last is the target.

        Raises LaunchError.
        """
        hops = list(self._hops(target, 0))
        return [hop for hop, _ in hops[:1]] + [_without_proxy_command(hop) for hop, _ in hops[1:]]

    def _hops(self, target: Target, depth: int) -> Iterator[tuple[HostSettings, Target]]:
        if depth == _LONGEST_ROUTE:
            raise LaunchError(f"ProxyJump of the SSH configuration goes in a circle at {target}")
        options = self._lookup(target)
        jumps = _jumps(options, target)
        if jumps:
            # the first has a way of its own, perhaps; the others are reached through it
            yield from self._hops(jumps[0], depth + 1)
            for jump in jumps[1:]:
                yield _settings(self._lookup(jump), jump), jump
        yield _settings(options, target), target

    def _lookup(self, target: Target) -> Mapping[str, object]:
        # what the user says of this host comes before all else, and so wins
        said = "".join(
            f"{keyword} {value}\n"
            for keyword, value in (("User", target.user), ("Port", target.port))
            if value is not None
        )
        try:
            config = paramiko.SSHConfig.from_text("Host *\n" + said + self._text)
            return dict(config.lookup(target.host))
        except (ConfigParseError, CouldNotCanonicalize, ValueError, KeyError) as problem:
            text = f"the SSH configuration can't be used for {target}: {problem}"
            raise LaunchError(text) from problem
        except ImportError as problem:
            raise LaunchError(
                f"the SSH configuration has a 'Match exec' for {target}, which needs the package "
                "invoke: pip install invoke"
            ) from problem


def _without_proxy_command(settings: HostSettings) -> HostSettings:
    return HostSettings(**{**settings.__dict__, "proxy_command": ""})


def _jumps(options: Mapping[str, object], target: Target) -> list[Target]:
    text = str(options.get("proxyjump") or "none")
    # of the two, the one that comes first counts, and they are in the order of the file
    first = next((option for option in options if option in ("proxycommand", "proxyjump")), "")
    is_overruled = first == "proxycommand" and options[first] is not None
    if is_overruled or text.lower() == "none":
        return []
    try:
        return [parse_target(part.strip().removeprefix("ssh://")) for part in text.split(",")]
    except ValueError as problem:
        raise LaunchError(f"ProxyJump of {target} in the SSH configuration: {problem}") from None


def _settings(options: Mapping[str, object], target: Target) -> HostSettings:
    def value(keyword: str, default: str = "") -> str:
        found = options.get(keyword, default)
        return default if found is None else str(found)

    host = value("hostname", target.host)
    try:
        port = int(value("port", str(_PORT)))
        timeout_s = _seconds(value("connecttimeout", "none"))
    except ValueError as problem:
        raise LaunchError(f"the SSH configuration of {target}: {problem}") from None
    user = value("user") or getpass.getuser()
    tokens = {
        **{"%": "%", "d": _home(), "h": host, "n": target.host, "p": str(port), "r": user},
        **{"u": getpass.getuser(), "L": socket.gethostname().partition(".")[0]},
        **{"l": socket.gethostname(), "k": value("hostkeyalias", target.host)},
        "i": str(os.getuid()),
    }
    jumps = _jumps(options, target)
    given = options.get("identityfile")
    identities = [str(entry) for entry in given] if isinstance(given, list) else []
    agent = value("identityagent", "SSH_AUTH_SOCK").strip('"')
    return HostSettings(
        name=target.host,
        host=host,
        port=port,
        user=user,
        known_as=value("hostkeyalias"),
        known_hosts=_known_hosts(options, tokens),
        strictness=_strictness(value("stricthostkeychecking")),
        identities=[_path(entry, tokens) for entry in identities if entry.lower() != "none"]
        or ([] if identities else [f"{_home()}/.ssh/{name}" for name in _DEFAULT_IDENTITIES]),
        identities_only=value("identitiesonly").lower() in ("yes", "true"),
        certificates=_paths(value("certificatefile"), tokens),
        agent=_agent(agent, tokens),
        proxy_command="" if jumps else value("proxycommand"),
        timeout_s=timeout_s,
    )


def _seconds(text: str) -> float | None:
    """Return a time as OpenSSH writes it. Raises ValueError."""
    if text.lower() == "none":
        return None
    parts = re.findall(r"(\d+)([smhSMH]?)", text)
    if not parts or "".join(map("".join, parts)) != text:
        raise ValueError(f"ConnectTimeout {text!r} is no time")
    return float(sum(int(number) * _UNITS_S[unit.lower()] for number, unit in parts)) or None


def _strictness(text: str) -> Strictness:
    if text.lower() == "accept-new":
        return Strictness.ADD_NEW
    return Strictness.BELIEVE if text.lower() in ("no", "off", "false") else Strictness.REFUSE


def _known_hosts(options: Mapping[str, object], tokens: Mapping[str, str]) -> list[str]:
    user = str(options.get("userknownhostsfile") or "~/.ssh/known_hosts ~/.ssh/known_hosts2")
    system = str(
        options.get("globalknownhostsfile") or f"{SYSTEM}/ssh_known_hosts {SYSTEM}/ssh_known_hosts2"
    )
    return [*_paths(user, tokens), *_paths(system, tokens)]


def _agent(text: str, tokens: Mapping[str, str]) -> str:
    if text.lower() == "none":
        return ""
    if text == "SSH_AUTH_SOCK":
        return os.environ.get("SSH_AUTH_SOCK", "")
    if text.startswith("$"):
        return os.environ.get(text[1:].strip("{}"), "")
    return _path(text, tokens)


def _home() -> str:
    return str(Path("~").expanduser())


def _paths(text: str, tokens: Mapping[str, str]) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError:
        words = text.split()
    return [_path(word, tokens) for word in words if word.lower() != "none"]


def _path(text: str, tokens: Mapping[str, str]) -> str:
    """Return a path with its ``~`` and ``%`` replaced; what is unknown stays as it is."""
    replaced = _TOKEN.sub(lambda found: tokens.get(found[1], found[0]), text)
    return str(Path(replaced).expanduser())
