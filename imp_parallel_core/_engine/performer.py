"""Performs what the scheduler has decided: sends to slaves, delivers to contexts."""

from __future__ import annotations

from itertools import chain, groupby, islice
from operator import attrgetter
from typing import TYPE_CHECKING

from .._definitions.large_parts import LargePart
from .._fleet.record import SlaveRecord
from .._scheduler.actions import (
    Action,
    CloseContext,
    Deliver,
    EndAttempt,
    ForgetPart,
    GiveUp,
    KeepPart,
    NextRunner,
    Relaunch,
    RenewRunner,
    SendSetup,
    SendTasks,
    SetAside,
    TakeBack,
    TakeUp,
    TooManyFailures,
)
from .._scheduler.tasks import FAILURES, OutcomeKind
from .._wire import heads, protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .._fleet.fleet import Fleet
    from .._scheduler.tasks import Task
    from .._wire.shared_memory import Segment
    from .inbox import Inbox
    from .served_context import ServedContext
    from .witness import Witness

_where_to_from = attrgetter("task.inbox", "outcome.slave")  # an inbox is of one context
_DONE = (OutcomeKind.VALUE, OutcomeKind.RAISED)


class Performer:
    """Performs actions, in the engine's thread.

    Args:
        witness: tells observers, if there are any.
    """

    fleet: Fleet  # which needs the performer in its turn

    def __init__(self, witness: Witness | None) -> None:
        self.contexts: dict[int, ServedContext] = {}
        self.delivered_to: dict[Inbox, ServedContext] = {}
        """Inboxes that have got outcomes, with their contexts; readers have not been told yet."""
        self._witness = witness

    def perform(self, actions: list[Action]) -> None:
        """Perform the scheduler's actions, in order."""
        deliveries = [action for action in actions if type(action) is Deliver]
        if deliveries:
            self._deliver(deliveries)
            if len(deliveries) == len(actions):
                return
        for action in actions:
            match action:
                case SendTasks():
                    self._send_tasks(action)
                case SendSetup():
                    self._send_setup(action)
                case TakeBack(slave):
                    self.fleet.send(slave, protocol.TAKE_BACK)
                case EndAttempt(slave, item):
                    self.fleet.send(slave, protocol.END_ATTEMPT, heads.pack_item(item))
                case RenewRunner(slave):
                    self.fleet.send(slave, protocol.RENEW_RUNNER)
                case NextRunner(slave):
                    self.fleet.send(slave, protocol.NEXT_RUNNER)
                case CloseContext(slave, context):
                    self.fleet.send(slave, protocol.CLOSE_CONTEXT, heads.pack_context(context))
                case KeepPart():
                    self._send_part(action)
                case ForgetPart(slave, context, number):
                    self.fleet.records[slave].kept.discard((context, number))
                    head = heads.ForgetHead(context, number)
                    self.fleet.send(slave, protocol.FORGET, heads.pack_forget(head))
                case Relaunch(slave):
                    self.fleet.relaunch(slave)
                case SetAside(slave, deaths):
                    self.fleet.set_aside(slave, deaths)
                case TakeUp(slave):
                    self.fleet.take_up(slave)
                case GiveUp(slave, why, is_charged):
                    self.fleet.give_up(slave, why, is_charged=is_charged)
                case TooManyFailures(context):
                    self._stop_reading(self.contexts[context])

    def _send_setup(self, action: SendSetup) -> None:
        record, context = self.fleet.records[action.slave], self.contexts[action.context]
        segments, bundle = context.setup
        self._send_bundles(record, context, bundle)
        head = heads.SetupHead(
            action.item,
            context.id,
            bundle,
            context.options.setup_timeout_s,
            context.options.memory_bytes,
            context.options.seed,
        )
        self.fleet.send(action.slave, protocol.SETUP, heads.pack_setup(head), segments)
        if self._witness is not None:
            self._witness.tell_state(action.slave)

    def _send_tasks(self, action: SendTasks) -> None:
        record = self.fleet.records[action.slave]
        first_item = action.tasks[0][0]
        tasks = [task for _, task in action.tasks]
        context = self.contexts[tasks[0].context]
        for begin, end in _alike(tasks):
            bundle = tasks[begin].bundle
            self._send_bundles(record, context, bundle)
            payloads = [task.payload for task in tasks[begin:end]]
            counts = list(map(len, payloads))
            if sum(counts) != len(counts):  # few tasks have anything beside their pickles
                payloads = [_as_sent(task, record.kept) for task in tasks[begin:end]]
            first = tasks[begin]
            is_regular = action.are_fresh and _follow_each_other(first, tasks[end - 1], end - begin)
            head = heads.TasksHead(
                first_item + begin,
                context.id,
                bundle,
                context.options.task_timeout_s,
                context.options.memory_bytes,
                first.inbox.map,
                first.number,
                counts,
                () if is_regular else _places_of(tasks[begin:end]),
            )
            segments = list(chain.from_iterable(payloads))
            self.fleet.send(action.slave, protocol.TASKS, heads.pack_tasks(head), segments)
        if self._witness is not None:
            self._witness.tell_sent(action)

    def _send_part(self, action: KeepPart) -> None:
        slave, context, part = action
        self.fleet.records[slave].kept.add((context, part.number))
        head = heads.KeepHead(context, part.number, part.kind)
        self.fleet.send(slave, protocol.KEEP, heads.pack_keep(head), (part.content,))

    def _send_bundles(self, record: SlaveRecord, context: ServedContext, needed: int) -> None:
        """Send the definitions that a runner lacks; each travels once."""
        sent = record.bundles_sent.get(context.id, 0)
        if needed <= sent:
            return
        for number in range(sent + 1, needed + 1):
            head = heads.pack_bundle(heads.BundleHead(context.id, number))
            bundle = context.book.bundles[number - 1]
            self.fleet.send(record.index, protocol.BUNDLE, head, bundle)
        record.bundles_sent[context.id] = needed

    def _deliver(self, deliveries: list[Deliver]) -> None:
        for (inbox, slave), some in groupby(deliveries, _where_to_from):
            arrived = list(some)
            context = self.contexts.get(arrived[0].task.context)
            if context is None:
                continue
            inbox.put(arrived)
            self.delivered_to[inbox] = context
            max_failures = context.options.max_failures
            if max_failures:
                failed = (one for one in arrived if one.outcome.kind in FAILURES)
                missing = max_failures - len(context.failures)
                context.failures.extend(islice(failed, missing))
            record = self.fleet.records.get(slave)
            if record is not None:  # else the tasks needed none
                record.tasks_done += sum(one.outcome.kind in _DONE for one in arrived)
            if self._witness is not None:
                self._witness.tell_delivered(arrived)

    def _stop_reading(self, context: ServedContext) -> None:
        context.is_stopped = True
        for inbox in context.inboxes:
            inbox.stop()
            self.delivered_to[inbox] = context
        if self._witness is not None:
            self._witness.tell_forgotten(context.id)


