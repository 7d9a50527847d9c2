"""OpenSSH daemons of the tests' own, and a person who may log in to them (see ssh_users).

Each daemon has its own address and port, host key, list of keys that may log in, and log, all in
a folder of the test; none of it is the machine's. What a session starts has a mark of the daemon's
in its environment.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.as_root import (
    as_root,
    can_be_root,
    helper_environment,
    run_as_root,
    signal_as_root,
)
from tests.support.packages import need, need_programs
from tests.support.processes import parent_of_each
from tests.support.ssh_keys import make_key, run
from tests.support.ssh_users import ME, LoginUser, Person, check_that_users_can_be_made
from tests.support.waiting import is_alive, wait_until

__all__ = ["ME", "Daemons", "LoginUser", "Person", "Sshd", "install", "make_key", "run"]

SSHD = "/usr/sbin/sshd"  # it insists on being called by its whole path
_PROGRAMS = {"sshd", "sshd-session", "sshd-auth"}  # the daemon is several since OpenSSH 9.8
_MARK = "IMP_PARALLEL_TEST_SSHD"
_PACKAGES = {SSHD: "openssh-server", "ssh": "openssh-client", "csh": "tcsh", "fish": "fish"}
_CONFIGURATION = """\
ListenAddress {address}:{port}
HostKey {folder}/host_key
PidFile {folder}/pid
AuthorizedKeysFile {folder}/authorized_keys
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
PermitUserEnvironment no
Subsystem sftp internal-sftp
PrintMotd no
MaxStartups 200
MaxSessions 200
LogLevel VERBOSE
SetEnv {mark}={id} TMPDIR={temporary}
Match User {me}
    SetEnv {mark}={id} TMPDIR={temporary} HOME={folder}/home
