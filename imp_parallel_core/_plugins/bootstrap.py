"""What one slave needs in order to begin, and the command line that starts it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from .._light_typing import NamedTuple
from .._threads import masters_choice

_NOT_TO_BE_QUOTED = dict.fromkeys(map(ord, "_@%+=:,./-"), "a")  # besides letters and digits


class Bootstrap(NamedTuple):
    """What one slave needs in order to begin. Made by the core, one for each slave of a launch.

    A launcher that needs other values makes another one: ``bootstrap._replace(cwd=…)``.

    Attributes:
        index: the slave's number, from 0; a Launch calls the slave by it, too.
        python: the user's ``python=`` line, or the path of the master's Python.
        cwd: the master's working directory. The slave goes there by itself; a launcher should
            start it there if it can, since a ``python=`` line may name a file in it.
        output_path: where the slave's output goes; None for nowhere.
        sys_path: the master's ``sys.path``.
        argv: the arguments of the master's script, its ``sys.argv``.
        environment: variables to add to the slave's environment; never a secret.
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
        has_own_files: whether the slave is on a machine with files, and a Python, of its own. The
            paths that this Python finds by itself stay on its ``sys.path``, behind the master's;
            entries of the master's that somebody else may be behind there are left out.
        sent_path: entries that follow the master's ``sys.path`` on the slave's: folders that the
            launch has made there for the modules that it sends. They are used whoever owns the
            folders around them.
        threads: how many threads libraries are to start in the slave's tasks; see
            :attr:`Slave.threads`. The slave program sets the variables, if they are not set there.
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
    threads: int | str | None = 1

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
            arguments: how the program finds its bootstrap document: ``"stdin"`` if its standard
                input is a socket that brings first the document, then the stream; or ``"file"``
                and the path of a file that holds the document. If a batch system warns the slave's
                processes by signals before it stops or ends them, ``"warned"`` follows, and how
                long before that is (in s; "0" if it is not known), so that the warnings end no
                task.
            in_login_shell: whether a ``python=`` that is a line for a shell is run by a shell that
                has read the user's profile, as batch jobs need it for ``module``.
            code_path: where the slave finds this package: a folder, or an archive that
                :func:`slave_archive` made. By default the bootstrap's ``code_path``.
        """
        program = _PROGRAM.format(
            version=tuple(sys.version_info[:2]),
            code_path=code_path or self.code_path or _code_path(),
            threads=self.threads,
            masters_choice=masters_choice(self._inherited()),
        )
        is_plain_word = self.python.translate(_NOT_TO_BE_QUOTED).isalnum()
        is_path_here = not self.has_own_files and os.path.exists(self.python)
        if is_plain_word or is_path_here:
            return [self.python, *self._options(), "-c", program, *arguments]
        # a line for a shell; -e: a part that fails ends it, with its own words (a profile's may)
        line = f'{self.python} "$@"'
        if in_login_shell:
            import shlex  # few slaves are started so

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

        # multiprocessing starts its processes with these
        options: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # no stub has it
        for name, value in sys._xoptions.items():  # of which it knows some only
            option = name if value is True else f"{name}={value}"
            if option not in options:
                options += ["-X", option]
        return options

    def local_environment(self) -> dict[str, str]:
        """Return the environment of a slave that is started as a process of this machine."""
        return {**self._inherited(), **self.environment}

    def _inherited(self) -> Mapping[str, str]:
        return os.environ if self.masters_environment is None else self.masters_environment

    def document(self) -> bytes:
        """Return the bootstrap document: one line of JSON.

        It holds the secret, if there is one: hand it over by standard input, or in a file of mode
        0600 in a folder of mode 0700; never by argv, a job script or the environment.
        """
        import json  # a local slave's process has been started when this is called
        from binascii import b2a_base64

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
            "secret": b2a_base64(self.secret, newline=False).decode(),
        }
        return json.dumps(document).encode() + b"\n"

    def _facts_of_folders(self) -> dict[str, list[int]]:
        """Return facts that tell the master's folders from others, if the slave may have others."""
        if not self.dial or self.has_own_files:
            return {}
        from .._code.same_files import facts_of  # most slaves are started by their launch

        return facts_of(self.sys_path, self.cwd)


def script_arguments() -> list[str]:
    """Return the script's arguments as texts that can travel, whatever the script made of them."""
    words = map(str, getattr(sys, "argv", []))  # an embedded Python may have none
    return [word if _can_be_argument(word) else ascii(word) for word in words]


def _can_be_argument(word: str) -> bool:
    try:
        return b"\0" not in os.fsencode(word)
    except UnicodeEncodeError:
        return False


# This must run on any Python, also one that is too old for the rest of the package. It imports
# nothing from the working directory.
_PROGRAM = """\
import sys
if sys.version_info[:2] != {version!r}:
    sys.exit("imp_parallel: this is Python %d.%d (%s), but the master runs Python %d.%d. "
        "Let python= name one of the same version.\\nMore: imp-parallel explain python-version"
        % (tuple(sys.version_info[:2]) + (sys.executable,) + {version!r}))
sys.path[:] = [{code_path!r}] + [entry for entry in sys.path if entry]
try:
    from imp_parallel_core._slave.program import main
except ImportError as problem:
    sys.exit("imp_parallel: %s. Install imp-parallel-core for %s, or let this machine see the "
        "master's files in %s.\\nMore: imp-parallel explain core-not-installed"
        % (problem, sys.executable, {code_path!r}))
main({threads!r}, {masters_choice!r})
"""


def _library_paths() -> list[str]:
    """Return where this Python has its own modules, which another Python must not use."""
    library = os.path.dirname(os.__file__)
    archive = os.path.dirname(library) + "/python{}{}.zip".format(*sys.version_info)
    return [library, f"{library}/lib-dynload", archive]


def _code_path() -> str:
    return os.path.realpath(__file__).rpartition("/imp_parallel_core/")[0]
