"""What a launcher plugin writes against: descriptions of slaves, bootstraps, launches.

The way of a slave: the user gives ``Manager.add_slave`` a *description* (:class:`Slave` or
:class:`SlaveArray`); the core makes a :class:`Bootstrap` for each slave in it and calls the hook
``imp_parallel_launch``; the plugin that knows the description starts the slaves and returns a
:class:`Launch`, which the core then asks how they are.
"""

from __future__ import annotations

import base64
import enum
import errno
import json
import os
import re
import shlex
import stat
import sys
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, BinaryIO, Protocol, runtime_checkable

from ._light_typing import NamedTuple
from ._printable import printable

if TYPE_CHECKING:
    from ._command_host import CommandHost

_PLAIN_WORD = re.compile(r"[\w@%+=:,./-]+")
_TAIL_BYTES = 8192
_TAIL_LINES = 20


class Slave:
    """The description of one slave. Plugins derive from it; the core only passes it on."""

    via: CommandHost | None = None
    """Where its launcher runs its commands; None for this machine. If it is a ``Gateway``, the
    slaves are beyond it: their bootstraps hold what is true there."""

    is_relaunchable = True
    """Whether the core may launch it again after it ran and was lost."""

    transport = ""
    """The name of the transport by which it reaches the master; "" if its launch hands its streams
    over."""

    def __len__(self) -> int:
        """Return how many slaves it describes."""
        return 1

    def check(self) -> None:
        """Raise an Error if it can be known at once that it can't be launched.

        Called by ``add_slave``, in the user's thread; must return within a second or so.
        """

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def describe(slave: Slave) -> str:
    """Return a description as printable text, also if its own ``__repr__`` fails."""
    try:
        return printable(repr(slave))
    except Exception as problem:
        return f"{type(slave).__name__}(…) (its __repr__ raised {type(problem).__name__})"


class SlaveArray(Slave):
    """The description of several slaves that are launched by one submission.

    Args:
        count: how many slaves it describes, at least 1.

    Raises ValueError.
    """

    is_relaunchable = False

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"an array of {count} slaves: there must be at least one")
        self._count = count

    def __len__(self) -> int:
        """Return how many slaves it describes."""
        return self._count

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._count})"


