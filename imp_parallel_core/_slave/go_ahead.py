"""The go-ahead: the pipe with a token for each item that a runner may begin (docs/protocol.md)."""

from __future__ import annotations

import os
import selectors
from collections import deque
from collections.abc import Iterable
from itertools import islice
from struct import Struct

_TOKEN = Struct("!Q")
_READ_BYTES = 8 * 8192  # the pipe never holds more
_WRITTEN_AT_ONCE = 512  # tokens: a pipe takes so many whole, or none of them (PIPE_BUF)


class GoAhead:
    """The supervisor's end of the pipe, and a duplicate of the runner's end to take tokens back.

    The pipe may be small: Linux gives small ones to a user who has many pipes. Tokens that the pipe
    has no room for wait here.

    Args:
        written: the end that is written to. It does not block.
        taken: the duplicate of the runner's end, likewise.
        selector: the selector of the supervisor's loop.
    """

    def __init__(self, written: int, taken: int, selector: selectors.BaseSelector) -> None:
        self._written: int | None = written
        self._taken = taken
        self._selector = selector
        self._waiting: deque[int] = deque()
        self._is_awaiting_room = False

    def give(self, items: Iterable[int]) -> None:
        """Let the runner begin these items, after those before. 0 stands for no item."""
        is_first = not self._waiting
        self._waiting += items
        if is_first:
            self._write()

    def take_back(self) -> list[int]:
        """Take all tokens back that the runner has not read; return their items in order."""
        try:
            data = os.read(self._taken, _READ_BYTES)
        except BlockingIOError:
            data = b""
        items = [item for (item,) in _TOKEN.iter_unpack(data)]
        items += self._waiting
        self._waiting.clear()
        self._await_room(False)
        return items

    def end(self) -> None:
        """Let the runner exit when it has read what is in the pipe. May be called twice."""
        self._waiting.clear()
        self._await_room(False)
        if self._written is not None:
            os.close(self._written)
            self._written = None

    def close(self) -> None:
        """Close both ends."""
        self.end()
        os.close(self._taken)

    def _write(self, events: int = 0) -> None:
        while self._waiting and self._written is not None:
            items = list(islice(self._waiting, _WRITTEN_AT_ONCE))
            try:
                os.write(self._written, Struct(f"!{len(items)}Q").pack(*items))
            except BlockingIOError:
                self._await_room(True)
                return
            except OSError:
                break  # the runner has gone, as SIGCHLD will tell
            for _ in items:
                self._waiting.popleft()
        self._await_room(False)

    def _await_room(self, wanted: bool) -> None:
        """Have the rest written when the pipe has room again; or no more, if there is no rest."""
        if self._is_awaiting_room == wanted or self._written is None:
            return
        self._is_awaiting_room = wanted
        if wanted:
            self._selector.register(self._written, selectors.EVENT_WRITE, self._write)
        else:
            self._selector.unregister(self._written)
