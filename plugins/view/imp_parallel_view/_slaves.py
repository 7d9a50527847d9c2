"""What each slave of a run is at, in the words that people see. Pure, as the model of the run."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from imp_parallel_core import SlaveChanged

_NOT_NEEDED = "not needed"  # what the detail of a slave begins with that was withdrawn


class Doing(enum.Enum):
    """What a slave is at, in the words that people see; the order is that of the display."""

    WORKING = "working"
    SETTING_UP = "setting up"
    IDLE = "idle"
    STARTING = "starting"
    QUEUED = "queued"
    PAUSED = "paused"
    SET_ASIDE = "set aside"
    SILENT = "not heard"
    LEAVING = "leaving"
    NOT_NEEDED = "not needed"
    LOST = "lost"
    ENDED = "ended"


_DOING = {
    "launching": Doing.STARTING,
    "connected": Doing.STARTING,
    "queued": Doing.QUEUED,
    "idle": Doing.IDLE,
    "setting up": Doing.SETTING_UP,
    "working": Doing.WORKING,
    "suspected": Doing.SILENT,
    "reconnecting": Doing.SILENT,
    "paused": Doing.PAUSED,
    "set aside": Doing.SET_ASIDE,
    "leaving": Doing.LEAVING,
}


@dataclass
class SlaveNow:
    """One slave at this moment.

    Attributes:
        name: what messages call it.
        doing: what it is at.
        detail: more about that: a batch system's reason, how it was lost.
        since: since when, in the events' seconds.
        host: the name of its machine; "" before it has connected.
        context: the number of the context that it works for; 0 for none.
        tasks_done: how many have ended on it.
        runners_lost: how many of its processes have died, other than by our own wish.
    """

    name: str
    doing: Doing = Doing.STARTING
    detail: str = ""
    since: float = 0.0
    host: str = ""
    context: int = 0
    tasks_done: int = 0
    runners_lost: int = 0

    def change(self, event: SlaveChanged) -> bool:
        """Take note of another state; return whether the slave has been lost by now, not before."""
        doing = _DOING.get(event.state)
        if doing is None:  # gone
            doing = Doing.NOT_NEEDED if event.detail.startswith(_NOT_NEEDED) else Doing.LOST
        before = self.doing
        if doing is not before:
            self.since = event.at
        self.doing, self.detail, self.context = doing, event.detail, event.context
        self.host = event.host or self.host
        return doing is Doing.LOST and before is not Doing.LOST

    def end(self) -> None:
        """The run has ended, and with it the slave, unless it had gone before."""
        if self.doing not in (Doing.LOST, Doing.NOT_NEEDED):
            self.doing, self.detail = Doing.ENDED, ""
