"""The descriptions of slaves on machines that answer to SSH."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from imp_parallel_core import GPU, LaunchError, Slave, SlaveArray
from imp_parallel_core.arguments import (
    checked_environment,
    checked_list,
    checked_mapping,
    checked_number,
    checked_text,
)

from .._clients import check_client, check_client_is_installed
from .._shipped_modules import Modules, checked_modules, pack_modules
from .._target import parse_target


class _Options:
    """What slaves by SSH have in common; see :class:`SSHSlave`."""

    def __init__(
        self, owner: Slave, python: str | None, ship_modules: Modules | None, client: str
    ) -> None:
        check_client(client)
        if python is not None:
            checked_text(owner, "python", python, "a path or a line for a shell, as text")
        self.python = python
        self.ship_modules = checked_modules(owner, ship_modules)
        self.client = client

    def check(self) -> None:
        """Raise LaunchError if there are no such modules, or no such client."""
        try:
            pack_modules(self.ship_modules)
        except (ValueError, OSError) as problem:
            raise LaunchError(str(problem)) from problem
        check_client_is_installed(self.client)

    def describe(self, slaves: Slave) -> str:
        words = []
        if self.python is not None:
            words.append(f", python={self.python!r}")
        if self.ship_modules is not None:
            words.append(f", ship_modules={self.ship_modules!r}")
        if self.client != "paramiko":
            words.append(f", client={self.client!r}")
        if slaves.threads != 1:
            words.append(f", threads={slaves.threads!r}")
        if slaves.environment:
            words.append(f", environment={slaves.environment!r}")
        return "".join(words)


class SSHSlave(Slave):
    """A slave on a machine that answers to SSH. Nothing need be installed there but Python.

    Slaves on the same host share one connection. It works in the script's folder, if that is there
    too, or else in the user's home.

    Args:
        host: as ``ssh`` knows it, such as ``"host"`` or ``"user@host:2222"``.
        python: what starts Python there: a path, or a line for bash. By default what Manager was
            given, or else a Python of the master's version: where the master has its own, or
            ``python3`` in the search path.
        ship_modules: the modules (or their names, or paths of files and folders) that tasks import
            and the host does not have; they are sent along. By default those beside the script,
            up to 16 MiB. What the host has by itself in the script's folder comes first.
        client: what speaks SSH: ``"paramiko"``, or ``"openssh"`` for the program ``ssh``.
        threads: how many threads numeric libraries start in the slave's tasks: as many as the slave
            has cores. The usual variables (``OMP_NUM_THREADS`` and the like) are set to this
            number, except for those that the user has set, on the host or else in the master's
            environment. None leaves all of them alone.
        environment: variables to add to the slave's environment. Never a secret, since messages
            show the description.

    Raises ValueError for a host that can't be read or an unknown client, TypeError for a value of
    another kind.
    """

    def __init__(
        self,
        host: str,
        *,
        python: str | None = None,
        ship_modules: Modules | None = None,
        client: str = "paramiko",
        threads: int | None = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        parse_target(host)
        self.hosts = [host]
        self.options = _Options(self, python, ship_modules, client)
        self.threads = threads
        self.environment = checked_environment(self, environment)

    def check(self) -> None:
        """Raise LaunchError if it can be known at once that it can't be launched."""
        self.options.check()

    def __repr__(self) -> str:
        return f"SSHSlave({self.hosts[0]!r}{self.options.describe(self)})"


