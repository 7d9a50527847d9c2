"""What ``Manager.slaves`` says of a slave."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SlaveInfo:
    """A slave at one moment.

    Attributes:
        index: its number, from 0.
        name: what messages call it.
        description: the repr of what was given to ``add_slave``.
        state: one of launching, queued, connected, idle, setting up, working, suspected,
            reconnecting, paused (a batch system will stop it, or has), set aside (task after task
            has died on it), leaving, gone.
        state_s: for how long it has been in this state, in seconds.
        detail: more about the state: a batch system's reason, how it was lost.
        host: the name of its machine; "" before it has connected.
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
