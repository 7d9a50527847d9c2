"""A Grid Engine cell of the tests' own: own folder, own ports, own daemons."""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.as_root import as_root, can_be_root, run_as_root, signal_as_root
from tests.support.batch_suite.running import check_that_nothing_is_left
from tests.support.grid_engine_files import (
    BOOTSTRAP,
    ENVIRONMENT,
    GLOBAL,
    HOST,
    LOOSE_ENVIRONMENT,
    QUEUE,
    SCHEDULER,
    STARTER,
    changed,
)
from tests.support.packages import CanNotBeHad, need_programs
from tests.support.waiting import is_alive, wait_for_end, wait_until

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DAEMONS = "/usr/sbin"
_PACKAGES = {
    f"{DAEMONS}/sge_qmaster": "gridengine-master",
    f"{DAEMONS}/sge_execd": "gridengine-exec",
    "qconf": "gridengine-client",
}
LIBRARY = "/usr/lib/gridengine"
_GROUPS = 100  # more than jobs at a time
SHARE = "/usr/share/gridengine"


def install() -> None:
    """See to it that Debian's packages are there; no cell of theirs is made."""
    if not can_be_root():
        raise CanNotBeHad("only root can start a Grid Engine of its own")
    answers = "".join(
        f"gridengine-{part} shared/gridengineconfig boolean false\n"
        for part in ("master", "exec", "client", "common")
    )
    need_programs(_PACKAGES, answers)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Cell:
    """A running cell. ``environment`` is what its commands need; jobs may be any user's.

    Root starts its daemons and runs its commands (those of this class).

    Args:
        hosts: what a command begins with in order to be run by root on each execution host; by
            default there is one, this machine.
        master: likewise, of the host of qmaster, where jobs are submitted; by default that one.
        slots: how many jobs each host runs at a time.
    """

    def __init__(
        self,
        hosts: Mapping[str, Sequence[str]] | None = None,
        master: tuple[str, Sequence[str]] | None = None,
        slots: int = 8,
    ) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="imp_parallel-sge-", dir="/var/tmp"))
        self.base.chmod(0o755)  # sgeadmin and the users of jobs must get through
        self.hosts = hosts or {socket.gethostname().partition(".")[0]: as_root()}
        self.master, self._inside_master = master or next(iter(self.hosts.items()))
        self.slots = slots
        self.started = self.base / "started"
        self.home = self.base / "home"  # that of jobs
        self.environment = {
            "SGE_ROOT": str(self.base / "root"),
            "SGE_CELL": "default",
            "SGE_QMASTER_PORT": str(free_port()),
            "SGE_EXECD_PORT": str(free_port()),
            "SGE_CLUSTER_NAME": self.base.name.replace("-", ""),
            "SGE_SINGLE_LINE": "1",
        }
        clean = {**self.environment, "PATH": SYSTEM_PATH}
        self._clean = [f"{name}={value}" for name, value in clean.items()]

    def start(self) -> None:
        """Make the cell's files, start its daemons, configure them."""
        self._make_files()
        self.start_qmaster()
        self._configure()
        self.start_execd()

    def start_qmaster(self) -> None:
        """Start qmaster, and wait until it answers."""
        self.run(f"{DAEMONS}/sge_qmaster")
        wait_until(lambda: self.try_run("qconf", "-sh").returncode == 0, what="qmaster")

    def stop_qmaster(self) -> None:
        """Kill qmaster, while there are no jobs; it would take many seconds to end by itself."""
        for pid in self.pids("qmaster"):
            signal_as_root(signal.SIGKILL, pid)
            wait_for_end(pid, "the end of qmaster")

    def start_execd(self) -> None:
        """Start the execution daemons, and wait until each has reported."""
        for prefix in self.hosts.values():
            self._checked(prefix, [f"{DAEMONS}/sge_execd"])
        wait_until(lambda: all(map(self._has_reported, self.hosts)), what="execd")

    def note_starts(self) -> None:
        """Have each job's start noted (in wall-clock seconds), just before its script begins."""
        self.started.mkdir()
        self.started.chmod(0o777)

    def stop_execd(self) -> None:
        """Kill the execution daemons; jobs go on."""
        for pid in self.pids("execd"):
            signal_as_root(signal.SIGKILL, pid)
            wait_for_end(pid, "the end of execd")

    def stop(self) -> None:
        """End all jobs, then the daemons; remove the files."""
        try:
            if self.pids("qmaster"):
                self.try_run("qdel", "-f", "-u", "*")
                wait_until(lambda: not self.run("qstat", "-u", "*", "-s", "r"), 10.0)
        finally:
            for pid in [*self.pids("execd"), *self.pids("qmaster")]:
                signal_as_root(signal.SIGKILL, pid)  # qmaster takes many seconds to end by itself
                wait_for_end(pid, "the end of a daemon")
            run_as_root("rm", "-r", "--one-file-system", str(self.base))

    def pids(self, daemon: str) -> list[int]:
        """Return the pids of the daemons of a kind, by their own pid files."""
        files = self.base.glob(f"spool/**/{daemon}.pid")
        return [pid for pid in (int(file.read_text()) for file in files) if is_alive(pid)]

    def try_run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run one of the cell's commands, on the master's host."""
        return self._try(self._inside_master, command)

    def _try(
        self, prefix: Sequence[str], command: Sequence[str]
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*prefix, "env", "-i", *self._clean, *command],
            cwd="/",
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def run(self, *command: str) -> str:
        """Run one of the cell's commands; return its output; fail if it fails."""
        return self._checked(self._inside_master, command)

    def _checked(self, prefix: Sequence[str], command: Sequence[str]) -> str:
        done = self._try(prefix, command)
        assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
        return done.stdout

    def jobs(self) -> str:
        """Return what is in the queue, of anybody's."""
        return self.run("qstat", "-u", "*", "-g", "d")

    def kept_jobs(self) -> list[str]:
        """Return the lines of the jobs that nobody has deleted; it may take time until they go."""
        return [line for line in self.jobs().splitlines()[2:] if "d" not in line.split()[4]]

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """See to it that nothing is left in the queue, and no job's process."""
        yield
        kept = self.kept_jobs()
        if self.jobs():
            self.try_run("qdel", "-f", "-u", "*")
            wait_until(lambda: not self.jobs(), what="an empty queue")
        check_that_nothing_is_left(kept, self.processes())

    def processes(self) -> dict[int, str]:
        """Return pid and command line of each process of a job."""
        needle = f"SGE_ROOT={self.environment['SGE_ROOT']}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            try:
                environ = (entry / "environ").read_bytes() if entry.name.isdecimal() else b""
                if needle in environ and b"\0SGE_TASK_ID=" in environ and is_alive(int(entry.name)):
                    found[int(entry.name)] = (entry / "cmdline").read_text()
            except OSError:
                continue
        return found

    def _make_files(self) -> None:
        root, common = self.base / "root", self.base / "root/default/common"
        for folder in ("spool/qmaster/job_scripts", "spool/db", "spool/execd"):
            (self.base / folder).mkdir(parents=True)
        common.mkdir(parents=True)
        architecture = self.run(f"{SHARE}/util/arch").strip()
        for name in ("bin", "lib", "utilbin"):
            (root / name).mkdir()
            (root / name / architecture).symlink_to(LIBRARY)
        (root / "util").symlink_to(f"{SHARE}/util")
        (common / "bootstrap").write_text(BOOTSTRAP.format(base=self.base))
        self.home.mkdir()
        (self.base / "tmp").mkdir()
        (self.base / "tmp").chmod(0o1777)
        starter = self.base / "starter"
        starter.write_text(STARTER.format(base=self.base))
        starter.chmod(0o755)
        (common / "act_qmaster").write_text(self.master + "\n")
        address = self.run("getent", "ahostsv4", self.master).split()[0]
        back = self.run("getent", "hosts", address).split()[1]
        if back != self.master:  # else clients are refused: their address has another name
            (common / "host_aliases").write_text(f"{self.master} {back}\n")
        self.run("chown", "-R", "sgeadmin:sgeadmin", str(root), str(self.base / "spool"))
        init = [f"{SHARE}/scripts/init_cluster", str(root), "default", f"{self.base}/spool/db"]
        self.run("su", "-s", "/bin/sh", "-c", " ".join([*init, "sgeadmin"]), "sgeadmin")

    def _configure(self) -> None:
        # by its group Grid Engine knows whom to signal: no other cell's jobs may have the same
        first_gid = int(self.environment["SGE_QMASTER_PORT"]) * _GROUPS
        values = {
            "base": str(self.base),
            "hosts": " ".join(self.hosts),
            "slots": str(self.slots),
            "gids": f"{first_gid}-{first_gid + _GROUPS - 1}",
        }
        self.try_run("qconf", "-as", self.master)
        self._apply("-Mconf", "global", changed(self.run("qconf", "-sconf"), GLOBAL), values)
        self._apply("-Msconf", "sched", changed(self.run("qconf", "-ssconf"), SCHEDULER), values)
        share = _GROUPS // len(self.hosts)
        for number, host in enumerate(self.hosts):
            # hosts of the tests are one machine: nor may another host's jobs have the same group
            first = first_gid + number * share
            self._apply("-Aconf", host, f"gid_range {first}-{first + share - 1}\n", values)
            self.try_run("qconf", "-ah", host)  # (there already, if it is the master's)
            self._apply("-Ae", "host", HOST, {**values, "host": host})
        self._apply("-Ap", "pe", ENVIRONMENT, values)
        self._apply("-Ap", "loose_pe", LOOSE_ENVIRONMENT, values)
        template = self.run("qconf", "-sq")  # without a name: what a new queue would be
        self._apply("-Aq", "queue", changed(template, {"qname": "main.q", **QUEUE}), values)

    def _apply(self, option: str, name: str, text: str, values: Mapping[str, str]) -> None:
        file = self.base / name  # the global configuration is told by the file's name
        for key, value in values.items():
            text = text.replace("{" + key + "}", value)
        file.write_text(text)
        self.run("qconf", option, str(file))

    def _has_reported(self, host: str) -> bool:
        lines = self.try_run("qhost", "-h", host).stdout.splitlines()
        rows = [line.split() for line in lines if line.startswith(host)]
        return bool(rows) and len(rows[0]) > 6 and rows[0][6] != "-"
