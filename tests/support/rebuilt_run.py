"""An observer that rebuilds a run from its events alone, and finds them in contradiction or not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from imp_parallel_core import (
    ContextDone,
    ContextOpened,
    Event,
    EventsMissed,
    RunBegan,
    RunEnded,
    RunnerLost,
    SetupDone,
    SlaveChanged,
    TaskDone,
    TasksAdded,
    TasksDone,
    TasksForgotten,
    TasksReturned,
    TasksSent,
    hookimpl,
)


class RebuiltRun:
    """What has happened in a run, as far as events tell."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.names: dict[int, str] = {}
        self.added: Counter[int] = Counter()
        self.forgotten: Counter[int] = Counter()
        self.done: dict[tuple[int, int], TaskDone] = {}
        self.setups: list[SetupDone] = []
        self.deaths: list[RunnerLost] = []
        self.states: defaultdict[str, list[SlaveChanged]] = defaultdict(list)
        self.held: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        """What each slave has, as context and number, in order."""
        self.closed: set[int] = set()
        self.problem: Exception | None = None

    @hookimpl
    def imp_parallel_observe(self, events: Sequence[Event]) -> None:
        for event in events:
            try:
                self._take(event)
            except Exception as problem:
                problem.add_note(f"after {self.events[-5:]}, of {event}")
                self.problem = self.problem or problem
            self.events.append(event)

    def check(self) -> None:
        """Raise what was wrong with the events of a run that is over."""
        if self.problem is not None:
            raise self.problem
        assert type(self.events[0]) is RunBegan
        assert type(self.events[-1]) is RunEnded
        began_at = self.events[0].at
        for done in self.done.values():
            assert began_at <= done.began_at <= done.at <= self.events[-1].at

    def unfinished(self, context: int) -> int:
        """Return how many tasks of a context have no outcome, and may get one."""
        done = sum(key[0] == context for key in self.done)
        return self.added[context] - self.forgotten[context] - done

    def is_at_work(self, slave: str) -> bool:
        """Return whether a slave is at a task or a set-up."""
        return self.states[slave][-1].state in ("working", "setting up")

    def _take(self, event: Event) -> None:
        context = getattr(event, "context", 0)
        if isinstance(event, ContextOpened):
            assert context not in self.names
            self.names[context] = event.name
        elif context:
            assert context in self.names
            assert context not in self.closed or isinstance(event, (RunnerLost, SlaveChanged))
        match event:
            case TasksAdded(count=count, total=total):
                self.added[context] += count
                assert self.added[context] == total
            case TasksForgotten(count=count):
                self.forgotten[context] += count
            case ContextDone():
                self.closed.add(context)
                for held in self.held.values():
                    held[:] = [one for one in held if one[0] != context]
            case SetupDone():
                self.setups.append(event)
            case RunnerLost(slave=slave, task=task):
                if task is not None and context not in self.closed:
                    assert self.held[slave][0] == (context, task)
                self.deaths.append(event)
            case SlaveChanged(slave=slave):
                self.states[slave].append(event)
            case TasksSent(slave=slave):
                assert len(event.attempts) == len(event)
                self.held[slave] += [(context, task) for task in event.tasks]
            case TasksReturned(slave=slave):
                for task in event.tasks:
                    self.held[slave].remove((context, task))
            case TasksDone(slave=slave):
                self._take_done(event)
            case EventsMissed():
                raise AssertionError("events were missed")

    def _take_done(self, event: TasksDone) -> None:
        tasks = list(event)
        assert [one.task for one in tasks] == list(event.tasks)
        for one in tasks:
            key = (one.context, one.task)
            assert key not in self.done
            self.done[key] = one
            if one.outcome in ("value", "raised"):
                self.held[one.slave].remove(key)  # values and errors come by two ways
