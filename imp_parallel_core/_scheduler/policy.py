"""The bounds within which the scheduler decides."""

from __future__ import annotations

from .._light_typing import NamedTuple


class Policy(NamedTuple):
    """The scheduler's bounds; each has a default that fits most runs.

    Credit limits what waits for the user, not what runs: fresh tasks are started as long as there
    is credit, so the outcomes that wait are at most the credit and what ran, or had been sent
    ahead, when it was used up. Without credit a retry is still started; and, one at a time and
    with nothing else of its context running, the oldest unfinished task while a reader waits.
    """

    max_relaunches: int = 3
    """How often one slave is launched again after it ran and was lost; see ``worth_s``."""
    credit_outcomes: int = 10_000
    """How many outcomes of a context may wait for the user before no fresh task is started."""
    credit_bytes: int = 1 << 28
    """How many bytes of outcomes of a context may wait for the user, likewise."""
    worth_s: float = 60.0
    """How long a slave must have worked, after a launch, for earlier losses to count no more."""
    patience_s: float = 0.001
    """How long a task may run before those behind it are taken back for an idle slave."""
    elsewhere_s: float = 30.0
    """For how long, at least, a task that has died on a slave waits for another one."""
    ill_after: int = 3
    """How many tasks must die on a slave, one after the other, before it is set aside."""
    aside_s: float = 30.0
    """For how long it is set aside then; twice as long after each trial that fails, …"""
    longest_aside_s: float = 1800.0
    """… but no longer than this."""

    @property
    def credit_portion(self) -> int:
        """How many outcomes that the user has read are worth telling the scheduler of at a time."""
        return max(1, min(1000, self.credit_outcomes // 8))
