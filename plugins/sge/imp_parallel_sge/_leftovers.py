"""Removes documents that earlier runs left when they were killed, once no job needs them any more.

They can't be removed at the end of such a run: jobs that wait in the queue would fail to start
without the folder that their output goes to. So each folder holds the number of its job, and a
later run in the same place removes the folder when that job has gone from the queue.
"""

from __future__ import annotations

import logging
import posixpath
import threading
from collections.abc import Callable

from imp_parallel_core import CommandHost

from ._grid_engine import PROBLEMS
from ._queue_list import Jobs

_logger = logging.getLogger("imp_parallel.sge")

_NAME = "job"
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


def note_job(host: CommandHost, folder: str, job: int) -> None:
    """Note in a folder with documents which job, of which cell of Grid Engine, needs it."""
    try:
        command = ["sh", "-c", _NOTE, "sh", f"{folder}/{_NAME}", str(job)]
        host.run(command, timeout_s=_NOTE_S)
    except PROBLEMS as problem:
        _logger.debug("the job of %s is not noted: %s", folder, problem)


def sweep(host: CommandHost, folder: str, ask: Callable[[], Jobs]) -> threading.Event:
    """Remove folders beside one of this run whose jobs have gone from the queue, in a thread.

    Args:
        host: whose files they are.
        folder: the folder of this run, which holds the number of its job.
        ask: returns the queue; raises OSError or ValueError when it can't be had.

    Returns an event to set when the run ends and the host is to be left alone.
    """
    is_over = threading.Event()
    thread = threading.Thread(
        target=_sweep,
        args=(host, folder, ask, is_over),
        name="imp_parallel leftovers",
        daemon=True,
    )
    try:
        thread.start()
    except RuntimeError:
        pass  # the interpreter ends: another run will do it
    return is_over


def _sweep(
    host: CommandHost, folder: str, ask: Callable[[], Jobs], is_over: threading.Event
) -> None:
    try:
        command = ["sh", "-c", _FIND, "sh", posixpath.dirname(folder), str(_OLD_MIN)]
        found = host.run(command, timeout_s=_FIND_S).stdout.splitlines()
        cell = _read(host, folder)[1:] if found else []
        ended: dict[str, int] = {}
        for path in found[:_MOST]:
            if is_over.is_set():
                return
            job, *its_cell = _read(host, path)
            if job and its_cell == cell:
                ended[path] = int(job)
        queue = ask() if ended else {}
        for path, number in ended.items():
            if number not in queue and not is_over.is_set():
                host.remove_folder(path)
    except (*PROBLEMS, ValueError) as problem:
        _logger.debug("what earlier runs left is not looked for: %s", problem)


def _read(host: CommandHost, folder: str) -> list[str]:
    """Return a folder's job and the cell that it is in; "" for a folder that tells no job."""
    try:
        lines = host.read_file(f"{folder}/{_NAME}", limit_bytes=_LIMIT_BYTES).decode().splitlines()
    except (OSError, UnicodeDecodeError):
        return [""]
    return lines if len(lines) == 3 and lines[0].isdecimal() else [""]