class SSHSlaveArray(SlaveArray):
    """Slaves on several machines that answer to SSH; see :class:`SSHSlave`.

    Args:
        hosts: the machines.
        slaves_per_host: how many slaves to start on each.
        python: as for SSHSlave, and so are the others.

    Raises ValueError for hosts that can't be read, or none; TypeError for a value of another kind.
    """

    is_relaunchable = True

    def __init__(
        self,
        hosts: Sequence[str],
        slaves_per_host: int = 1,
        *,
        python: str | None = None,
        ship_modules: Modules | None = None,
        client: str = "paramiko",
        threads: int | None = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        names = checked_list(self, "hosts", hosts, "a list of hosts, such as ['user@host']")
        count = checked_number(self, "slaves_per_host", slaves_per_host)
        for host in names:
            parse_target(host)
        self._init(names, [count] * len(names))
        self.options = _Options(self, python, ship_modules, client)
        self.threads = threads
        self.environment = checked_environment(self, environment)

    def _init(self, hosts: Sequence[str], counts: Sequence[int]) -> None:
        if not hosts:
            raise ValueError("an array of slaves on no host: there must be at least one")
        self._host_counts = list(zip(hosts, counts, strict=True))
        self.hosts = [host for host, count in self._host_counts for _ in range(count)]
        super().__init__(len(self.hosts))
        self._gpus: list[GPU] = []
        self.places: dict[int, str] = {}
        """The host of each slave, by the slave's number, once they have been launched."""

    @classmethod
    def one_per_gpu(
        cls,
        gpus: Mapping[str, Sequence[int | str | GPU]],
        *,
        python: str | None = None,
        ship_modules: Modules | None = None,
        client: str = "paramiko",
        threads: int | None = 1,
        environment: Mapping[str, str] | None = None,
    ) -> SSHSlaveArray:
        """Return an array of one slave for each graphics card, each with a card of its own.

        Args:
            gpus: the cards of each host, as numbers or names that ``CUDA_VISIBLE_DEVICES`` takes,
                or as ``find_gpus(SSHHost(host))`` finds them.
            python: as for SSHSlave, and so are the others.

        Raises ValueError for hosts that can't be read, or no card.
        """
        such_as = "a dictionary, such as {'host': [0, 1]}"
        cards = {
            host: [GPU.of(gpu) for gpu in checked_list(cls, "gpus", found, such_as)]
            for host, found in checked_mapping(cls, "gpus", gpus, such_as).items()
            if found
        }
        made = cls(
            list(cards),
            python=python,
            ship_modules=ship_modules,
            client=client,
            threads=threads,
            environment=environment,
        )
        made._init(list(cards), [len(found) for found in cards.values()])
        made._gpus = [gpu for found in cards.values() for gpu in found]
        return made

    def environment_of(self, position: int) -> Mapping[str, str]:
        """Return what is added to the environment of one of the slaves."""
        if not self._gpus:
            return self.environment
        gpu = self._gpus[position]
        return {**self.environment, gpu.variable: gpu.name}

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        slaves_per_host: int = 1,
        *,
        python: str | None = None,
        ship_modules: Modules | None = None,
        client: str = "paramiko",
        threads: int | None = 1,
        environment: Mapping[str, str] | None = None,
    ) -> SSHSlaveArray:
        """Return an array on the hosts that a file lists.

        Args:
            path: a file with one host a line, and behind it how many slaves to start there, if not
                ``slaves_per_host``. What follows a ``#`` is not read.
            slaves_per_host: how many where the file does not say.
            python: as for SSHSlave, and so are the others.

        Raises OSError if it can't be read, ValueError for a line that can't.
        """
        checked_number(cls, "slaves_per_host", slaves_per_host)
        entries = []
        for number, line in enumerate(Path(path).read_text().splitlines(), 1):
            words = line.partition("#")[0].split()
            if not words:
                continue
            try:
                parse_target(words[0])
                count = int(words[1]) if len(words) > 1 else slaves_per_host
                if count < 1 or len(words) > 2:
                    raise ValueError(f"{line.strip()!r} is not a host and a number of slaves")
            except ValueError as problem:
                raise ValueError(f"{path}, line {number}: {problem}") from problem
            entries.append((words[0], count))
        if not entries:
            raise ValueError(f"{path} lists no hosts")
        hosts, counts = zip(*entries, strict=True)
        made = cls(
            hosts,
            python=python,
            ship_modules=ship_modules,
            client=client,
            threads=threads,
            environment=environment,
        )
        made._init(hosts, counts)
        return made

    def check(self) -> None:
        """Raise LaunchError if it can be known at once that they can't be launched."""
        self.options.check()

    def __repr__(self) -> str:
        counts = {count for _, count in self._host_counts}
        hosts = [host for host, _ in self._host_counts]
        if self._gpus:
            cards: dict[str, list[str]] = {host: [] for host in hosts}
            for host, gpu in zip(self.hosts, self._gpus, strict=True):
                cards[host].append(gpu.name)
            return f"SSHSlaveArray.one_per_gpu({cards!r}{self.options.describe(self)})"
        if len(counts) == 1:
            per_host = "" if counts == {1} else f", slaves_per_host={counts.pop()}"
            return f"SSHSlaveArray({hosts!r}{per_host}{self.options.describe(self)})"
        return f"SSHSlaveArray({self.hosts!r}{self.options.describe(self)})"
