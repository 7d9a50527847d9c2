"""A Slurm of the tests' own: own folder, own ports, own daemons, and two nodes on this machine."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support.as_root import as_root, can_be_root, run_as_root, signal_as_root, stopped_as_root
from tests.support.batch_suite.running import check_that_nothing_is_left
from tests.support.grid_engine import SYSTEM_PATH, free_port
from tests.support.packages import CanNotBeHad, need_programs
from tests.support.slurm_files import CGROUP, CONFIGURATION, NODE
from tests.support.waiting import is_alive, wait_for_end, wait_until

_PACKAGES = {
    "munged": "munge",
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "sbatch": "slurm-client",
}
NODES = ("node1", "node2")
SLOTS = 4
"""How many jobs each node runs at a time."""
LARGEST_ARRAY = 100
KILL_WAIT_S = 5
"""For how long a job goes on after it was told to end."""
_UP = {"idle", "mixed", "allocated", "completing"}


def install() -> None:
    """See to it that Debian's packages are there."""
    if not can_be_root():
        raise CanNotBeHad("only root can start a Slurm of its own")
    need_programs(_PACKAGES)


class Slurm:
    """A running Slurm. ``environment`` is what its commands need; jobs are the caller's.

    Root starts its daemons. Its commands (those of this class) are the user's, but for
    :meth:`administer`.
    """

    def __init__(self) -> None:
        made = run_as_root("mktemp", "-d", "/var/tmp/imp_parallel-slurm-XXXXXX")
        self.base = Path(made.strip())
        self.environment = {"SLURM_CONF": str(self.base / "slurm.conf")}

    def start(self) -> None:
        """Make the files, start the daemons, and wait until all nodes can take jobs."""
        self._make_files()
        munge = self.base / "munge"
        self._daemon(
            *("munged", "--force", f"--key-file={munge}/key", f"--socket={munge}/socket"),
            *(f"--pid-file={self.base}/munged.pid", f"--log-file={munge}/log"),
            f"--seed-file={munge}/seed",
        )
        self.start_controller()
        for node in NODES:
            self.start_node(node)

    def _daemon(self, *command: str) -> None:
        clean = [f"PATH={SYSTEM_PATH}", *(f"{k}={v}" for k, v in self.environment.items())]
        done = subprocess.run(
            as_root("env", "-i", *clean, *command),
            cwd="/",
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"

    def start_controller(self) -> None:
        """Start slurmctld, and wait until it answers."""
        self._daemon("slurmctld")
        wait_until(lambda: self.try_run("squeue").returncode == 0, what="slurmctld")

    def stop_controller(self) -> None:
        """End slurmctld; jobs go on, and nobody answers.

        It ends by itself: if it were killed, it would forget what was submitted just now.
        """
        self._kill("slurmctld", signal.SIGTERM)

    @contextmanager
    def silent_controller(self) -> Iterator[None]:
        """Have slurmctld hang: the system takes what it is sent, and it answers nobody."""
        (pid,) = self._pids("slurmctld")
        with stopped_as_root(pid):
            yield

    @contextmanager
    def patient_commands(self) -> Iterator[None]:
        """Have commands wait long for answers, as with the MessageTimeout of a large cluster."""
        before = self.environment["SLURM_CONF"]
        self.environment["SLURM_CONF"] = str(self.base / "patient.conf")
        try:
            yield
        finally:
            self.environment["SLURM_CONF"] = before

    def start_node(self, node: str) -> None:
        """Start a node's slurmd, and wait until the node can take jobs."""
        self._daemon("slurmd", "-N", node)
        self._wait_for_node(node)

    def _wait_for_node(self, node: str) -> None:
        wait_until(lambda: self._state_of(node) in _UP, 60.0, f"{node}: {self._state_of(node)}")

    def stop_node(self, node: str) -> None:
        """Kill a node's slurmd, and all its jobs with their keepers, as if its power had failed."""
        self._kill(f"slurmd-{node}")
        mine = self._keepers_and_jobs(node)
        signal_as_root(signal.SIGKILL, *mine)
        for pid in mine:
            wait_for_end(pid, "the end of a node")

    @contextmanager
    def hanging(self, node: str) -> Iterator[None]:
        """Have a node hang with all that runs on it, and be given up by Slurm; then go on."""
        mine = [*self._pids(f"slurmd-{node}"), *self._keepers_and_jobs(node)]
        signal_as_root(signal.SIGSTOP, *mine)
        try:
            self.administer("scontrol", "update", f"nodename={node}", "state=down", "reason=hangs")
            yield
        finally:
            signal_as_root(signal.SIGCONT, *mine)
            with suppress(AssertionError):  # since Slurm 24, a node may have resumed by itself
                self.administer("scontrol", "update", f"nodename={node}", "state=resume")
            self._wait_for_node(node)

    def _keepers_and_jobs(self, node: str) -> list[int]:
        """Return the pids of a node's jobs, and of the slurmstepd of each, which come first."""
        jobs = self.processes(node)
        parents = {_parent_of(pid) for pid in jobs}
        keepers = [pid for pid, words in _commands() if words.startswith("slurmstepd: [")]
        return [*(pid for pid in keepers if pid in parents), *jobs]

    def _state_of(self, node: str) -> str:
        words = self.try_run("sinfo", "-h", "-N", "-n", node, "-p", "main", "-o", "%T").stdout
        return words.strip()

    def _kill(self, daemon: str, number: int = signal.SIGKILL) -> None:
        for pid in self._pids(daemon):
            signal_as_root(number, pid)
            wait_for_end(pid, f"the end of {daemon}")

    def _pids(self, daemon: str) -> list[int]:
        files = self.base.glob(f"{daemon}.pid")
        pids = [int(file.read_text()) for file in files if file.read_text().strip()]
        return [pid for pid in pids if is_alive(pid)]

    def stop(self) -> None:
        """End all jobs, then the daemons; remove the files."""
        try:
            if self._pids("slurmctld"):
                self._end_all_jobs()
        finally:
            for daemon in ("slurmd-*", "slurmctld", "munged"):
                self._kill(daemon)
            run_as_root("rm", "-r", "--one-file-system", str(self.base))

    def try_run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run one of Slurm's commands, whatever stands for it in a test."""
        return subprocess.run(
            command,
            env={**os.environ, **self.environment, "PATH": SYSTEM_PATH},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def run(self, *command: str) -> str:
        """Run one of Slurm's commands; return its output; fail if it fails."""
        done = self.try_run(*command)
        assert done.returncode == 0, f"{command}: {done.stdout} {done.stderr}"
        return done.stdout

    def administer(self, *command: str) -> None:
        """Run one of Slurm's commands as root, who administers it."""
        self._daemon(*command)

    def jobs(self, *states: str) -> list[str]:
        """Return array, task and state of what is in the queue: ``5_1 RUNNING``.

        Args:
            states: which; by default all but those of tasks that have ended.
        """
        chosen = ["--states", ",".join(states)] if states else []
        return self.run("squeue", "-h", "-r", *chosen, "-o", "%i %T").splitlines()

    def kept_jobs(self) -> list[str]:
        """Return those that nobody has deleted; it may take time until they go."""
        return [job for job in self.jobs() if not job.endswith("COMPLETING")]

    def newest_job(self) -> str:
        """Return the number of the array that was submitted last."""
        return max(self.run("squeue", "-h", "-r", "-o", "%F").split(), key=int)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """See to it that nothing is left in the queue, and no job's process."""
        yield
        kept = self.kept_jobs()
        self._end_all_jobs()
        check_that_nothing_is_left(kept, self.processes())

    def _end_all_jobs(self) -> None:
        if jobs := self.run("squeue", "-h", "-o", "%A").split():
            self.run("scancel", *jobs)
        wait_until(lambda: not self.jobs(), 60.0, what="an empty queue")

    def processes(self, node: str = "") -> dict[int, str]:
        """Return pid and command line of each process of a job.

        Args:
            node: those on this node alone; by default on all.
        """
        needles = [f"SLURM_CONF={self.base}/", "SLURM_JOB_ID=", f"SLURMD_NODENAME={node}"]
        found = {}
        for pid, words in _commands():
            try:
                environ = "\0" + Path(f"/proc/{pid}/environ").read_text(errors="replace")
            except OSError:
                continue
            if all("\0" + needle in environ for needle in needles) and is_alive(pid):
                found[pid] = words
        return found

    def pids_of_task(self, number: int) -> list[int]:
        """Return the pids of the processes of an array's task."""
        needle = f"\0SLURM_ARRAY_TASK_ID={number}\0"
        pids = self.processes()
        return [pid for pid in pids if needle in f"\0{_environ_of(pid)}"]

    def _make_files(self) -> None:
        values = {"base": self.base, "host": socket.gethostname()}
        nodes = [NODE.format(name=n, port=free_port(), slots=SLOTS, **values) for n in NODES]
        text = CONFIGURATION.format(
            port=free_port(),
            limit=LARGEST_ARRAY + 1,
            kill_wait_s=KILL_WAIT_S,
            nodes="\n".join(nodes),
            **values,
        )
        folders = [f"{self.base}/{name}" for name in ("munge", "state", *NODES)]
        _as_root_at(
            self.base,
            "chmod 755 .",
            f"install -d -m 755 {' '.join(folders)}",
            "chmod 700 state",
            "(umask 077; head -c 128 /dev/urandom >munge/key)",
        )
        patient = text.replace("MessageTimeout=5\n", "MessageTimeout=60\n")
        files = (("slurm.conf", text), ("patient.conf", patient), ("cgroup.conf", CGROUP))
        for name, content in files:
            run_as_root("sh", "-c", 'umask 022; cat >"$0"', f"{self.base}/{name}", input=content)


def _as_root_at(folder: Path, *lines: str) -> None:
    run_as_root("sh", "-e", input="\n".join([f"cd {folder}", *lines]) + "\n")


def _commands() -> Sequence[tuple[int, str]]:
    """Return pid and command line of each process."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal():
                found.append((int(entry.name), (entry / "cmdline").read_text(errors="replace")))
        except OSError:
            continue
    return found


def _environ_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_text(errors="replace")
    except OSError:
        return ""


def _parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
