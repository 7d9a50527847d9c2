"""How slaves were lost, said once for all that were lost alike.

A hundred slaves of an array fail for one reason, as a rule: who reads of it wants that reason, and
how many there are, not a hundred copies.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Sequence

from .._errors import NoMoreSlavesError, NoSlaveStartedError
from .._explained import explained
from .record import SlaveRecord

_logger = logging.getLogger("imp_parallel.slaves")

_GATHER_S = 5.0  # for how long losses are counted that are like one that has been told
_KINDS_SHOWN = 10

# Which of the two it is depends on what the slave had read when its process ended. (Compiled when
# the first slave is lost: that takes longer than importing this module.)
_HOW_A_STREAM_ENDED = r"\b(its connection (ended|broke: [^;\n]*)|it ended before it had connected)"


class LossLog:
    """Tells people of slaves that are lost; of many that are lost alike, of one and their number.

    Args:
        call_at: runs a function in the engine's thread, at a monotonic time.
    """

    def __init__(self, call_at: Callable[[float, Callable[[], None]], None]) -> None:
        self._call_at = call_at
        self._more: dict[str, list[int]] = {}  # by kind: those that have not been told of

    def note(self, record: SlaveRecord) -> None:
        """Take note of a slave that has just been lost."""
        kind = _kind(record)
        more = self._more.get(kind)
        if more is not None:
            more.append(record.index)
            return
        self._more[kind] = []
        _logger.warning("lost %s", explained(record.failure))  # (it may quote errors)
        self._call_at(time.monotonic() + _GATHER_S, lambda: self._tell(kind))

    def tell_all(self) -> None:
        """Tell of what has been counted so far."""
        for kind in list(self._more):
            self._tell(kind)

    def _tell(self, kind: str) -> None:
        more = self._more.pop(kind, [])
        if more:
            first_line = kind.partition("\n")[0]
            _logger.warning("lost %s in the same way: %s", _slaves(more), first_line)


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
        text = alike[0].failure
        if len(alike) > 1:
            text = f"{_slaves([record.index for record in alike])}, all alike. {text}"
        paragraphs.append(f"- {text}")
    if len(kinds) > _KINDS_SHOWN:
        more = sum(map(len, list(kinds.values())[_KINDS_SHOWN:]))
        paragraphs.append(f"- {more} more in other ways: see this error's failures")
    return "\n".join(paragraphs)


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
    return re.sub(_HOW_A_STREAM_ENDED, "its connection ended", text)


def _slaves(indices: Sequence[int]) -> str:
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
