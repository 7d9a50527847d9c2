"""Commands that root must run for tests that run as an ordinary user.

Fixtures start daemons, make hosts and users; nothing else of a test needs root. When root starts
``./test``, the tests run as an ordinary user, and a helper (see root_helper) remains root. It runs
the commands that are put together here, with the caller's environment, folder, input and output::

    subprocess.run(as_root("nft", "delete table inet cut"), check=True)

Run as a program, this file is the caller's side of that: it takes the place of the command. It
passes signals on, ends as the command does, and the command ends with it.

A test run of root's own needs no helper, and one of a user who is not root has none: what needs
root is skipped then.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

HELPER = "IMP_PARALLEL_TEST_ROOT"
"""The environment variable that names the helper's socket."""
# (the user who runs the tests could not read what root measures)
_NOT_PASSED_ON = {"COVERAGE_PROCESS_CONFIG"}
_PASSED_ON = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def comment(run: str) -> str:
    """Return what the password database says of a user whom the tests of a user have made."""
    return f"made by the tests of {run}"


def can_be_root() -> bool:
    """Return whether commands can be run as root."""
    return os.geteuid() == 0 or HELPER in os.environ


def helper_environment() -> dict[str, str]:
    """Return what must be in the environment of a command that is put together here."""
    return {HELPER: os.environ[HELPER]} if HELPER in os.environ else {}


def as_root(*command: str) -> list[str]:
    """Return the command that has root run a command."""
    if os.geteuid() == 0:
        return list(command)
    return [sys.executable, "-I", "-S", __file__, *command]


def changing_users(*command: str) -> list[str]:
    """Return the command that changes the machine's users after others that do have ended.

    The password database has a lock of its own, which useradd and its like do not wait for.
    """
    return ["flock", "/run/lock/imp_parallel-tests-users", *command]


def as_me(*command: str) -> list[str]:
    """Return the command with which root has the user who runs the tests run a command."""
    if os.geteuid() == 0:
        return list(command)
    ids = (f"--reuid={os.getuid()}", f"--regid={os.getgid()}", "--init-groups")
    return ["setpriv", *ids, *command]


def run_as_root(*command: str, input: str | None = None, timeout_s: float = 30.0) -> str:
    """Have root run a command; return its output; fail if it fails."""
    done = subprocess.run(
        as_root(*command),
        input=input,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
    return done.stdout


def signal_as_root(number: int, *pids: int) -> None:
    """Send a signal to processes, whosesoever they are; some may have gone."""
    if pids:
        command = as_root("kill", f"-{int(number)}", *map(str, pids))
        subprocess.run(command, stderr=subprocess.DEVNULL, check=False)


@contextmanager
def stopped_as_root(*pids: int) -> Iterator[None]:
    """Have processes stand still, whosesoever they are: daemons that answer nobody."""
    signal_as_root(signal.SIGSTOP, *pids)
    try:
        yield
    finally:
        signal_as_root(signal.SIGCONT, *pids)


def _take_its_place(command: Sequence[str]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as helper:
        helper.connect(os.environ[HELPER])
        umask = os.umask(0)
        os.umask(umask)
        cwd = os.getcwd()  # noqa: PTH109  # pathlib would take most of this program's time
        env = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
        request = {"command": command, "env": env, "cwd": cwd, "umask": umask}
        socket.send_fds(helper, [json.dumps(request).encode()], [0, 1, 2])
        for number in _PASSED_ON:
            signal.signal(number, lambda number, _: helper.send(str(number).encode()))
        answer = helper.recv(100)
    code = int(answer or -signal.SIGKILL)  # (no answer: the helper has gone)
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    _take_its_place(sys.argv[1:])