class Bootstrap(NamedTuple):
    """What one slave needs in order to begin. Made by the core, one for each slave of a launch.

    A launcher that knows better makes another of it: ``bootstrap._replace(cwd=…)``.

    Attributes:
        index: the slave's number, from 0; also what a Launch calls it by.
        python: the user's ``python=`` line, or the path of the master's Python.
        cwd: the master's working directory. The slave goes there by itself; a launcher that can
            starts it there, since a ``python=`` line may name what is in it.
        output_path: where the slave's output goes; None for nowhere.
        sys_path: the master's ``sys.path``.
        argv: the arguments of the master's script, its ``sys.argv``.
        environment: what to add to the slave's environment; never a secret.
        dial: ``module:function`` of the transport that the slave dials by; "" if its launch makes
            the stream.
        addresses: the addresses to dial, in the order to try them.
        secret: the transport's credentials. It reaches the slave through its standard input or a
            file of mode 0600, and no other way.
        connect_timeout_s: how long the slave may run before it has connected.
        reconnect_timeout_s: for how long it tries to come back when its connection has broken.
        slave_modules: the modules that the transport's side of the slave needs.
        code_path: where the slave finds this package; "" for where it is on this machine.
        masters_environment: the master's whole environment when the slave was added, for
            :meth:`local_environment`; it may hold the user's secrets, and is for this machine only.
        has_own_files: the slave is on a machine with files, and a Python, of its own: what that
            Python finds by itself stays on its ``sys.path``, behind the master's; and of the
            master's own entries, those that somebody else may be behind are left out.
        sent_path: what follows the master's ``sys.path`` on the slave's: folders that the launch
            has made there for what it sends. They are used whoever owns the folders around them.
    """

    index: int  # type: ignore[assignment]  # hides a method of tuples that nobody needs here
    python: str
    cwd: str
    output_path: str | None
    sys_path: Sequence[str]
    environment: Mapping[str, str] = MappingProxyType({})
    dial: str = ""
    addresses: Sequence[str] = ()
    secret: bytes = b""
    connect_timeout_s: float = 120.0
    reconnect_timeout_s: float = 60.0
    slave_modules: Sequence[str] = ()
    code_path: str = ""
    has_own_files: bool = False
    sent_path: Sequence[str] = ()
    masters_environment: Mapping[str, str] | None = None
    argv: Sequence[str] = ("",)

    def __repr__(self) -> str:
        """Show all but the secrets."""
        shown = self._asdict()
        del shown["secret"], shown["masters_environment"]
        return f"Bootstrap({', '.join(f'{name}={value!r}' for name, value in shown.items())})"

    def command(
        self, *arguments: str, in_login_shell: bool = False, code_path: str = ""
    ) -> list[str]:
        """Return the argv that starts the slave program.

        Args:
            in_login_shell: a ``python=`` that is a line for a shell shall be run by one that has
                read the user's profile, as batch jobs need it for ``module``.
            arguments: how the program finds its bootstrap document: ``"stdin"`` if its standard
                input is a socket that carries first the document, then the stream; or ``"file"``
                and the path of a file that holds it. Then, for a slave whose processes a batch
                system warns by signals before it stops or ends them, ``"warned"`` and how long
                before that is (in s; "0" for any time), so that the warnings end no task.
            code_path: where the slave finds this package: a folder, or an archive that
                :func:`slave_archive` made. By default the bootstrap's own.
        """
        program = _PROGRAM.format(
            version=tuple(sys.version_info[:2]),
            code_path=code_path or self.code_path or _code_path(),
        )
        if _PLAIN_WORD.fullmatch(self.python) or os.path.exists(self.python):
            return [self.python, *self._options(), "-c", program, *arguments]
        # a line for a shell; -e: a part that fails ends it, with its own words (a profile's may)
        line = f'{self.python} "$@"'
        if in_login_shell:
            go_back = f"cd {shlex.quote(self.cwd)} 2>/dev/null || :"  # a profile may have left it
            shell = ["bash", "-lc", f"{go_back}\nset -e\n{line}"]
        else:
            shell = ["bash", "-ec", line]
        return [*shell, "bash", "-c", program, *arguments]

    def _options(self) -> list[str]:
        """Return the options that the master's Python has, if this is that."""
        if self.python != sys.executable or self.has_own_files:
            return []
        import subprocess  # the import of Manager need not wait for it

        # what multiprocessing starts its processes with
        options: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # no stub has it
        for name, value in sys._xoptions.items():  # of which it knows some only
            option = name if value is True else f"{name}={value}"
            if option not in options:
                options += ["-X", option]
        return options

    def local_environment(self) -> dict[str, str]:
        """Return the environment of a slave that is started as a process of this machine."""
        inherited = os.environ if self.masters_environment is None else self.masters_environment
        return {**inherited, **self.environment}

    def document(self) -> bytes:
        """Return the bootstrap document: one line of JSON.

        It holds the secret, if there is one: hand it over by standard input, or in a file of mode
        0600 in a folder of mode 0700; never by argv, a job script or the environment.
        """
        document = {
            "index": self.index,
            "argv": list(self.argv),
            "cwd": self.cwd,
            "has_own_files": self.has_own_files,
            "sys_path": list(self.sys_path),
            "folders": self._facts_of_folders(),
            "sent_path": list(self.sent_path),
            "base_prefix": "" if self.has_own_files else sys.base_prefix,
            "library": _library_paths(),
            "dial": self.dial,
            "addresses": list(self.addresses),
            "secret": base64.b64encode(self.secret).decode(),
        }
        return json.dumps(document).encode() + b"\n"

    def _facts_of_folders(self) -> dict[str, list[int]]:
        """Return what tells the master's folders from others, if the slave may have others."""
        if not self.dial or self.has_own_files:
            return {}
        from ._same_files import facts_of  # most slaves are started by their launch

        return facts_of(self.sys_path, self.cwd)


# Must run on any Python, also one that is too old for the rest of the package. What lies in the
# working directory is not what it imports.
_PROGRAM = """\
import sys
if sys.version_info[:2] != {version!r}:
    sys.exit("imp_parallel: this is Python %d.%d (%s), but the master runs Python %d.%d. "
        "Let python= name one of the same version."
        % (tuple(sys.version_info[:2]) + (sys.executable,) + {version!r}))
sys.path[:] = [{code_path!r}] + [entry for entry in sys.path if entry]
try:
    from imp_parallel_core._slave import main
except ImportError as problem:
    sys.exit("imp_parallel: %s. Install imp-parallel-core for %s, or let this machine see the "
        "master's files in %s." % (problem, sys.executable, {code_path!r}))
main()
"""


