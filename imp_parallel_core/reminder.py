"""Saying again that something goes on: ever more seldom, but never in silence."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

_Member = TypeVar("_Member", bound=Hashable)

_FORGOTTEN_S = 120.0  # after which what is not spoken of any more counts as over


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


class SharedReminder(Generic[_Member]):
    """Tells when people should be reminded of things that last: of all that are alike at once.

    Fifty slaves that wait for the same reason so are one line. Any thread may use it.

    Args:
        first_s: after how long people are told first.
        growth: how many times as long each has lasted when people are told again.
        longest_s: the longest time until then.
    """

    def __init__(
        self, first_s: float = 1.0, growth: float = 2.0, longest_s: float = float("inf")
    ) -> None:
        self._first_s = first_s
        self._growth = growth
        self._longest_s = longest_s
        self._lock = threading.Lock()
        self._lasting: dict[_Member, _Lasting] = {}

    def remind(
        self, member: _Member, kind: Hashable, since: float, now: float
    ) -> dict[_Member, float]:
        """Take note that something lasts; return what people should be told of now, mostly nothing.

        Args:
            member: what lasts; to be called for it again and again.
            kind: what it has in common with others, such as the reason.
            since: when it began, in monotonic seconds.
            now: the time.

        Returns all members of that kind, the one that is given first, each with how long it has
        lasted, in seconds. They count as told.
        """
        with self._lock:
            known = self._lasting.get(member)
            if known is None or known.since != since:
                known = self._lasting[member] = _Lasting(since, since + self._first_s)
            known.kind, known.seen_at = kind, now
            if now < known.due:
                return {}
            alike = {
                other: lasting
                for other, lasting in {member: known, **self._lasting}.items()
                if lasting.kind == kind and now - lasting.seen_at < _FORGOTTEN_S
            }
            longest_s = max(now - lasting.since for lasting in alike.values())
            pause_s = max(self._first_s, (self._growth - 1.0) * longest_s)
            for lasting in alike.values():
                lasting.due = now + min(pause_s, self._longest_s)
            return {other: now - lasting.since for other, lasting in alike.items()}

    def lasts(self, kind: Hashable) -> bool:
        """Return whether something of that kind lasts already."""
        with self._lock:
            return any(lasting.kind == kind for lasting in self._lasting.values())

    def forget(self, member: _Member) -> None:
        """Take note that something lasts no more."""
        with self._lock:
            self._lasting.pop(member, None)


class _Lasting:
    """How long something lasts, and when people should be told of it."""

    __slots__ = ("due", "kind", "seen_at", "since")

    def __init__(self, since: float, due: float) -> None:
        self.since = since
        self.due = due
        self.kind: Hashable = None
        self.seen_at = since