"""


def install() -> None:
    """See to it that OpenSSH and the login shells that tests use are there."""
    need_programs(_PACKAGES)
    if can_be_root():
        run_as_root("mkdir", "-p", "-m", "755", "/run/sshd")  # for privilege separation


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Sshd:
    """One daemon. Root's lets any user in who has one of the keys; without root, that user alone.

    Who runs the tests has an empty home of the daemon's: what the user's own profile runs may not
    bear to be killed in the middle.

    Args:
        folder: a new folder for its files.
        keys: the paths of public keys that may log in.
        address: where it listens.
        port: likewise; by default one that is free here.
        prefix: what its command begins with, to have root run it on another host.
        temporary: the folder for temporary files; by default one of its own.
        options: more lines for its configuration; they go before its usual ones, so they win.
    """

    def __init__(
        self,
        folder: Path,
        keys: Sequence[Path],
        *,
        address: str = "127.0.0.1",
        port: int | None = None,
        prefix: Sequence[str] = (),
        temporary: str = "",
        options: Sequence[str] = (),
    ) -> None:
        self.home, self.tmp = folder / "home", folder / "tmp"
        self.home.mkdir(parents=True)
        self.tmp.mkdir()
        self.tmp.chmod(0o1777)
        self.folder, self.address, self.port = folder, address, port or _free_port()
        self.host_key = make_key(folder / "host_key")
        self.log = folder / "log"
        self.serves_others = False  # users who are not the one who runs the tests
        self._id = uuid.uuid4().hex
        self._prefix = prefix
        self._process: subprocess.Popen[bytes] | None = None
        self.authorize(*keys)
        text = _CONFIGURATION.format(
            address=f"[{address}]" if ":" in address else address,
            port=self.port,
            folder=folder,
            temporary=temporary or self.tmp,
            me=ME,
            mark=_MARK,
            id=self._id,
        )
        (folder / "sshd_config").write_text("".join(line + "\n" for line in options) + text)

    @property
    def public_key(self) -> str:
        """The public host key, as known_hosts would have it: its kind and the key."""
        return " ".join(Path(f"{self.host_key}.pub").read_text().split()[:2])

    @property
    def fingerprint(self) -> str:
        """The fingerprint of its host key, as ssh-keygen prints it."""
        return run("ssh-keygen", "-lf", f"{self.host_key}.pub").split()[1]

    def authorize(self, *keys: Path) -> None:
        """Let the owners of these public keys in, and nobody else."""
        (self.folder / "authorized_keys").write_text("".join(key.read_text() for key in keys))

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self.log.write_text("")
        (self.folder / "pid").unlink(missing_ok=True)  # of a daemon that was killed
        prefix = self._prefix or (as_root() if can_be_root() else ())
        arguments = ["-D", "-f", str(self.folder / "sshd_config"), "-E", str(self.log)]
        self._process = subprocess.Popen(
            [*prefix, "env", "-i", f"PATH={os.defpath}", SSHD, *arguments],
            env={"PATH": os.defpath, **helper_environment()},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(self._listens, 30.0, "a listening sshd")

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"sshd ended: {self.log.read_text()}"
        if "Server listening on" not in self.log.read_text():
            return False
        pid = self.folder / "pid"  # it is written after that
        return pid.exists() and pid.read_text().endswith("\n")

    @property
    def pid(self) -> int:
        """The process that listens."""
        return int((self.folder / "pid").read_text())

    def sessions(self) -> list[int]:
        """Return the processes of the daemon that hold connections, without what these started."""
        found, parents = [], {self.pid}
        everything = parent_of_each()
        while parents:
            parents = {
                pid for pid, parent in everything.items() if parent in parents and _is_sshd(pid)
            }
            found += sorted(parents)
        return found

    def started(self) -> dict[int, str]:
        """Return pid and command line of each process that was started over this daemon."""
        mark = f"{_MARK}={self._id}"
        found = {}
        for pid in self._of_all(mark) if self.serves_others else self._of_mine(mark):
            with suppress(OSError):
                line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
                if is_alive(pid) and not _is_sshd(pid):
                    found[pid] = line
        return found

    def _of_mine(self, mark: str) -> Iterator[int]:
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if mark.encode() in (entry / "environ").read_bytes():
                    yield int(entry.name)

    def _of_all(self, mark: str) -> Iterator[int]:
        """Find the processes as root, who alone may look at those of other users."""
        line = f"grep -las '^{mark}' --null-data /proc/[0-9]*/environ || true"
        yield from (int(path.split("/")[2]) for path in run_as_root("sh", "-c", line).split())

    def kill_sessions(self) -> None:
        """Kill the processes that hold connections, as a crash would; it still listens."""
        _signal(signal.SIGKILL, *self.signal_sessions(signal.SIGSTOP))

    def signal(self, number: int) -> None:
        """Send a signal to the process that listens; what it has accepted lives on."""
        _signal(number, self.pid)

    def signal_sessions(self, number: int) -> list[int]:
        """Send a signal to the processes that hold connections; return them."""
        found: set[int] = set()
        while new := set(self.sessions()) - found:  # they may start others until they are stopped
            _signal(number, *new)
            found |= new
        return sorted(found)

    def pause(self) -> None:
        """Kill it and its sessions; what was started over them lives, and so can :meth:`start`."""
        if self._process is not None:
            self.signal(signal.SIGSTOP)
            _signal(signal.SIGKILL, self.pid, *self.signal_sessions(signal.SIGSTOP))
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """Kill it, its sessions, and what was started over them."""
        self.pause()
        _signal(signal.SIGKILL, *self.started())


def _signal(number: int, *pids: int) -> None:
    if can_be_root():
        signal_as_root(number, *pids)
        return
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _is_sshd(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() in _PROGRAMS
    return False


class Daemons:
    """Starts daemons that one person may log in to, and ends them with all that they started."""

    def __init__(self, folder: Path, person: Person) -> None:
        self._folder = folder
        self._person = person
        self._started: list[Sshd] = []
        self._users: list[LoginUser] = []

    def start(
        self,
        *,
        address: str = "127.0.0.1",
        port: int | None = None,
        prefix: Sequence[str] = (),
        temporary: str = "",
        options: Sequence[str] = (),
    ) -> Sshd:
        """Start a daemon; see :class:`Sshd`."""
        made = Sshd(
            self._folder / f"sshd{len(self._started)}",
            [self._person.public_key],
            address=address,
            port=port,
            prefix=prefix,
            temporary=temporary,
            options=options,
        )
        self._started.append(made)
        made.start()
        return made

    def add_user(
        self, shell: str, files: Mapping[str, str] | None = None, *, is_me: bool = False
    ) -> LoginUser:
        """Make a user, and files in the user's home; see :class:`LoginUser`."""
        need("with another login shell", check_that_users_can_be_made)
        user = LoginUser(shell, is_me)
        for sshd in self._started:
            sshd.serves_others = True
        self._users.append(user)
        for name, text in (files or {}).items():
            user.write(name, text)
        return user

    def stop(self) -> None:
        """Stop all daemons; remove all users."""
        for sshd in self._started:
            sshd.stop()
            if sshd.serves_others:  # whose files nobody else may remove
                run_as_root("chown", "-Rh", ME, str(sshd.tmp))
        for user in self._users:
            user.remove()
