"""How far the tasks of a context are, for people who ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

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


def progress_of(context: ServedContext, scheduler: Scheduler) -> Progress:
    """Return how far the tasks of a context are. Called in the engine's thread.

    Args:
        context: the context.
        scheduler: what knows of its tasks.
    """
    added = context.tasks - context.forgotten
    unfinished = sum(inbox.without_outcome for inbox in context.inboxes)
    failed, running = scheduler.failures_in(context.id), scheduler.slaves_at(context.id)
    return Progress(added, added - unfinished, failed, running)