def _as_sent(task: Task, kept: set[tuple[int, int]]) -> list[Segment]:
    """Return a task's segments, with the numbers of the large parts that its runner keeps."""
    segments: list[Segment] = []
    for segment in task.payload:
        if type(segment) is not LargePart:
            segments.append(segment)
        elif (task.context, segment.number) in kept:
            segments.append(heads.reference_to(segment.number))
        else:  # it has no number, or had none when the task was given to this slave
            segments.append(segment.content)
    return segments


def _follow_each_other(first: Task, last: Task, count: int) -> bool:
    """Whether fresh tasks have numbers that follow each other, without a look at each.

    Numbers and ids grow in the order of adding. If the numbers of the first and the last task are
    as far apart as there are tasks, and their ids too, then no task of another inbox is between.
    """
    return (
        last.inbox is first.inbox
        and last.number - first.number == count - 1
        and last.id - first.id == count - 1
    )


def _places_of(tasks: list[Task]) -> list[heads.TaskPlace]:
    """Return the place of each task among those of its context."""
    return [heads.TaskPlace(task.inbox.map, task.number, task.attempt) for task in tasks]


def _alike(tasks: list[Task]) -> Iterator[tuple[int, int]]:
    """Yield from where to where tasks can travel in one message.

    Many tasks may refer to many large parts that their runner keeps, which costs few bytes.
    """
    begin, segments = 0, 0
    bundle = tasks[0].bundle
    for at, task in enumerate(tasks):
        segments += len(task.payload)
        if task.bundle != bundle or segments > protocol.SEGMENT_COUNT_LIMIT:
            yield begin, at
            begin, bundle, segments = at, task.bundle, len(task.payload)
    yield begin, len(tasks)
