"""Slaves on the slots of a parallel environment: the first is local, qrsh starts the others."""

from __future__ import annotations

import os
import posixpath
import shlex
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence

import imp_parallel_local

from imp_parallel_core import (
    Accept,
    Bootstrap,
    Launch,
    LaunchPhase,
    LaunchState,
    LocalHost,
    open_output,
    start_failure,
)

from ._documents import Documents
from ._grid_engine import GridEngine
from ._job_script import NOTIFY
from ._leftovers import note_job, sweep
from ._pe_array import SGEPESlaveArray
from ._reach import warn_if_only_here
from ._safe_start import masters_files, safe_start
from ._words import quote

_TERMINATED_S = 2.0
_NOT_ACCEPTED = "didn't accept task"  # says qrsh, where control_slaves is FALSE


class PELaunch:
    """The slaves of one parallel environment. Raises LaunchError if qrsh can't be started.

    Args:
        array: their description.
        bootstraps: one for each slot.
        accept: is given the stream of the first; the others come through the transport.
    """

    def __init__(
        self, array: SGEPESlaveArray, bootstraps: Sequence[Bootstrap], accept: Accept
    ) -> None:
        if len(bootstraps) > 1:
            warn_if_only_here(bootstraps[1].addresses)
        hosts = [grant.host for grant in array.grants() for _ in range(grant.slots)]
        first, others = bootstraps[0], bootstraps[1:]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._tasks = {bootstrap.index: n for n, bootstrap in enumerate(bootstraps, 1)}
        self._bootstraps = {bootstrap.index: bootstrap for bootstrap in bootstraps}
        self._documents = _documents_of_this_job(bootstraps)
        self._first: Launch | None = None
        self.command: Sequence[str] = ()
        try:
            local = imp_parallel_local.LocalSlave()
            self._first = imp_parallel_local.imp_parallel_launch(local, [first], accept)
            for host, bootstrap in zip(hosts[1:], others, strict=True):
                self._start(host, bootstrap)
        except BaseException:
            self.cancel(0.0)
            raise

    def _start(self, host: str, bootstrap: Bootstrap) -> None:
        document = f"{self._documents.folder}/{self._tasks[bootstrap.index]}"
        self.command = ["qrsh", "-inherit", host, *bootstrap.command("file", document)]
        try:
            with open_output(bootstrap.output_path) as output:
                self._processes[bootstrap.index] = subprocess.Popen[bytes](
                    ["qrsh", "-inherit", host, remote_line(bootstrap, document)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,  # Ctrl-C is for the script alone
                )
        except OSError as problem:
            advice = "It must be in the PATH of the job."
            raise start_failure(problem, self.command, advice) from problem

    def poll(self) -> Mapping[int, LaunchState]:
        """Return which slaves run, and how the others ended: as their qrsh did."""
        states = dict(self._first.poll()) if self._first is not None else {}
        for index, process in self._processes.items():
            code = process.poll()
            if code is None:
                states[index] = LaunchState(LaunchPhase.RUNNING)
            elif _NOT_ACCEPTED in self.log_tail(index):
                states[index] = LaunchState(LaunchPhase.ENDED, self._not_accepted(code))
            else:
                states[index] = LaunchState(LaunchPhase.ENDED, exit_code=code)
        return states

    def _not_accepted(self, code: int) -> str:
        name = os.environ.get("PE", "NAME")
        return (
            f"exit code {code}: its host takes no tasks of this job. The parallel environment must "
            f"have control_slaves TRUE (qconf -sp {name} shows it; an administrator sets it by "
            f"qconf -mp {name}); or use SGEQsubSlaveArray"
        )

    def note_connections(self, connected: Collection[int], parted: Collection[int]) -> None:
        """Remove the documents of slaves that have connected; qrsh starts none of them anew."""
        self._documents.forget(self._tasks[index] for index in connected)

    def cancel(self, grace_s: float) -> None:
        """Let the slaves leave, then end them: a slave ends with its qrsh."""
        deadline = time.monotonic() + grace_s
        if self._first is not None:
            self._first.cancel(grace_s)
        for number in (None, signal.SIGTERM, signal.SIGKILL):
            left = [process for process in self._processes.values() if process.poll() is None]
            for process in left:
                if number is not None:
                    os.killpg(process.pid, number)
            if number is not None:
                deadline = time.monotonic() + _TERMINATED_S
            for process in left:
                _wait(process, deadline)
        self._documents.remove()

    def log_tail(self, index: int) -> str:
        """Return the end of a slave's output."""
        return self._documents.tail(self._tasks[index], self._bootstraps[index])


def _documents_of_this_job(bootstraps: Sequence[Bootstrap]) -> Documents:
    """Write the slaves' documents; remove those of earlier jobs in the same place."""
    host = LocalHost()
    others = dict(enumerate(bootstraps[1:], 2))  # the first has its own through a socket
    documents = Documents(host, bootstraps[0].cwd, others)
    job = os.environ.get("JOB_ID", "")
    if job.isdecimal():
        note_job(host, documents.folder, int(job))
        sweep(host, documents.folder, GridEngine(host).queue)
    return documents


def remote_line(bootstrap: Bootstrap, document: str) -> str:
    """Return what a shell on a slave's host shall do; qrsh hands it to one.

    Args:
        bootstrap: of the slave.
        document: the path of its document.
    """
    output = quote(bootstrap.output_path or os.devnull)
    exports = "".join(f"export {k}={quote(v)}; " for k, v in bootstrap.environment.items())
    words = bootstrap.command("file", document, "warned", in_login_shell=True)
    command = " ".join(map(quote, words))
    script = (
        f"output={output} folder={quote(posixpath.dirname(document))}\n"
        f"{safe_start(masters_files(bootstrap))}"
        f"exec </dev/null; trap '' USR1 USR2 XCPU; "
        f'cd {quote(bootstrap.cwd)} 2>/dev/null; {exports}{NOTIFY}\nexec {command} "$notify"'
    )
    # one more pair of quotes: the shell that qrsh hands it to may be any
    return shlex.join(["/bin/bash", "-c", script])


def _wait(process: subprocess.Popen[bytes], deadline: float) -> None:
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        pass
