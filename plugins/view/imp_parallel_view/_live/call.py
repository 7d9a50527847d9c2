"""One question to one script: how its run is."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .snapshot import FORMAT

ANSWER_S = 5.0
_LIMIT_BYTES = 64 << 20


class Call(threading.Thread):
    """Asks a script, in a thread of its own: one that has been stopped does not answer.

    Args:
        path: its socket.
        ended: is called with this as soon as it is known what has become of it.

    Attributes:
        answer: the run; None if it has ended, is ending, or does not answer.
        is_silent: whether it has not answered in time, and has not ended.
        problem: why its answer is of no use; "" if it is.
    """

    def __init__(self, path: Path, ended: Callable[[Call], None]) -> None:
        super().__init__(name=f"imp_parallel call of {path.name}", daemon=True)
        self.path = path
        self.answer: dict[str, Any] | None = None
        self.is_silent = False
        self.problem = ""
        self._ended = ended

    def run(self) -> None:
        """Ask."""
        try:
            self._take(self._ask())
        except (TimeoutError, BlockingIOError):  # the latter if many have asked in vain
            self.is_silent = True
        except OSError:
            pass  # it ends just now
        finally:
            self._ended(self)

    def _ask(self) -> bytes:
        """Return the answer; b"" if its script has ended. Raises OSError."""
        due = time.monotonic() + ANSWER_S
        data = bytearray()
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.settimeout(ANSWER_S)
            try:
                caller.connect(str(self.path))
            except ConnectionRefusedError:  # it was killed, and nobody else makes such sockets
                self.path.unlink(missing_ok=True)
                return b""
            while piece := caller.recv(1 << 20):
                data += piece
                caller.settimeout(max(0.001, due - time.monotonic()))
                if len(data) > _LIMIT_BYTES:
                    return b""
        return bytes(data)

    def _take(self, data: bytes) -> None:
        try:
            answer = json.loads(data)
        except (ValueError, RecursionError):  # its script has ended, or ends just now
            return
        if isinstance(answer, dict) and answer.get("format") == FORMAT:
            self.answer = answer
        else:
            self.problem = (
                f"the script of {self.path} uses another version of imp-parallel-view than this "
                "command"
            )
