"""Removes documents that earlier runs left when they were killed, once no job needs them any more.

They can't be removed at the end of such a run: jobs that wait in the queue would fail to start
without the folder that their output goes to. So each folder holds the name of its job and, once
qsub has said it, the number; a later run in the same place removes the folder when that job has
gone from the queue.
"""

from __future__ import annotations

import logging
import posixpath
import threading

from imp_parallel_core import CommandHost

from ._grid_engine import PROBLEMS, GridEngine
from ._queue_list import Jobs

_logger = logging.getLogger("imp_parallel.sge")

_NAME = "job"
_NUMBER = "number"
_NOTE_S = 10.0
_FIND_S = 60.0  # the place may have very many files
_OLD_MIN = 60  # a run may still read what its job said last
_MOST = 50  # at a time
_LIMIT_BYTES = 4096
_NOTE = 'printf "%s\\n" "$2" "$SGE_ROOT" "$SGE_CELL" >"$1"'
_FIND = (
    'exec find "$1" -maxdepth 1 -type d -name ".imp_parallel-*" -user "$(id -u)" -mmin "+$2" '
    "2>/dev/null"
)


def note_name(host: CommandHost, folder: str, name: str) -> None:
    """Note in a folder with documents which job, of which cell of Grid Engine, will need it."""
    try:
        command = ["sh", "-c", _NOTE, "sh", f"{folder}/{_NAME}", name]
        host.run(command, timeout_s=_NOTE_S)
    except PROBLEMS as problem:
        _logger.debug("the job of %s is not noted: %s", folder, problem)


def note_number(host: CommandHost, folder: str, job: int) -> None:
    """Note the number of that job too."""
    try:
        host.write_file(f"{folder}/{_NUMBER}", b"%d\n" % job)
    except PROBLEMS as problem:
        _logger.debug("the number of the job of %s is not noted: %s", folder, problem)


def sweep(host: CommandHost, folder: str, grid_engine: GridEngine) -> threading.Event:
    """Remove folders beside one of this run whose jobs have gone from the queue, in a thread.

    Args:
        host: whose files they are.
        folder: the folder of this run, which holds the name of its job.
        grid_engine: whom to ask for the jobs.

    Returns an event to set when the run ends and the host is to be left alone.
    """
    is_over = threading.Event()
    thread = threading.Thread(
        target=_sweep,
        args=(host, folder, grid_engine, is_over),
        name="imp_parallel leftovers",
        daemon=True,
    )
    try:
        thread.start()
    except RuntimeError:
        pass  # the interpreter ends: another run will do it
    return is_over


def _sweep(
    host: CommandHost, folder: str, grid_engine: GridEngine, is_over: threading.Event
) -> None:
    try:
        command = ["sh", "-c", _FIND, "sh", posixpath.dirname(folder), str(_OLD_MIN)]
        found = host.run(command, timeout_s=_FIND_S).stdout.splitlines()
        cell = _lines(host, f"{folder}/{_NAME}")[1:] if found else []
        queue: Jobs | None = None
        for path in found[:_MOST]:
            name, *its_cell = _lines(host, f"{path}/{_NAME}") or [""]
            if not name or its_cell != cell:
                continue
            queue = grid_engine.queue() if queue is None else queue
            if is_over.is_set():
                return
            number = next(iter(_lines(host, f"{path}/{_NUMBER}")), "")
            mark = path.rpartition("/")[2].lstrip(".")
            if number.isdecimal():
                is_there = int(number) in queue or grid_engine.is_there(int(number))
            else:
                is_there = grid_engine.is_there(name, mark)
            if is_there is False and not is_over.is_set():
                host.remove_folder(path)
    except (*PROBLEMS, ValueError) as problem:
        _logger.debug("what earlier runs left is not looked for: %s", problem)


def _lines(host: CommandHost, path: str) -> list[str]:
    """Return the lines of a file; none if it can't be read."""
    try:
        return host.read_file(path, limit_bytes=_LIMIT_BYTES).decode().splitlines()
    except (*PROBLEMS, UnicodeDecodeError):
        return []
