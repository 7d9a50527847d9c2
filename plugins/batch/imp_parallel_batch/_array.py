"""The description of an array of slaves that one submission launches."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from imp_parallel_core import Bootstrap, CommandHost, LaunchError, LocalHost, SlaveArray
from imp_parallel_core.arguments import checked_environment, checked_host

from ._system import BatchSystem

_HERE = LocalHost()


class BatchSlaveArray(SlaveArray):
    """Slaves that are the tasks of one job array; the class of a plugin names its ``system``.

    The script must run where the batch system's commands are, in a folder that the jobs' hosts
    share; or ``via`` names such a host, for a script that runs anywhere else.

    Args:
        count: how many slaves.
        options: more options for the command that submits, written as in a shell.
        via: where the commands are run, such as ``SSHHost("login")``; by default on this machine.
        threads: how many threads numeric libraries start in a slave's tasks. By default
            ``"granted"``: as many as its job has cores, or as a subclass says by its ``threads``.
            The usual variables (``OMP_NUM_THREADS`` and the like) are set to this number, except
            for those that the user has set, in the job or else in the master's environment. None
            leaves all of them alone.
        environment: variables to add to the environment of the slaves. Never a secret: they are in
            the job script, which batch systems show, and in messages.

    Raises ValueError for fewer than one slave, and for options that can't be read or that the
    plugin sets itself; TypeError for a count that is no whole number, for
    options that are no text, for a ``via`` that is no host, and for an environment that is no
    dictionary.
    """

    transport = "tcp"

    system: ClassVar[BatchSystem]
    """The batch system. It has no state, so one object serves all arrays."""

    standard_options = ""
    """Options that a subclass sets for all its arrays, written as ``options`` are. Those that an
    array is given come behind them, and win."""

    def __init__(
        self,
        count: int,
        options: str = "",
        *,
        via: CommandHost | None = None,
        threads: int | str | None = "granted",
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(count)
        if threads != "granted":
            self.threads = threads
        self.environment = checked_environment(self, environment)
        self._options = options
        self._words = self._split(options)
        self.via = checked_host(self, "via", via)
        self.host = via or _HERE

    def _split(self, options: str) -> list[str]:
        if not isinstance(options, str):
            raise TypeError(
                f"{type(self).__name__}: the options must be one text, as for a shell, "
                f"not {options!r}{_as_text(options)}"
            )
        try:
            words = shlex.split(options)
        except ValueError as problem:
            program = self.system.programs[0]
            text = f"the {program} options {options!r} can't be read: {problem}"
            raise ValueError(text) from None
        self.system.check_options(words)
        return words

    def check(self) -> None:
        """Raise LaunchError if the batch system's commands are not to be had.

        Raises ValueError for ``standard_options`` that can't be read or used.
        """
        self._split(self.standard_options)
        check_programs(self.host, self.system.programs, self.system.advice)

    def job_script(self, bootstraps: Sequence[Bootstrap] = ()) -> str:
        """Return a job script such as would be submitted now, to look at.

        Args:
            bootstraps: what the slaves are started with; by default what is usual.
        """
        from ._job_script import parts_of, render  # few look at it

        cwd = Path.cwd()
        shown = bootstraps or [
            Bootstrap(
                index,
                sys.executable,
                str(cwd),
                f"{cwd}/slave{index}.output",
                sys.path,
                self.environment,
                threads=self.threads,
            )
            for index in range(len(self))
        ]
        folder = f"{shown[0].cwd}/.imp_parallel-xxxxxxxx"
        return render(self.system, parts_of(shown, folder, options_of(self)))

    def __repr__(self) -> str:
        words = [str(len(self))]
        if self._options:
            words.append(repr(self._options))
        if self.threads != type(self).threads:
            words.append(f"threads={self.threads!r}")
        if self.environment:
            words.append(f"environment={self.environment!r}")
        if self.via is not None:
            words.append(f"via={self.via!r}")
        return f"{type(self).__name__}({', '.join(words)})"


def _as_text(options: object) -> str:
    """Return how words would be written as a text."""
    if isinstance(options, (list, tuple)) and all(isinstance(word, str) for word in options):
        return f"; write {shlex.join(options)!r}"
    return ""


def options_of(array: BatchSlaveArray) -> list[str]:
    """Return the words of all options that users give to an array. Raises ValueError."""
    return [*array._split(array.standard_options), *array._words]


def check_programs(host: CommandHost, programs: Sequence[str], advice: str) -> None:
    """Raise LaunchError if a host lacks one of these commands.

    Args:
        host: where they are to be run.
        programs: the commands.
        advice: what to do then.
    """
    for program in programs:
        if host.find_program(program) is None:
            raise LaunchError(
                f"{program} was not found; the PATH is {host.search_path()}. {advice}",
                command=[program],
            )
