"""A host that commands are run on over SSH, such as the login node of a cluster."""

from __future__ import annotations

import errno
import logging
import os
import secrets
import stat
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from imp_parallel_core import CommandResult, LaunchError, printable_lines
from imp_parallel_core.arguments import checked_seconds, checked_text
from imp_parallel_core.private_folders import MARK

from .._clients import CLIENTS, check_client
from .._diagnosis import no_commands
from .._shared_connection import SharedConnection
from .._shipped_modules import checked_modules, pack_modules
from .._target import parse_target
from .commands import Done, NotStarted, Redirected, new_mark, output_of, run
from .file_scripts import (
    MAKE_FOLDER,
    READ,
    READ_MANY,
    REMOVE_FOLDER,
    UNPACK,
    WRITE,
    WRITE_MANY,
    split_files,
)
from .scripts import (
    NO_FOLDER,
    NO_PROGRAM,
    PYTHONS,
    environment_script,
    login_environment,
    plain_script,
    run_script,
)

if TYPE_CHECKING:
    from .._connection import Connection
    from .._shipped_modules import Modules
    from .relay import SSHRelay

_logger = logging.getLogger("imp_parallel.ssh")

_FILE_S = 60.0  # for reading or writing a file, also on a slow file system
_PROFILE_S = 60.0  # for the start-up files of a login shell
_FOLDER_TRIES = 10


