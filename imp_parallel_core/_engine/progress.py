"""How far the tasks of a context are, for people who ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .._scheduler.tasks import Task

if TYPE_CHECKING:
    from .._scheduler.scheduler import Scheduler
    from .served_context import ServedContext


class Progress(NamedTuple):
    """What has become of the tasks of a context, those of maps included.

    Attributes:
        added: how many tasks have been added, without those that the user has forgotten.
        done: how many of these have an outcome.
        failed: how many outcomes were errors.
        running: how many slaves are at such a task.
    """

    added: int
    done: int
    failed: int
    running: int

    def __str__(self) -> str:
        if not self.added:
            return "no tasks"
        parts = [f"{self.done} of {self.added} done"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.running} running"] if self.running else []
        return ", ".join(parts)


def progress_of(context: ServedContext, scheduler: Scheduler, slaves: list[int]) -> Progress:
    """Return how far the tasks of a context are. Called in the engine's thread.

    Args:
        context: the context.
        scheduler: what knows of its tasks.
        slaves: the numbers of all slaves.
    """
    doing = [item[0] for index in slaves if (item := scheduler.doing(index)) is not None]
    running = sum(
        isinstance(item, Task) and item.context == context.id and not item.is_forgotten
        for item in doing
    )
    added = context.tasks - context.forgotten
    unfinished = sum(inbox.without_outcome for inbox in context.inboxes)
    return Progress(added, added - unfinished, scheduler.failures_in(context.id), running)
