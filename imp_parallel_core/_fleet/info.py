"""What ``Manager.slaves`` says of a slave."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._printable import printable
from .._scheduler.tasks import Task
from .state import SlaveState

if TYPE_CHECKING:
    from .._scheduler.slaves import SetupItem
    from .record import SlaveRecord
    from .state import LifeState


class SlaveActivity(enum.Enum):
    """What a slave that is idle as far as its life goes is at, which the scheduler knows."""

    SETTING_UP = "setting up"
    WORKING = "working"


@dataclass(frozen=True)
class SlaveInfo:
    """A slave at one moment.

    Attributes:
        index: its number, from 0.
        name: what messages call it.
        description: the repr of what was given to ``add_slave``.
        state: one of launching, queued, connected, idle, setting up, working, suspected,
            reconnecting, paused (it is stopped, or will be), set aside (task after task
            has died on it), leaving, gone.
        state_s: for how long it has been in this state, in seconds.
        detail: more about the state: a batch system's reason, how it was lost.
        host: the name of its machine; "" before it has connected.
        address: that of the master's by which it has come, as far as its transport tells; "" for a
            stream that its launch has made, and before it has connected.
        pid: of its supervisor there; None before it has connected.
        runner_pid: of the process that runs its tasks.
        tasks_done: how many tasks it has ended.
        task: the number of the task that it runs, or None.
        context: the number of the context that it works for, or None.
        output_path: where its output goes, as text.
    """

    index: int
    name: str
    description: str
    state: str
    state_s: float
    detail: str
    host: str
    address: str
    pid: int | None
    runner_pid: int | None
    tasks_done: int
    task: int | None
    context: int | None
    output_path: str

    def __str__(self) -> str:
        where = f" on {self.host}" if self.host else ""
        what = f" at task {self.task}" if self.task is not None else ""
        detail = f" ({self.detail})" if self.detail else ""
        return f"{self.name}{where}: {self.state}{what} for {self.state_s:.0f} s{detail}"


def shown_state(
    life: LifeState, first: Task | SetupItem | None
) -> tuple[str, Task | SetupItem | None]:
    """Return the state that people see, and what the slave is at, if it is seen to be at work.

    Args:
        life: the slave's.
        first: what it is at, as far as the scheduler knows; None for nothing.
    """
    if life.state is not SlaveState.IDLE or first is None:
        return life.state.value, None
    is_task = isinstance(first, Task)
    return (SlaveActivity.WORKING if is_task else SlaveActivity.SETTING_UP).value, first


def describe(
    record: SlaveRecord, doing: tuple[Task | SetupItem, float] | None, now: float
) -> SlaveInfo:
    """Return what there is to know of a slave.

    Args:
        record: the slave's.
        doing: what it is at, as far as the scheduler knows, and since when; None for nothing.
        now: the time.
    """
    life = record.life
    session = life.session
    state, what = shown_state(life, None if doing is None else doing[0])
    since = life.state_since if what is None or doing is None else doing[1]
    return SlaveInfo(
        index=record.index,
        name=record.name,
        description=record.description_text,
        state=state,
        state_s=now - since,
        detail=life.detail,
        host=life.host,
        address=_address_of(record),
        pid=life.pid,
        runner_pid=None if session is None else session.runner_pid,
        tasks_done=record.tasks_done,
        task=what.id if isinstance(what, Task) else None,
        context=None if what is None else what.context,
        output_path=record.bootstrap.output_path or "",
    )


def _address_of(record: SlaveRecord) -> str:
    try:
        return "" if record.link is None else printable(record.link.address)
    except Exception:  # a stream is a plugin's
        return ""
