"""OpenSSH daemons of the tests' own, and a person who may log in to them.

Each daemon has its own address and port, host key, list of keys that may log in, and log, all in
a folder of the test; none of it is the machine's. What a session starts has a mark of the daemon's
in its environment.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.support.as_root import (
    as_root,
    can_be_root,
    comment,
    helper_environment,
    run_as_root,
    signal_as_root,
)
from tests.support.packages import CanNotBeHad, need, need_programs
from tests.support.waiting import is_alive, wait_until

SSHD = "/usr/sbin/sshd"  # it insists on being called by its whole path
ME = pwd.getpwuid(os.geteuid()).pw_name
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


def make_key(path: Path, *, kind: str = "ed25519", passphrase: str = "") -> Path:
    """Make a pair of keys; return the path of the private one."""
    size = ["-b", "2048"] if kind == "rsa" else []  # a larger one takes a busy machine very long
    run("ssh-keygen", "-q", "-t", kind, *size, "-N", passphrase, "-C", path.name, "-f", str(path))
    return path


def run(*command: str) -> str:
    """Run a command; return its output; fail if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
    return done.stdout


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
        everything = _parents()
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


def _parents() -> dict[int, int]:
    found = {}
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdecimal():
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                found[int(entry.name)] = int(fields[1])
    return found


def _is_sshd(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() == "sshd"
    return False


class Person:
    """Whoever runs the script: a home with ``.ssh`` in it, and a key.

    Programs find it by HOME; OpenSSH's own client does not (it asks the system whose home is
    where) and is given ``-F`` with :attr:`config`, which names all that it needs.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / ".ssh"
        self.folder.mkdir(parents=True, mode=0o700)
        self.key = make_key(self.folder / "id_ed25519")
        self.config = self.folder / "config"
        self.known_hosts = self.folder / "known_hosts"

    @property
    def public_key(self) -> Path:
        """The path of the key that may log in."""
        return self.folder / "id_ed25519.pub"

    def environment(self) -> dict[str, str]:
        """Return what tells programs whose home this is; there is no agent."""
        others = {k: v for k, v in os.environ.items() if not k.startswith("SSH_")}
        return {**others, "HOME": str(self.home)}

    def configure(self, text: str) -> None:
        """Add to the person's SSH configuration."""
        with self.config.open("a") as file:
            file.write(text + "\n")

    def know(self, sshd: Sshd, name: str = "") -> None:
        """Note a daemon's host key, under its address or a name."""
        name = name or sshd.address
        named = name if sshd.port == 22 else f"[{name}]:{sshd.port}"
        with self.known_hosts.open("a") as file:
            file.write(f"{named} {sshd.public_key}\n")

    def name(self, sshd: Sshd, alias: str, *more: str, user: str = ME) -> None:
        """Give a daemon an alias in the configuration, and note its host key."""
        self.know(sshd)
        lines = (
            f"Host {alias}",
            f"HostName {sshd.address}",
            f"Port {sshd.port}",
            f"User {user}",
            f"IdentityFile {self.key}",
            f"UserKnownHostsFile {self.known_hosts}",
            *more,
        )
        self.configure("\n".join(lines))


class LoginUser:
    """An ordinary user of this machine, with a login shell.

    Args:
        shell: the login shell.
        is_me: make another name of the user who runs the tests (unless that is root), so that the
            tests may read and write all of the user's files.

    Attributes:
        name: the user's name.
        home: the user's home folder.
    """

    def __init__(self, shell: str, is_me: bool) -> None:
        self.name = "impssh" + uuid.uuid4().hex[:8]
        self.home = Path(tempfile.mkdtemp(prefix="imp_parallel-home-", dir="/var/tmp"))
        self.home.chmod(0o755)
        path = shutil.which(shell)
        assert path is not None
        # "*": no password, but not locked either, as "!" would be
        options = ["-M", "-d", str(self.home), "-s", path, "-p", "*", "-c", comment(ME)]
        if is_me and os.geteuid() != 0:
            options += ["--non-unique", "-u", str(os.getuid()), "-N", "-g", str(os.getgid())]
        run_as_root("useradd", *options, self.name)
        run_as_root("chown", self.name, str(self.home))

    def write(self, name: str, text: str, mode: str = "644") -> None:
        """Write a file in the user's home."""
        line = 'umask 022; mkdir -p "${1%/*}"; cat > "$1"; chmod "$2" "$1"'
        as_user = ["setpriv", "--reuid", self.name, "--clear-groups", "--regid", "nogroup"]
        run_as_root(*as_user, "sh", "-ec", line, "sh", f"{self.home}/{name}", mode, input=text)

    def allow(self, mode: str) -> None:
        """Change the mode of the user's home."""
        run_as_root("chmod", mode, str(self.home))

    def remove(self) -> None:
        """Remove the user and the user's files."""
        run_as_root("userdel", "--force", self.name)  # (although the processes of tests run)
        run_as_root("rm", "-r", str(self.home))


def _check_that_users_can_be_made() -> None:
    if not can_be_root():
        raise CanNotBeHad("only root can make users")


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
        need("with another login shell", _check_that_users_can_be_made)
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
