"""Run pytest as an ordinary user, although root starts it; the arguments go to pytest.

Root hides faults: it may read, write and kill what it likes. So root makes a user who exists for
this test run only, and who sees a world of this test run's own (in namespaces for mounts and
processes): a copy of the checkout in its usual place, an empty ``/tmp``, no process of others. One
helper remains root, for what fixtures need of root (see as_root).

A test run leaves nothing behind: what is there at its end is removed, named, and a failure.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tests.support import as_root, root_helper

CHECKOUT = Path(__file__).resolve().parents[2]
_ENVIRONMENT = Path(sys.prefix).relative_to(CHECKOUT)  # the virtual one: .venv, for most tests
_PYTEST = (sys.executable, "-m", "pytest")
_THIS = (sys.executable, "-m", "tests.support.run_as_user")  # (in the folder of the checkout)
_NOT_COPIED = (".git", ".venv*", "__pycache__", ".mypy_cache", ".ruff_cache", "build", "dist")
_KEPT = (".coverage", ".hypothesis", ".pytest_cache")  # what a test run leaves for the next
_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")
_HOSTS = ("/run/netns", "/etc/netns")  # of networks: see networks
_PATH = "/usr/local/bin:/usr/bin:/bin"
_OF_ROOT = ("MAIL", "TMPDIR", "SUDO_", "SSH_", "XDG_")
_GRACE_S = 10.0

# ---------------------------------------------------------------- outside, on the whole machine


def main(arguments: Sequence[str]) -> int:
    """Run the tests; return the exit code."""
    unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    tried = subprocess.run([*unshare, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        print(f"the tests run as root, for lack of namespaces: {tried.stderr.strip()}")
        os.execv(_PYTEST[0], [*_PYTEST, *arguments])
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _leave_it_to_pytest)
    with _folder() as folder, _user(folder) as user:
        _copy_checkout(folder, user)
        inside = [*_THIS, "--inside", str(folder), user.pw_name, *arguments]
        with subprocess.Popen([*unshare, *inside], cwd=CHECKOUT) as process:
            try:
                code = process.wait()
            finally:
                _kill_child_of(process.pid)
        _keep(folder)
    return code or _remove_users(user.pw_name)


def _kill_child_of(unshare: int) -> None:
    """Kill the first process of the namespaces, and so all; unshare ends when they have gone."""
    with suppress(OSError):
        for pid in Path(f"/proc/{unshare}/task/{unshare}/children").read_text().split():
            os.kill(int(pid), signal.SIGKILL)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _leave_it_to_pytest(number: int, frame: FrameType | None) -> None:
    """Do nothing on Ctrl-C; pytest receives it, too."""


@contextmanager
def _folder() -> Iterator[Path]:
    """Make the folder that holds all that the user has."""
    folder = Path(tempfile.mkdtemp(prefix="imp_parallel-tests-", dir="/var/lib"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        if str(folder) in Path("/proc/self/mountinfo").read_text():
            print(f"{folder} is left: something is mounted in it", file=sys.stderr)
        else:
            shutil.rmtree(folder)


@contextmanager
def _user(folder: Path) -> Iterator[pwd.struct_passwd]:
    name = f"imptests{os.getpid()}"
    home = folder / "home"
    options = ["--no-create-home", "--home-dir", str(home), "--shell", "/bin/bash"]
    add = ["useradd", *options, "--password", "*", name]
    subprocess.run(as_root.changing_users(*add), check=True)
    user = pwd.getpwnam(name)
    try:
        home.mkdir(mode=0o700)
        os.chown(home, user.pw_uid, user.pw_gid)
        yield user
    finally:
        subprocess.run(as_root.changing_users("userdel", name), check=True)


def _remove_users(run: str) -> int:
    """Remove the users that tests have made and left; return an exit code."""
    left = [user.pw_name for user in pwd.getpwall() if user.pw_gecos == as_root.comment(run)]
    for name in left:
        subprocess.run(as_root.changing_users("userdel", name), check=True)
        print(f"LEFT BEHIND: user {name}", file=sys.stderr)
    return 1 if left else 0


def _copy_checkout(folder: Path, user: pwd.struct_passwd) -> None:
    copy = folder / "checkout"
    shutil.copytree(CHECKOUT, copy, symlinks=True, ignore=shutil.ignore_patterns(*_NOT_COPIED))
    (copy / _ENVIRONMENT).mkdir()
    subprocess.run(["chmod", "-R", "u+rwX,go+rX", copy], check=True)
    subprocess.run(["chown", "-Rh", f"{user.pw_uid}:{user.pw_gid}", copy], check=True)


def _keep(folder: Path) -> None:
    for name in _KEPT:
        new, kept = folder / "checkout" / name, CHECKOUT / name
        if new.is_file():
            kept.unlink(missing_ok=True)
            shutil.copyfile(new, kept, follow_symlinks=False)
        elif new.is_dir():
            shutil.rmtree(kept, ignore_errors=True)
            shutil.copytree(new, kept, symlinks=True)


# ---------------------------------------------------------------- inside, as the first process


def run_inside(folder: Path, name: str, arguments: Sequence[str]) -> int:
    """Run the tests in the namespaces, as their first process; return the exit code."""
    signal.signal(signal.SIGINT, _leave_it_to_pytest)
    user = pwd.getpwnam(name)
    _mount(folder)
    socket = folder / "root"
    listener = root_helper.listen(socket, user.pw_uid)
    helper = os.fork()
    if helper == 0:
        root_helper.serve(listener, user.pw_uid)
    listener.close()
    tests = subprocess.Popen(
        [*_PYTEST, *arguments],
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        env=_environment(user, socket),
        cwd=CHECKOUT,
    )
    tests.returncode = _wait(tests.pid)
    left = [*_processes_left({os.getpid(), helper}), *_files_left(folder, name)]
    for what in left:
        print(f"LEFT BEHIND: {what}", file=sys.stderr)
    return tests.returncode or (1 if left else 0)


def _mount(folder: Path) -> None:
    """Show the user the copy of the checkout, and empty folders for what is temporary."""

    def mount(*arguments: str | Path) -> None:
        subprocess.run(["mount", *arguments], check=True)

    copy = folder / "checkout"
    mount("--bind", CHECKOUT / _ENVIRONMENT, copy / _ENVIRONMENT)
    for place in (*_TEMPORARY, *_HOSTS):
        empty = folder / place.replace("/", "_")
        empty.mkdir()
        empty.chmod(0o1777 if place in _TEMPORARY else 0o755)
        Path(place).mkdir(exist_ok=True)
        mount("--bind", empty, place)
    for parent in reversed(CHECKOUT.parents):
        if not parent.exists():  # it is in /tmp
            break
        if not parent.stat().st_mode & 0o001:  # others can't get through
            mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", parent)
            break
    CHECKOUT.mkdir(parents=True, exist_ok=True)
    mount("--rbind", copy, CHECKOUT)


def _environment(user: pwd.struct_passwd, socket: Path) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(_OF_ROOT)},
        "HOME": user.pw_dir,
        "USER": user.pw_name,
        "LOGNAME": user.pw_name,
        "SHELL": user.pw_shell,
        "PATH": f"{CHECKOUT / _ENVIRONMENT}/bin:{_PATH}",
        as_root.HELPER: str(socket),
    }


def _wait(tests: int) -> int:
    """Wait for the end of the tests, and of all whose parents have ended; return the exit code."""
    while True:
        pid, status = os.wait()
        if pid == tests:
            return os.waitstatus_to_exitcode(status)


def _processes_left(expected: set[int]) -> Iterator[str]:
    """Yield what still runs after some time; it ends with this process."""
    deadline = time.monotonic() + _GRACE_S
    while (left := _processes() - expected) and time.monotonic() < deadline:
        time.sleep(0.05)
        with suppress(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
    for pid in left:
        with suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
            yield f"process {pid}: {words.decode(errors='replace')}"


def _processes() -> set[int]:
    return {int(path.name) for path in Path("/proc").glob("[0-9]*")}


def _files_left(folder: Path, user: str) -> Iterator[str]:
    """Yield what lies where nothing should be left."""
    home = folder / "home"
    # (an interactive Python leaves its history)
    expected = {
        Path(f"/tmp/pytest-of-{user}"),
        home / ".python_history",
        CHECKOUT,
        *CHECKOUT.parents,
    }
    for place in (*_TEMPORARY, *_HOSTS, home):
        yield from (str(path) for path in Path(place).iterdir() if path not in expected)


if __name__ == "__main__":
    if sys.argv[1] == "--inside":
        sys.exit(run_inside(Path(sys.argv[2]), sys.argv[3], sys.argv[4:]))
    sys.exit(main(sys.argv[1:]))