class SSHHost:
    """A machine that answers to SSH: runs commands and keeps files, as a ``CommandHost``.

    Give it to a batch system's slaves as ``via=``, and the cluster is used through it: the batch
    system's commands run there, and the slaves reach the script through a relay there and this
    SSH connection. It connects when it is first needed, and again when the connection was lost.

    Args:
        target: the host as ssh is given it: ``login``, ``user@login:2222``, or an alias of the SSH
            configuration.
        timeout_s: how long connecting may take, in seconds.
        folder: a folder there, on a file system that the cluster's machines share: where slaves
            run, and where their files are put. By default the home folder.
        ship_modules: the modules (or their names, or paths of files and folders) that tasks import
            and the cluster does not have; they are sent along. By default those beside the script,
            up to 16 MiB.
        relay_host: the only address of that machine at which slaves can reach the relay; by
            default they try all that it has.
        client: what speaks SSH: ``"paramiko"``, or ``"openssh"`` for the program ``ssh``, which
            uses a connection that the user has open.

    Raises ValueError if the target can't be read, or for an unknown client; TypeError for a value
    of another kind.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout_s: float = 30.0,
        folder: str | None = None,
        ship_modules: Modules | None = None,
        relay_host: str | None = None,
        client: str = "paramiko",
    ) -> None:
        check_client(client)
        self._target = parse_target(target)
        self._name = target
        self._client = client
        self._timeout_s = checked_seconds(self, "timeout_s", timeout_s)
        if folder is not None:
            checked_text(self, "folder", folder, "a path there, as text")
        if relay_host is not None:
            checked_text(self, "relay_host", relay_host, "an address of that machine, as text")
        self._folder = folder
        self._modules = checked_modules(self, ship_modules)
        self._relay_host = relay_host
        self._shared = SharedConnection(target, CLIENTS[client])
        self._lock = threading.Lock()  # of what follows
        self._environment: dict[bytes, bytes] | None = None
        self._relays = 0

    def __repr__(self) -> str:
        client = "" if self._client == "paramiko" else f", client={self._client!r}"
        return f"{type(self).__name__}({self._name!r}{client})"

    # ---- the connection

    def connection(self) -> Connection:
        """Return the connection, and make it if there is none. Raises LaunchError."""
        return self._shared.get(self._timeout_s, patience_s=self._timeout_s)

    def close(self) -> None:
        """Close the connection; it is made again if it is needed."""
        self._shared.close()

    # ---- commands

    def find_program(self, name: str) -> str | None:
        """Return the path of a program; None if the login shell's search path does not have it."""
        try:
            found = self._script('command -v -- "$1"', name, is_in_login_shell=True)
        except FileNotFoundError:
            return None
        path = found.stdout.decode(errors="surrogateescape").strip()
        return path if found.exit_code == 0 and path.startswith("/") else None

    def search_path(self) -> str:
        """Return the search path of a login shell there."""
        found = self._script('printf %s "$PATH"', is_in_login_shell=True)
        return found.stdout.decode(errors="surrogateescape")

    def home(self) -> str:
        """Return the user's home folder there, or the folder that shall take its place."""
        if self._folder is not None:
            return self._folder
        return self._script('printf %s "$HOME"').stdout.decode(errors="surrogateescape")

    def run(
        self, argv: Sequence[str], *, timeout_s: float, input: bytes = b"", cwd: str | None = None
    ) -> CommandResult:
        """Run a command in the environment of a login shell; see ``CommandHost``."""
        connection, environment = self.connection(), self._login_environment()
        mark = new_mark()
        script = run_script(argv, mark, environment=environment, cwd=cwd, input_bytes=len(input))
        try:
            done = run(connection, script, mark, input=input, timeout_s=timeout_s)
        except NotStarted as problem:
            missing = cwd if problem.exit_code == NO_FOLDER else argv[0]
            raise self._not_started(problem, missing or argv[0]) from None
        except TimeoutError:
            raise TimeoutError(f"{argv[0]} did not end within {timeout_s:g} s") from None
        texts = (text.decode(errors="replace") for text in (done.stdout, done.stderr))
        return CommandResult(done.exit_code, *texts)

    def _not_started(self, problem: NotStarted, what: str) -> Exception:
        words = str(problem) or "there is none"
        if isinstance(problem, Redirected):
            return LaunchError(f"{self._name}: {words}", exit_code=problem.exit_code)
        if problem.exit_code in (NO_FOLDER, NO_PROGRAM):
            return FileNotFoundError(errno.ENOENT, f"{self._name}: {words}", what)
        return no_commands(self._name, problem.exit_code, words, f"ssh {self._target}")

    def _login_environment(self) -> dict[bytes, bytes]:
        """Return what a login shell sets besides what any shell has; asked for once."""
        with self._lock:
            environment = self._environment
        if environment is None:
            mark = new_mark()
            said = output_of(self.connection(), environment_script(mark), mark, _PROFILE_S)
            try:
                environment = login_environment(said, mark)
            except ValueError as problem:
                _logger.warning("%s: %s; commands run without it", self._name, problem)
                environment = {}
            with self._lock:
                self._environment = environment
        return environment

    def _script(
        self,
        script: str,
        *arguments: str,
        input: bytes = b"",
        is_in_login_shell: bool = False,
        timeout_s: float = _FILE_S,
    ) -> Done:
        """Run a script of our own."""
        mark = new_mark()
        environment = self._login_environment() if is_in_login_shell else {}
        line = plain_script(script, mark, *arguments, environment=environment)
        try:
            return run(self.connection(), line, mark, input=input, timeout_s=timeout_s)
        except NotStarted as problem:
            raise self._not_started(problem, "sh") from None

    # ---- files

    def read_file(self, path: str, *, limit_bytes: int) -> bytes:
        """Return a plain file's content; of a longer file its end. Links are not followed."""
        done = self._script(READ, path, str(limit_bytes))
        if done.exit_code == 2:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self._check(done, path)
        return done.stdout

    def read_files(self, paths: Sequence[str], *, limit_bytes: int) -> Sequence[bytes]:
        """Return files' content in one go; of longer files their ends, of missing ones b""."""
        done = self._script(READ_MANY, str(limit_bytes), *paths)
        try:
            return split_files(done.stdout, len(paths))
        except ValueError as problem:
            raise OSError(errno.EIO, f"{self._name}: {problem}") from problem

    def write_file(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """Make a new file. There must be nothing of its name, not even a link."""
        done = self._script(WRITE, path, str(len(data)), f"{stat.S_IMODE(mode):o}", input=data)
        self._check(done, path)

    def write_files(self, folder: str, files: Mapping[str, bytes], *, mode: int = 0o600) -> None:
        """Make new files in a folder, by name; in one go."""
        words = [word for name, data in files.items() for word in (name, str(len(data)))]
        text = f"{stat.S_IMODE(mode):o}"
        done = self._script(WRITE_MANY, text, folder, *words, input=b"".join(files.values()))
        self._check(done, folder)

    def remove_files(self, paths: Sequence[str]) -> None:
        """Remove files; each may have gone already."""
        if paths:
            self._check(self._script('exec rm -f -- "$@"', *paths), paths[0])

    def make_private_folder(self, parent: str, prefix: str) -> str:
        """Make a new folder of mode 0700; return its path."""
        for _ in range(_FOLDER_TRIES):
            name = f"{prefix}{secrets.token_hex(8)}"
            path = f"{parent.rstrip('/')}/{name}"
            done = self._script(MAKE_FOLDER, path, MARK, name)
            if done.exit_code != errno.EEXIST:
                self._check(done, path)
                return path
        raise FileExistsError(f"no name is free in {parent}")

    def remove_folder(self, path: str) -> None:
        """Remove a private folder with all that is in it; it may have gone already."""
        done = self._script(REMOVE_FOLDER, path, MARK, path.rpartition("/")[2])
        if done.exit_code != 0:
            words = printable_lines(done.stderr.decode(errors="replace").strip())
            _logger.warning("%s: %s is left: %s", self._name, path, words)

    def _check(self, done: Done, path: str) -> None:
        if done.exit_code != 0:
            words = done.stderr.decode(errors="replace").strip() or f"exit code {done.exit_code}"
            raise OSError(errno.EIO, f"{self._name}: {words}", path)

    # ---- for a cluster's slaves

    def ship_modules(self, folder: str) -> Sequence[str]:
        """Put the user's own modules into a folder there; see ``Gateway``."""
        try:
            packed = pack_modules(self._modules)
        except (ValueError, OSError) as problem:
            raise LaunchError(str(problem)) from problem
        if packed is None:
            return []
        archive = f"{folder}/modules.zip"
        self.write_file(archive, packed.content)
        done = self._script(UNPACK, PYTHONS, archive, f"{folder}/modules")
        self._check(done, archive)
        return [f"{folder}/modules"]

    def relay(self, addresses: Sequence[str], *, folder: str, patience_s: float) -> SSHRelay:
        """Let what runs there and beyond reach addresses of this process; see ``Gateway``."""
        from .relay import SSHRelay

        with self._lock:
            self._relays += 1
        try:
            return SSHRelay(
                self, addresses, folder=folder, patience_s=patience_s, listen_at=self._relay_host
            )
        except BaseException:
            self.relay_ended()
            raise

    def relay_ended(self) -> None:
        """Close the connection if that was the last relay: nothing needs it for now."""
        with self._lock:
            self._relays -= 1
        self.close_unless_relayed()

    def close_unless_relayed(self) -> None:
        """Close the connection if there is no relay; called by one that has ended."""
        with self._lock:
            is_idle = self._relays == 0
        if is_idle:
            self.close()
