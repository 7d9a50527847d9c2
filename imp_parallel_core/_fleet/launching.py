"""What is expected of the launch of a slave that has not connected: news of it, and then the slave.

It is part of the slave's life, and as pure: times come in with the events.
"""

from __future__ import annotations

from .._explained import explained
from .._light_typing import NamedTuple
from .._plugins.launch import LaunchPhase, LaunchState

_NEVER = float("inf")
_SUSPENDED = "suspended"  # what the detail of a slave begins with whose process is stopped


class Overdue(NamedTuple):
    """Something that has not come in time."""

    what: str
    is_of_launch: bool
    """Whether it is the launch that has not said anything."""


class Launching:
    """One launch of a slave. All that is true of that launch alone is here.

    Args:
        number: the launch's; nobody else has it.
        connect_s: how long the launch may say nothing, and then the slave run without connecting.
    """

    __slots__ = ("_connect_by", "_connect_s", "_detail", "_states_by", "number", "phase", "trouble")

    def __init__(self, number: int, connect_s: float) -> None:
        self.number = number
        self.phase: LaunchPhase | None = None  # how far the slave has come, as the launch says
        self.trouble = ""  # why the launch can't say how the slave is now
        self._detail = ""  # what it says of the slave
        self._connect_s = connect_s
        self._states_by = _NEVER  # when it must have said how the slave is
        self._connect_by = _NEVER  # when the slave, which runs, must have connected

    def launched(self, now: float) -> None:
        """The plugin has launched the slave, and will say how it is."""
        self._states_by = now + self._connect_s

    def note(self, state: LaunchState, now: float) -> None:
        """The launch has said that the slave waits, runs, or is suspended."""
        self._states_by = _NEVER
        self.phase = state.phase
        self._detail = state.detail
        if state.phase is LaunchPhase.SUSPENDED and not state.detail.startswith(_SUSPENDED):
            self._detail = f"{_SUSPENDED}: {state.detail}" if state.detail else _SUSPENDED
        if state.phase is not LaunchPhase.RUNNING:
            self._connect_by = _NEVER
        elif self._connect_by == _NEVER:
            self._connect_by = now + self._connect_s

    @property
    def detail(self) -> str:
        """What the launch says of the slave, and why it can't say more."""
        return "; ".join(text for text in (self._detail, self.trouble) if text)

    @property
    def look_at(self) -> float:
        """When to ask what is overdue; infinite while nothing can be."""
        return min(self._states_by, self._connect_by)

    def overdue(self, now: float) -> Overdue | None:
        """Return what should have come by now."""
        limit = f"within {self._connect_s:g} s (connect_timeout)"
        if self._connect_by <= now:
            text = f"it was started, but did not connect {limit}"
            return Overdue(explained(text, "slave-not-connected"), is_of_launch=False)
        if self._states_by <= now:
            return Overdue(f"its launch has not said how it is {limit}", is_of_launch=True)
        return None

    def excuse(self, late_s: float, soon: float) -> None:
        """Let nothing be overdue for a time in which this process did not run, nor before soon."""
        self._connect_by = max(self._connect_by + late_s, soon)
        self._states_by = max(self._states_by + late_s, soon)
