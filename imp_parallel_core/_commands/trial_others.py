"""The other slaves of an array than the one that goes through the chain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .steps import Status, Step
from .trial_report import is_suspended, states_of

if TYPE_CHECKING:
    from .._fleet.info import SlaveInfo

_STARTS = ("launching", "connected")


class Others(NamedTuple):
    """What has become of the slaves of an array.

    Attributes:
        slaves: how many there are in all.
        lost: how many have gone.
        late: how many have not come.
        queued: how many wait to be started.
        problems: what is wrong, in words; empty if nothing is.
        reasons: how those were lost that have gone, as far as is known.
    """

    slaves: int
    lost: int
    late: int
    queued: int
    problems: Sequence[str]
    reasons: Sequence[str]


def others_of(infos: Sequence[SlaveInfo], limit_s: float) -> Others:
    """Return what has become of slaves, of which one has come."""
    lost = [info for info in infos if info.state == "gone"]
    late = [info for info in infos if is_awaited(info)]
    problems = []
    if lost:
        problems.append(f"{len(lost)} of {len(infos)} slaves {_were(len(lost))} lost")
    if late:
        text = f"{len(late)} of {len(infos)} slaves have not come within {limit_s:g} s (--limit)"
        states = states_of(late)
        problems.append(f"{text}: {states}" if states else text)
    queued = sum(info.state == "queued" for info in infos)
    reasons = dict.fromkeys(info.detail for info in lost if info.detail)
    return Others(len(infos), len(lost), len(late), queued, problems, list(reasons))


def others_step(others: Others, told: Sequence[str]) -> Step:
    """Return what a check tells of the slaves of an array.

    Args:
        others: what has become of them.
        told: how those were lost that have gone, as the log tells it.
    """
    facts = {name: getattr(others, name) for name in ("slaves", "lost", "late", "queued")}
    if others.problems:
        reasons = (told or others.reasons) if others.lost else ()
        advice = "The chain works with the others; see to those, or leave them out of the array."
        text = "\n".join([*others.problems, *reasons])
        return Step("others", Status.FAILED, text, facts=facts, advice=advice)
    if others.queued:
        come = others.slaves - others.queued
        text = f"{come} of {others.slaves} slaves have come, and the others wait in the queue"
    else:
        text = f"all {others.slaves} slaves have come"
    return Step("others", Status.OK, text, facts=facts)


def is_awaited(info: SlaveInfo) -> bool:
    """Whether a slave has been started, and has not come; those in a queue have not."""
    return info.state in _STARTS or is_suspended(info)


def is_starting(info: SlaveInfo) -> bool:
    """Whether a slave starts, and so will come, or be given up with the reason."""
    return info.state in _STARTS


def _were(count: int) -> str:
    return "was" if count == 1 else "were"
