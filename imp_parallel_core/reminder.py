"""Saying again that something goes on: ever more seldom, but never in silence."""

from __future__ import annotations


class Reminder:
    """Tells when people should be reminded of something that lasts, or happens again and again.

    For use by launchers, too.

    Args:
        first: the amount (of seconds, or of occurrences) at which people are told first.
        growth: by how much the amount must have grown since, each time.
    """

    __slots__ = ("_growth", "_next")

    def __init__(self, first: float = 1.0, growth: float = 2.0) -> None:
        self._next = first
        self._growth = growth

    def is_due(self, amount: float) -> bool:
        """Return whether people should be told now."""
        return amount >= self._next

    def note_told(self, amount: float) -> None:
        """Take note that people have been told of so much."""
        self._next = amount * self._growth

    def remind(self, amount: float) -> bool:
        """Return whether people should be told now, and take it that they are."""
        is_due = self.is_due(amount)
        if is_due:
            self.note_told(amount)
        return is_due
