"""Asks the scripts of this user how their runs are."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

from . import folder as folders
from .snapshot import FORMAT

_ANSWER_S = 5.0
_LIMIT_BYTES = 64 << 20


class NoAnswer(folders.LiveError):
    """The scripts that can be seen do not answer now, and have not ended."""


def snapshots(folder: Path, pid: int | None = None) -> list[dict[str, Any]]:
    """Return the runs as they are now, oldest first; those that do not answer are left out.

    Args:
        folder: where the sockets are.
        pid: of the one script to ask; by default all are asked.

    Raises NoAnswer if none answers, but some have not ended; LiveError if somebody else's runs are
    asked for, or if the folder is not private.
    """
    if pid is not None and (owner := folders.owner_of_process(pid)):
        raise folders.LiveError(f"process {pid} is {owner}'s: only {owner} can see its run")
    try:
        paths = folders.sockets_in(folder)
    except FileNotFoundError:
        return []
    wanted = [path for path in paths if pid is None or path.name.startswith(f"{pid}-")]
    found: list[dict[str, Any]] = []
    silent: list[str] = []
    for path in wanted:
        try:
            answer = _ask(path)
        except (TimeoutError, BlockingIOError):  # the latter if many have asked in vain
            silent.append(path.name.partition("-")[0])
        else:
            found += [] if answer is None else [answer]
    if silent and not found:
        raise NoAnswer(
            f"process {', '.join(silent)} does not answer within {_ANSWER_S:g} s: it has been "
            "stopped (by Ctrl-Z, say), or code in it holds the interpreter lock"
        )
    return sorted(found, key=lambda answer: answer["began_wall_s"])


def _ask(path: Path) -> dict[str, Any] | None:
    """Return the answer of one script; None if it has ended, or is ending.

    Raises TimeoutError, BlockingIOError if it does not answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        caller.settimeout(_ANSWER_S)
        try:
            caller.connect(str(path))
        except ConnectionRefusedError:  # its script was killed, and nobody else makes such sockets
            path.unlink(missing_ok=True)
            return None
        except (TimeoutError, BlockingIOError):
            raise
        except OSError:
            return None
        data = bytearray()
        try:
            while piece := caller.recv(1 << 20):
                data += piece
                if len(data) > _LIMIT_BYTES:
                    return None
            answer = json.loads(data)
        except TimeoutError:
            raise
        except (OSError, ValueError):  # it ends just now
            return None
    if not isinstance(answer, dict) or answer.get("format") != FORMAT:
        raise folders.LiveError(
            f"the script of {path} uses another version of imp-parallel-view than this command"
        )
    return answer
