"""What the scheduler knows of each slave."""

from __future__ import annotations

import enum

from .._light_typing import NamedTuple
from .kept_parts import KeptParts
from .tasks import Task


class Phase(enum.Enum):
    """Where a slave is in its life, as far as giving it work goes."""

    STARTING = "starting"  # its launch, its connection or its runner is on the way
    READY = "ready"
    GONE = "gone"


class SetupItem(NamedTuple):
    """The item by which a slave runs a context's set-up."""

    context: int


class Vigil:
    """How long a slave that is heard has been at one item, or owed something (:mod:`.patience`).

    Args:
        item: the item that the slave is at, 0 for none.
        looked_at: when the slave was first seen at it.
    """

    __slots__ = ("at_it_s", "item", "looked_at", "owing", "quiet_s")

    def __init__(self, item: int = -1, looked_at: float = 0.0) -> None:
        self.item = item
        self.looked_at = looked_at
        self.at_it_s = 0.0  # how long it has been heard and at the item
        self.quiet_s = 0.0  # likewise, since it was last asked to hand items back
        self.owing = 0  # how many times in a row it has been seen to owe something


class ScheduledSlave:
    """What the scheduler knows of a slave."""

    __slots__ = (
        "aside_until",
        "awaits_return",
        "contexts",
        "excluded",
        "fruitless",
        "has_joined",
        "id",
        "is_aside",
        "is_away",
        "is_given_up",
        "is_leaving",
        "is_probed",
        "is_suspected",
        "is_trusted",
        "items",
        "kept",
        "killed",
        "last_ended",
        "phase",
        "progress_at",
        "ready_since",
        "relaunchable",
        "relaunches",
        "serves",
        "tasks_run",
        "times_aside",
        "unneeded",
        "vigil",
    )

    def __init__(self, id: int, relaunchable: bool) -> None:
        self.id = id
        self.relaunchable = relaunchable
        self.relaunches = 0  # since one of them was worth it
        self.ready_since: float | None = None  # when it had the first runner of its latest launch
        self.has_joined = False
        self.excluded: set[int] = set()  # contexts whose set-up failed here
        self.serves: int | None = None  # the context that it was last given work of
        self.killed: tuple[tuple[int, int], ...] = ()  # tasks that died here since one ended
        self.is_trusted = False  # a task has ended here, and none has died since
        self.times_aside = 0  # how often it was set aside since then
        self.is_aside = False  # for those deaths
        self.aside_until = 0.0
        self.phase = Phase.STARTING
        self.forget_runner()
        self.forget_connection()

    def forget_runner(self) -> None:
        """Forget the state of a runner that has gone."""
        self.items: dict[int, Task | SetupItem] = {}  # in the order sent; the first is running
        self.contexts: set[int] = set()  # set up here
        self.kept = KeptParts()
        self.awaits_return = False  # a TakeBack has not been answered
        self.is_probed = False  # it was asked to hand items back only to see whether it answers
        self.unneeded = 0  # the last item that it was asked to end
        self.last_ended = 0  # the last item that came to its end
        self.tasks_run = 0  # how many tasks have come to their end in it
        self.vigil = Vigil()
        self.progress_at = 0.0  # when its first item began

    def forget_connection(self) -> None:
        """Forget the state of a supervisor that has gone."""
        self.is_away = False
        self.is_suspected = False
        self.is_leaving = False
        self.is_given_up = False  # the engine has been asked to have it lost
        self.fruitless = 0  # how many times in a row it has done none of its items

    @property
    def can_return(self) -> bool:
        """Whether launching it again may bring it back if it is lost."""
        return self.has_joined and self.relaunchable and not self.is_leaving

    @property
    def takes_work(self) -> bool:
        """Whether it may be sent anything to run."""
        return self.phase is Phase.READY and not (
            self.is_away
            or self.is_suspected
            or self.is_leaving
            or self.is_aside
            or self.is_given_up
            or self.awaits_return
        )

    @property
    def running(self) -> Task | SetupItem | None:
        """What it runs, as far as is known; None if it has no item."""
        return next(iter(self.items.values()), None)

    @property
    def is_setting_up(self) -> bool:
        """Whether a set-up is what it runs."""
        # a set-up is sent to an idle slave only, and nothing is sent behind it
        return isinstance(next(iter(self.items.values()), None), SetupItem)
