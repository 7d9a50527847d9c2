"""Who logs in over SSH: the person who runs the script, and users of this machine with a shell."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.as_root import can_be_root, changing_users, comment, run_as_root
from tests.support.packages import CanNotBeHad
from tests.support.ssh_keys import make_key

if TYPE_CHECKING:
    from tests.support.sshd import Sshd

ME = pwd.getpwuid(os.geteuid()).pw_name


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
        run_as_root(*changing_users("useradd", *options, self.name))
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
        # --force: although processes of the tests run
        run_as_root(*changing_users("userdel", "--force", self.name))
        run_as_root("rm", "-r", str(self.home))


def check_that_users_can_be_made() -> None:
    """Raise CanNotBeHad if they can't."""
    if not can_be_root():
        raise CanNotBeHad("only root can make users")