def _library_paths() -> list[str]:
    """Return where this Python has its own modules, which another Python must not use."""
    library = os.path.dirname(os.__file__)
    archive = os.path.dirname(library) + "/python{}{}.zip".format(*sys.version_info)
    return [library, f"{library}/lib-dynload", archive]


def _code_path() -> str:
    return os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


class LaunchPhase(enum.Enum):
    """How far the launch of a slave has come; SUSPENDED: it was started, and is stopped now."""

    QUEUED = "queued"
    RUNNING = "running"
    SUSPENDED = "suspended"
    ENDED = "ended"


class LaunchState(NamedTuple):
    """What a launch knows of one slave.

    ``detail`` says more in the launcher's own words, such as a batch system's reason for waiting;
    ``exit_code`` is negative for a signal, and None if it isn't known.
    """

    phase: LaunchPhase
    detail: str = ""
    exit_code: int | None = None


class Launch(Protocol):
    """Slaves that a plugin has started.

    The core calls these methods from a thread that it has for each launch, one at a time; they may
    wait (for a hung ``qstat``, say), but should have a deadline of their own.
    """

    @property
    def command(self) -> Sequence[str] | Mapping[int, Sequence[str]]:
        """The command line that was run, or that of each slave, for error messages."""

    def poll(self) -> Mapping[int, LaunchState]:
        """Return the state of each slave.

        Called often while slaves have not connected, ever more seldom as time passes, and when a
        connection ends. It may raise any Exception when the states can't be had now: that is
        reported, the states that were last returned are taken to hold on, and it is called again
        later. A slave is lost by it only if it has not connected within ``connect_timeout`` and no
        states have been returned by then.
        """

    def cancel(self, grace_s: float) -> None:
        """End all slaves: let them leave by themselves for ``grace_s``, then end them by force.

        The core has told those that are connected to leave. Called once.
        """

    def log_tail(self, index: int) -> str:
        """Return the last lines of a slave's output, for error messages."""


@runtime_checkable
class WithdrawingLaunch(Launch, Protocol):
    """A Launch of slaves that may wait in a queue for long, and can be taken out of it."""

    def withdraw(self, indices: Collection[int]) -> None:
        """Take slaves out of the queue that are not needed any more.

        Called in the launch's thread. Some may have started a moment ago: they are ended, too,
        and find no master that wants them.
        """


@runtime_checkable
class EndingLaunch(Launch, Protocol):
    """A Launch of several slaves that can be launched again, each by itself."""

    def end_slave(self, index: int) -> None:
        """End one slave by force, which was lost and is launched again; leave the others alone.

        Called in the launch's thread, and once at most for each slave. Must return at once: the
        others are still asked for. The launch goes on to answer for it, until it is cancelled.
        """


@runtime_checkable
class InformedLaunch(Launch, Protocol):
    """A Launch that is told which slaves are connected.

    What a slave needs in order to connect, such as the document that holds its secret, need not be
    kept while it is connected; a slave that its batch system starts anew needs it again.
    """

    def note_connections(self, connected: Collection[int], parted: Collection[int]) -> None:
        """Learn what has changed since the last call.

        Called in the launch's thread; must have a deadline. Slaves that have never connected are
        in neither.

        Args:
            connected: the slaves that have connected, for the first time or again.
            parted: those whose connection has broken, that are not heard, or that were lost. Each
                may connect again, or be started anew by its batch system.
        """


def read_tail(path: str | os.PathLike[str] | None) -> str:
    """Return the last lines of an output file (at most 20); "" if it can't be read."""
    if path is None:
        return ""
    try:
        with open_to_read(path) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-_TAIL_LINES:])


def open_to_read(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a plain file. Never follows a link, and never waits, as for a FIFO. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no plain file", os.fspath(path))
    return os.fdopen(descriptor, "rb")


def describe_command(command: Sequence[str]) -> str:
    """Return a command line as it would be typed; the slave program itself is left out."""
    return shlex.join("…" if "\n" in word else word for word in command)
