"""What ``ssh`` or a login shell has said that failed, and what that means for the user. Pure."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence

from imp_parallel_core import LaunchError, explained, printable

_DETAIL = "debug1: "
_COUNTED = ("Transferred: ", "Bytes per second: ")  # said at the end, beside such details
_LINES = 40
_DETAILS = 400
_QUOTED_LINES = 16  # as many as ssh takes to say that a host's key has changed
_KEY = re.compile(r"Server host key: (\S+ \S+)")
_OFFERED = re.compile(r"Offering public key: (.*)")
_HOST_KEY_REFUSED = "Host key verification failed"
_HOST_KEY_CHANGED = "IDENTIFICATION HAS CHANGED"
_REFUSED = "Permission denied"
_DROPPED = re.compile(
    r"(kex|ssh)_exchange_identification|banner exchange|Exceeded MaxStartups"
    r"|Connection (closed|reset) by"
)
_SPOKE = "Remote protocol version"


class SshOutput:
    """The last lines of an ssh's standard error; its debugging lines are kept apart."""

    def __init__(self) -> None:
        self._begun = b""
        self._lines: deque[str] = deque(maxlen=_LINES)
        self._details: deque[str] = deque(maxlen=_DETAILS)

    def hear(self, data: bytes) -> None:
        """Take what has arrived of it."""
        *lines, begun = (self._begun + data).split(b"\n")
        self._begun = begun[-_LINES * 100 :]
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        text = printable(line.decode(errors="replace").strip())
        if text.startswith(_DETAIL):
            self._details.append(text.removeprefix(_DETAIL))
        elif text.startswith(_COUNTED):
            self._details.append(text)
        elif text := text.strip("@ "):  # (it frames a warning by them)
            self._lines.append(text)

    def end(self) -> None:
        """No more will come."""
        self._take(self._begun)
        self._begun = b""

    @property
    def lines(self) -> list[str]:
        """The lines for the user."""
        return list(self._lines)

    def last(self) -> str:
        """Return its last line as part of a sentence; "" if it said nothing."""
        return self._lines[-1].rstrip(".") if self._lines else ""

    def host_key(self) -> str:
        """Return the kind of the host's key and its fingerprint; "" if it did not come so far."""
        found = [match[1] for match in map(_KEY.search, self._details) if match]
        return found[-1] if found else ""

    def has_spoken_ssh(self) -> bool:
        """Whether the host has told its version, as an sshd does."""
        return any(line.startswith(_SPOKE) for line in self._details)

    def offered_keys(self) -> list[str]:
        """Return the keys of the user's that the host was shown."""
        return [match[1] for match in map(_OFFERED.match, self._details) if match]


def was_dropped(lines: Sequence[str]) -> bool:
    """Whether an ssh that said this has lost its connection before the user was logged in."""
    if any(_REFUSED in line or _HOST_KEY_REFUSED in line for line in lines):
        return False
    return any(_DROPPED.search(line) for line in lines)


def why_not_connected(
    target: str, words: SshOutput, settings: Mapping[str, str], by_hand: str
) -> str:
    """Return the text of an error.

    Args:
        target: what the user calls the host.
        words: what ssh said.
        settings: what ``ssh -G`` says of the host; may be empty.
        by_hand: the command by which a person would connect.
    """
    said = words.lines
    text = [f"can't connect to {target}{_place(target, settings)}: {_reason(words)}"]
    if any(_HOST_KEY_REFUSED in line for line in said):
        text += _of_host_key(words, settings)
    elif any(_REFUSED in line for line in said):
        keys = words.offered_keys()
        text.append("Keys that were offered: " + ("; ".join(keys) if keys else "none"))
        text.append("A key with a passphrase must be in an agent: ssh-add; nobody is asked for it")
    if len(said) > 1:
        text += ["ssh said:", *(f"    {line}" for line in said[-_QUOTED_LINES:])]
    text.append(f"Try it by hand: {by_hand}")
    return explained("\n    ".join(text), *_keys(said))


def no_commands(name: str, exit_code: int | None, words: str, by_hand: str) -> LaunchError:
    """Return the error for a host whose login shell ends instead of running a command.

    Args:
        name: what the user calls the host.
        exit_code: the shell's.
        words: what it said.
        by_hand: the command by which a person would connect.
    """
    text = (
        f"{name}: the login shell runs no commands (exit code {exit_code}):\n"
        f"    {words}\n"
        f"    Is that account for logging in? Try it by hand: {by_hand} echo hello"
    )
    return LaunchError(
        explained(text, "login-shell"),
        command=[*by_hand.split(), "echo", "hello"],
        exit_code=exit_code,
        output=words,
    )


def _keys(said: Sequence[str]) -> Sequence[str]:
    """Return the key of the section that explains what ssh said, if there is one."""
    if any(_HOST_KEY_CHANGED in line for line in said):
        return ["host-key-changed"]
    if any(_HOST_KEY_REFUSED in line for line in said):
        return ["host-key-unknown"]
    if any(_REFUSED in line for line in said):
        return ["ssh-login-refused"]
    return ["ssh-hangs-up"] if was_dropped(said) else ["ssh-unreachable"]


def _reason(words: SshOutput) -> str:
    return words.last() or "ssh does not say why"


def _place(target: str, settings: Mapping[str, str]) -> str:
    if "hostname" not in settings:
        return ""
    place = "{}@{}, port {}".format(
        *(settings.get(name, "?") for name in ("user", "hostname", "port"))
    )
    return f" ({place})"


def _of_host_key(words: SshOutput, settings: Mapping[str, str]) -> Sequence[str]:
    files = " ".join(settings.get(f"{whose}knownhostsfile", "") for whose in ("user", "global"))
    key = words.host_key()
    if key:
        text = [f"Its host key is {key}"]
    else:
        host, port = settings.get("hostname", "HOST"), settings.get("port", "22")
        text = [f"Its host key: ssh-keyscan -p {port} {host} | ssh-keygen -lf -"]
    return [
        *text,
        f"That is not what these know of it, or they don't know it: {files}",
        "Compare it with what its administrator says; if it is the host's own, connect once by",
        "hand, and it will be noted. (StrictHostKeyChecking in your configuration is respected.)",
    ]
