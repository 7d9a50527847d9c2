"""Removes documents that earlier runs left when they were killed, once no job needs them any more.

They can't be removed at the end of such a run: jobs that wait in the queue would fail to start
without the folder that their output goes to. So each folder holds the name of its job and, once
it is known, the number; a later run in the same place removes the folder when that job has
gone from the queue.
"""

from __future__ import annotations

import posixpath
import threading

from imp_parallel_core import CommandHost

from ._cluster import PROBLEMS, UNKNOWN, Cluster

_NAME = "job"
_NUMBER = "number"
_NOTE_S = 10.0
_FIND_S = 60.0  # the place may have very many files
_OLD_MIN = 60  # a run may still read what its job said last
_MOST = 50  # at a time
_LIMIT_BYTES = 4096
_NOTE = """\
exec >"$1"
shift
printf "%s\\n" "$1" "$2"
shift 2
for name in "$@"; do eval "printf '%s\\n' \"\\${$name-}\""; done"""
_FIND = (
    'exec find "$1" -maxdepth 1 -type d -name ".imp_parallel-*" -user "$(id -u)" -mmin "+$2" '
    "2>/dev/null"
)


def note_name(cluster: Cluster, folder: str, name: str) -> None:
    """Note in a folder with documents which job, of which cluster, will need it."""
    system = cluster.system
    try:
        command = ["sh", "-c", _NOTE, "sh", f"{folder}/{_NAME}", name, system.key]
        cluster.host.run([*command, *system.cluster_variables], timeout_s=_NOTE_S)
    except PROBLEMS as problem:
        cluster.logger.debug("the job of %s is not noted: %s", folder, problem)


def note_number(cluster: Cluster, folder: str, job: str) -> None:
    """Note the number of that job too."""
    try:
        cluster.host.write_file(f"{folder}/{_NUMBER}", f"{job}\n".encode())
    except PROBLEMS as problem:
        cluster.logger.debug("the number of the job of %s is not noted: %s", folder, problem)


def sweep(cluster: Cluster, folder: str) -> threading.Event:
    """Remove folders beside one of this run whose jobs have gone from the queue, in a thread.

    Args:
        cluster: whom to ask for the jobs; its host has the folders.
        folder: the folder of this run, which holds the name of its job.

    Returns an event to set when the run ends and the host is to be left alone.
    """
    is_over = threading.Event()
    thread = threading.Thread(
        target=_sweep,
        args=(cluster, folder, is_over),
        name="imp_parallel leftovers",
        daemon=True,
    )
    try:
        thread.start()
    except RuntimeError:
        pass  # the interpreter ends: another run will do it
    return is_over


def _sweep(cluster: Cluster, folder: str, is_over: threading.Event) -> None:
    host = cluster.host
    try:
        command = ["sh", "-c", _FIND, "sh", posixpath.dirname(folder), str(_OLD_MIN)]
        found = host.run(command, timeout_s=_FIND_S).stdout.splitlines()
        own = _lines(host, f"{folder}/{_NAME}")[1:] if found else []
        for path in found[:_MOST]:
            name, *its_cluster = _lines(host, f"{path}/{_NAME}") or [""]
            if not name or its_cluster != own:
                continue
            if is_over.is_set():
                return
            job = next(iter(_lines(host, f"{path}/{_NUMBER}")), "")
            mark = path.rpartition("/")[2].lstrip(".")
            is_there = cluster.is_there(job) if job else cluster.is_there(name=name, mark=mark)
            if is_there is False and not is_over.is_set():
                host.remove_folder(path)
    except UNKNOWN as problem:
        cluster.logger.debug("what earlier runs left is not looked for: %s", problem)


def _lines(host: CommandHost, path: str) -> list[str]:
    """Return the lines of a file; none if it can't be read."""
    try:
        return host.read_file(path, limit_bytes=_LIMIT_BYTES).decode().splitlines()
    except (*PROBLEMS, UnicodeDecodeError):
        return []
