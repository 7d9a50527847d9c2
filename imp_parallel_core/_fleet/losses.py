"""How slaves were lost, said once for all that were lost alike.

A hundred slaves of an array fail for one reason, as a rule: who reads of it wants that reason, and
how many there are, not a hundred copies.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Collection, Iterable, Sequence

from .._errors import NoMoreSlavesError, NoSlaveStartedError
from .._explained import explained
from .record import SlaveRecord

_logger = logging.getLogger("imp_parallel.slaves")

_HOLD_S = 2.0  # for how long a loss is held back, as an error may follow that has all of it
_GATHER_S = 5.0  # for how long losses are counted that are like one that has been told
_KINDS_SHOWN = 10

# Which of the two it is depends on what the slave had read when its process ended. (Compiled when
# the first slave is lost: that takes longer than importing this module.)
_HOW_A_STREAM_ENDED = r"\b(its connection (ended|broke: [^;\n]*)|it ended before it had connected)"
_HOW_OFTEN_LAUNCHED = r"\n    it had been launched again \d+ times .*"


class LossLog:
    """Tells people of slaves that are lost; of many that are lost alike, of one and their number.

    A loss is told a little later. If it was the last slave's, whoever waits for results has been
    given an error meanwhile, which tells the same: the log repeats that only where details are
    wanted.

    Args:
        call_at: runs a function in the engine's thread, at a monotonic time.
    """

    def __init__(self, call_at: Callable[[float, Callable[[], None]], None]) -> None:
        self._call_at = call_at
        self._groups: dict[str, _Group] = {}  # by kind

    def note(self, record: SlaveRecord) -> None:
        """Take note of a slave that has just been lost."""
        kind = _kind(record)
        group = self._groups.get(kind)
        if group is None:
            group = self._groups[kind] = _Group(kind)
            self._tell_later(group, _HOLD_S)
        group.add(record)

    def error_given(self, records: Iterable[SlaveRecord]) -> None:
        """Take note that somebody has been given the error that :func:`hopeless` returns.

        Args:
            records: those that the error is about.
        """
        in_error = {_kind(record) for record in records if record.failure}
        for kind, group in list(self._groups.items()):
            if kind in in_error:
                del self._groups[kind]
                group.tell(logging.INFO)

    def tell_all(self) -> None:
        """Tell of what has not been told."""
        groups, self._groups = self._groups, {}
        for group in groups.values():
            group.tell(logging.WARNING)

    def _tell_later(self, group: _Group, wait_s: float) -> None:
        def tell() -> None:
            if self._groups.get(group.kind) is not group:
                return  # it has been told
            if group.tell(logging.WARNING):
                self._tell_later(group, _GATHER_S)
            else:
                del self._groups[group.kind]

        self._call_at(time.monotonic() + wait_s, tell)


class _Group:
    """Losses of one kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._first = ""
        self._is_told = False
        self._untold: set[int] = set()

    def add(self, record: SlaveRecord) -> None:
        self._first = self._first or record.failure  # its next loss may be another
        self._untold.add(record.index)

    def tell(self, level: int) -> bool:
        """Tell of those that have not been told; return whether there are any."""
        untold, self._untold = self._untold, set()
        if not untold:
            return False
        if self._is_told:
            first_line = self.kind.partition("\n")[0]
            text = f"{_slaves(untold)} in the same way: {first_line}"
        else:
            text = explained(_of_all(untold, self._first))  # (it may quote errors)
        self._is_told = True
        _logger.log(level, "lost %s", text)
        return True


def hopeless(records: Iterable[SlaveRecord]) -> NoMoreSlavesError:
    """Return the error for whoever waits when none of these slaves runs or will come."""
    records = list(records)
    if not records:
        return NoMoreSlavesError(
            "tasks are waiting, but this Manager has no slaves: call manager.add_slave(…) first"
        )
    lost = [record for record in records if record.failure]
    failures = [record.failure for record in lost]
    text = _summary(lost)
    if any(record.life.has_joined for record in records):
        return NoMoreSlavesError(
            "tasks are waiting, but no slave is left. The tasks are kept: add a slave and read "
            f"on. How they were lost:\n{text}",
            failures=failures,
        )
    return NoSlaveStartedError(f"no slave could be started:\n{text}", failures=failures)


def _summary(lost: Sequence[SlaveRecord]) -> str:
    kinds: dict[str, list[SlaveRecord]] = {}
    for record in lost:
        kinds.setdefault(_kind(record), []).append(record)
    paragraphs = []
    for alike in list(kinds.values())[:_KINDS_SHOWN]:
        text = _of_all([record.index for record in alike], alike[0].failure)
        paragraphs.append(f"- {text}")
    if len(kinds) > _KINDS_SHOWN:
        more = sum(map(len, list(kinds.values())[_KINDS_SHOWN:]))
        paragraphs.append(f"- {more} more in other ways: see this error's failures")
    return "\n".join(paragraphs)


def _of_all(indices: Collection[int], text: str) -> str:
    """Return how slaves were lost alike, of which one was lost in the way that a text describes."""
    return f"{_slaves(indices)}, all alike. {text}" if len(indices) > 1 else text


def _kind(record: SlaveRecord) -> str:
    """Return what slaves that were lost alike have in common."""
    text = record.failure.removeprefix(f"{record}: ")
    if record.bootstrap.output_path:
        # the outputs of the others too: a launch's failure may quote what speaks of them all
        begin, number, end = record.bootstrap.output_path.rpartition(str(record.index))
        path = re.escape(begin) + (r"\d+" if number else "") + re.escape(end)
        text = re.sub(path, "…", text)
    if record.life.host:
        text = text.replace(record.life.host, "…")
    text = re.sub(rf"\b{record.name}\b", "slave …", text)
    text = re.sub(_HOW_OFTEN_LAUNCHED, "", text)
    return re.sub(_HOW_A_STREAM_ENDED, "its connection ended", text)


def _slaves(indices: Collection[int]) -> str:
    """Return how many slaves these are, and which: ``4 slaves (0-2, 7)``."""
    spans: list[list[int]] = []
    for index in sorted(indices):
        if spans and index == spans[-1][1] + 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    shown = ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans[:20])
    rest = ", …" if len(spans) > 20 else ""
    return f"{len(indices)} slave{'' if len(indices) == 1 else 's'} ({shown}{rest})"
