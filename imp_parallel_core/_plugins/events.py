"""The events that observers get."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Event:
    """Something that has happened; ``at`` is in monotonic seconds of the master."""

    at: float


@dataclass(frozen=True)
class SlaveChanged(Event):
    """A slave is in another state now (see SlaveInfo.state)."""

    slave: str
    state: str
    detail: str = ""


@dataclass(frozen=True)
class TaskStarted(Event):
    """A task was sent to a slave; it begins when those sent before it have ended."""

    context: int
    task: int
    slave: str


@dataclass(frozen=True)
class TaskDone(Event):
    """A task has its outcome: ``outcome`` is the name of an OutcomeKind.

    ``slave`` is empty if the task was cancelled.
    """

    context: int
    task: int
    slave: str
    outcome: str


@dataclass(frozen=True)
class ContextDone(Event):
    """A context was closed."""

    context: int


@dataclass(frozen=True)
class EventsMissed(Event):
    """The observers were too slow: so many events were left out here."""

    count: int
