"""What the scheduler knows of each context, and which of its tasks come next."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

from .kept_parts import KeptParts
from .policy import Policy
from .tasks import Outcome, Task

_AHEAD_S = 0.03  # short tasks are sent ahead for about this long …
_AHEAD_LIMIT = 1024  # … but no more than so many …
_AHEAD_BYTES = 1 << 20  # … or so many bytes at a time
_MESSAGE_S = 0.0005  # the cost of one more message, at both ends and on the runner's wire
_ONE_AHEAD_BELOW_S = 0.1  # a round trip matters to tasks shorter than this


class ContextState:
    """What the scheduler knows of a context."""

    __slots__ = (
        "chosen_at",
        "failures",
        "fresh",
        "has_waiting_reader",
        "id",
        "is_broken",
        "is_doubtful",
        "is_managed",
        "is_stopped",
        "last_setup_failure",
        "max_attempts",
        "max_failures",
        "max_tasks_per_runner",
        "mean_s",
        "retry",
        "running",
        "setup_failures",
        "setup_limit_s",
        "setup_losses",
        "setup_relapses",
        "slaves",
        "task_limit_s",
        "unread",
        "unread_bytes",
    )

    def __init__(
        self,
        id: int,
        max_attempts: int,
        setup_limit_s: float,
        task_limit_s: float,
        max_failures: int,
        max_tasks_per_runner: int,
    ) -> None:
        self.id = id
        self.max_attempts = max_attempts
        self.max_failures = max_failures  # so many tasks that fail end the rest; 0 for any number
        self.max_tasks_per_runner = max_tasks_per_runner  # 0 for any number
        self.failures = 0  # how many tasks have failed
        self.is_stopped = False  # so many that none is begun
        self.setup_limit_s = setup_limit_s  # of time, which slaves see to; 0 for none
        self.task_limit_s = task_limit_s
        self.fresh: deque[Task] = deque()  # never started
        self.retry: OrderedDict[int, Task] = OrderedDict()  # by id; these go first: all came back
        self.running = 0  # tasks that have started and not ended, those in retry included
        self.unread = 0  # outcomes that the user has not read
        self.unread_bytes = 0
        # a reader waits for an outcome that has not arrived; known until outcomes are read
        self.has_waiting_reader = False
        self.slaves = 0  # how many slaves serve it
        self.chosen_at = 0  # a count: contexts with as many slaves take turns
        self.mean_s: float | None = None  # how long its tasks take
        self.is_managed = False  # some slave has managed its set-up
        self.setup_failures: set[int] = set()  # slaves on which it failed; they are excluded
        self.setup_losses: dict[int, int] = {}  # slaves that were lost in it, and how often each
        # slaves that have managed it, and how often in a row it has failed there since
        self.setup_relapses: dict[int, int] = {}
        self.last_setup_failure: Outcome | None = None
        self.is_doubtful = False  # it failed so often that no more slaves begin it, …
        self.is_broken = False  # … and when all that had begun it have failed: it is given up

    def note_setup_managed(self, slave: int) -> None:
        """A slave has managed the set-up: so whoever was lost in it may be lost for any reason."""
        self.setup_relapses[slave] = 0
        self.is_managed = True
        self.is_doubtful = self.is_broken = False
        self.setup_losses.clear()

    def note_setup_failed(self, slave: int, outcome: Outcome, *, is_loss: bool) -> bool:
        """The set-up has failed on a slave; return whether that slave shall not try it again.

        Args:
            slave: the slave's id.
            outcome: the outcome of the context's tasks, if no slave manages the set-up.
            is_loss: the whole slave was lost, for whatever reason. One that is launched again may
                try again, unless that happens too often.

        Nor is a slave to blame that has managed the set-up before, unless that fails too often in a
        row: each of its runners has to be set up, and there may be thousands.
        """
        self.last_setup_failure = outcome
        if is_loss:
            failures = self.setup_losses[slave] = self.setup_losses.get(slave, 0) + 1
        elif slave in self.setup_relapses:
            failures = self.setup_relapses[slave] = self.setup_relapses[slave] + 1
        else:
            failures = self.max_attempts
        is_final = failures >= self.max_attempts
        if is_final:
            self.setup_failures.add(slave)
        if not self.is_managed:
            lost = self.setup_losses.items()
            losses = sum(count for id, count in lost if id not in self.setup_failures)
            self.is_doubtful = len(self.setup_failures) + losses >= self.max_attempts
        return is_final

    def has_startable(self, policy: Policy) -> bool:
        """Whether a task may be sent now: a retry, or a fresh task with credit or a reader."""
        if self.is_doubtful or self.is_stopped:
            return False
        return bool(self.retry) or self.has_startable_fresh(policy)

    def has_startable_fresh(self, policy: Policy) -> bool:
        """Whether a fresh task may be sent now, as far as credit and readers go."""
        return bool(self.fresh) and (self.has_credit(policy) or self.may_start_without_credit)

    def has_credit(self, policy: Policy) -> bool:
        """Whether the outcomes that wait for the user leave room for those of fresh tasks."""
        return self.unread < policy.credit_outcomes and self.unread_bytes < policy.credit_bytes

    @property
    def may_start_without_credit(self) -> bool:
        """Whether only a fresh task can have the outcome that a reader waits for."""
        return self.running == 0 and self.has_waiting_reader

    def next_tasks(
        self,
        limit: int,
        policy: Policy,
        kept: KeptParts,
        next_retry: Callable[[], Task | None] | None = None,
    ) -> list[Task]:
        """Take the tasks to be sent next out of the queue, up to a number and a size.

        Args:
            limit: how many tasks at most.
            policy: the scheduler's bounds.
            kept: the large parts that the runner keeps; it notes which ones to send with the tasks.
            next_retry: takes a task that is to be tried again out of the queue, if the slave may
                not take just any.
        """
        tasks: list[Task] = []
        size_bytes = 0
        has_credit = self.has_credit(policy)
        while len(tasks) < limit and size_bytes < _AHEAD_BYTES:
            if not self.retry:
                task = None
            elif next_retry is None:
                task = self.retry.popitem(last=False)[1]
            else:
                task = next_retry()
            if task is None:
                if not (self.fresh and (has_credit or self.may_start_without_credit)):
                    break
                task = self.fresh.popleft()
                self.running += 1
            tasks.append(task)
            payload = task.payload
            size_bytes += len(payload[0]) if len(payload) == 1 else kept.bytes_of(task)
        return tasks

    def queue_again(self, task: Task) -> None:
        """Put a task that has been started in front of all others."""
        self.retry[task.id] = task
        self.retry.move_to_end(task.id, last=False)

    def note_duration(self, duration_s: float) -> None:
        """Learn from a task that has ended how long its kind takes."""
        mean = self.mean_s
        self.mean_s = duration_s if mean is None else mean + 0.2 * (duration_s - mean)

    @property
    def worth_a_message(self) -> int:
        """How many tasks end in the time that one more message costs: to share fewer costs more."""
        if self.mean_s is None:
            return 1
        return max(1, int(_MESSAGE_S / max(self.mean_s, 1e-6)))

    @property
    def depth(self) -> int:
        """How many tasks a slave may hold at once, the running one included."""
        if self.mean_s is None or self.mean_s >= _ONE_AHEAD_BELOW_S:
            return 1
        return min(_AHEAD_LIMIT, 2 + int(_AHEAD_S / max(self.mean_s, 1e-6)))
