"""The program ``ssh``: its command lines for one host, and what its configuration says of that."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
from collections.abc import Hashable, Sequence

from imp_parallel_core import LaunchError, explained, printable

_ALIVE_S = 5  # how often a host that says nothing is asked whether it is there …
_ALIVE_COUNT = 3  # … and how often in vain
_QUICK_S = 5.0  # for what needs no network
# What the configuration may say for a person at a terminal; and since which version it may.
_NEUTRAL = {
    (0, 0): ["ClearAllForwardings=yes"],
    (7, 6): ["RemoteCommand=none"],
    (8, 7): ["StdinNull=no", "ForkAfterAuthentication=no", "SessionType=default"],
}


class SshProgram:
    """How ``ssh`` is called for a host.

    Args:
        target: the host, such as ``user@host:2222``.
        timeout_s: how long it may take to connect.
        options: more words for each command line.

    Raises LaunchError if there is no such program.
    """

    def __init__(self, target: str, timeout_s: float, options: Sequence[str] = ()) -> None:
        program = shutil.which("ssh")
        if program is None:
            text = (
                "there is no ssh in the PATH. Install OpenSSH's client, or leave it "
                'to paramiko: client="paramiko"'
            )
            raise LaunchError(explained(text, "no-ssh"))
        self._target = target
        self._where = _words_for(target)
        self._program = program
        self._begin = [program, "-T", "-x", "-a", *options]
        # whether an unknown host is believed is left to the configuration: by default ssh would
        # ask, and in this mode refuses
        self.add_options(
            "BatchMode=yes",
            *_neutral_options(program),
            f"ConnectTimeout={max(1, round(timeout_s))}",
            f"ServerAliveInterval={_ALIVE_S}",
            f"ServerAliveCountMax={_ALIVE_COUNT}",
        )
        self.settings = self._ask_settings()
        """What the configuration says of the host; nothing if it can't be read."""

    def add_options(self, *options: str) -> None:
        """Have more options in each command line from now on, each as ``-o`` takes it."""
        self._begin += [word for option in options for word in ("-o", option)]

    def command(self, *options: str, remote: Sequence[str] = ()) -> list[str]:
        """Return a command line.

        Args:
            options: more options, each as ``-o`` takes it.
            remote: what is run there.
        """
        more = [word for option in options for word in ("-o", option)]
        return [*self._begin, *more, *self._where, *remote]

    def master(self, socket_path: str = "") -> MasterProgram:
        """Return how the process that holds the connection is told what to do.

        Args:
            socket_path: where that listens; by default where the configuration says.
        """
        path = socket_path or self.settings.get("controlpath", "none")
        return MasterProgram(self._program, path, self._where[-1])

    @property
    def by_hand(self) -> list[str]:
        """The command by which a person would connect."""
        return ["ssh", *(word for word in self._where if word != "--")]

    @property
    def way(self) -> Hashable:
        """What the way to the host has in common with those to others: where it first leads."""
        gateway = [self.settings.get(name, "none") for name in ("proxyjump", "proxycommand")]
        if gateway != ["none", "none"]:
            return tuple(gateway)
        return self.settings.get("hostname", self._target), self.settings.get("port")

    def users_connection_is_open(self) -> bool:
        """Whether the user has a connection to the host open, for others to share."""
        if self.settings.get("controlpath", "none") == "none":
            return False
        done = self._run_quickly("-O", "check")
        return done is not None and not done.returncode

    def _ask_settings(self) -> dict[str, str]:
        done = self._run_quickly("-G")
        if done is None or done.returncode:
            return {}
        lines = (line.partition(" ") for line in done.stdout.decode(errors="replace").splitlines())
        return {name: value for name, _, value in lines}

    def _run_quickly(self, *words: str) -> subprocess.CompletedProcess[bytes] | None:
        """Run what needs no network; return None if it can't be run."""
        try:
            return subprocess.run(
                [*self._begin, *words, *self._where],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_QUICK_S,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            return None


class MasterProgram:
    """How an ``ssh`` process that holds a connection is told what to do.

    Args:
        program: the path of ``ssh``.
        socket_path: where that process listens.
        name: of the host.
    """

    def __init__(self, program: str, socket_path: str, name: str) -> None:
        # (what the configuration has forwarded is not forwarded once more)
        socket_words = ["-F", "none", "-S", socket_path.replace("%", "%%")]
        self._begin = [program, *socket_words]
        self._name = name

    def tell(self, order: str, *words: str, limit_s: float) -> tuple[int | None, str, str]:
        """Tell it; return the exit code, None if there was no answer, and what was written.

        Args:
            order: as ``-O`` takes it.
            words: more words of the command line.
            limit_s: how long it may take.
        """
        try:
            done = subprocess.run(
                [*self._begin, "-O", order, *words, "--", self._name],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=limit_s,
                check=False,
                start_new_session=True,  # Ctrl-C is for the script alone
            )
        except subprocess.TimeoutExpired:
            return None, "", f"ssh did not answer within {limit_s:g} s"
        except OSError as problem:
            return None, "", str(problem)
        return done.returncode, done.stdout, printable("; ".join(done.stderr.splitlines()))


@functools.cache
def _neutral_options(program: str) -> Sequence[str]:
    """Return the options for what must not be as the configuration may say it for a terminal."""
    try:
        done = subprocess.run(
            [program, "-V"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_QUICK_S,
            check=False,
        )
        found = re.search(r"OpenSSH_\D*(\d+)\.(\d+)", done.stderr + done.stdout)
    except (OSError, subprocess.SubprocessError):
        found = None
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    return [option for since, some in _NEUTRAL.items() if since <= version for option in some]


def _words_for(target: str) -> list[str]:
    """Return how ssh wants to be told the host."""
    place, colon, port = target.rpartition(":")
    if colon and port.isdecimal() and (place.endswith("]") or ":" not in place):
        return ["-p", port, "--", place.replace("[", "").replace("]", "")]
    return ["--", target.replace("[", "").replace("]", "")]
