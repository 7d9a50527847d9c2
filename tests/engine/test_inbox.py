"""What was read is counted once, whichever reader was faster, and nothing is passed over."""

from __future__ import annotations

from imp_parallel_core._engine.inbox import Inbox
from imp_parallel_core._scheduler.actions import Deliver
from imp_parallel_core._scheduler.tasks import Outcome, OutcomeKind, Task


def nothing(*_: object) -> None:
    """Stand in for the engine."""


def inbox_with(count: int) -> Inbox:
    """Return an inbox that holds so many outcomes, of 5 bytes each."""
    inbox = Inbox(ask=nothing, nudge=nothing, check=nothing)
    for _ in range(count):
        (task,) = inbox.numbering(Task(1, ()))
        inbox.count_added(1)
        inbox.put([Deliver(task, Outcome(OutcomeKind.VALUE, (b"value",), 0, 5))])
    return inbox


def test_of_two_readers_with_the_same_delivery_one_claims_it_and_it_is_counted_once() -> None:
    inbox = inbox_with(1)
    delivery = inbox.take()
    assert delivery is not None
    inbox.give_back(delivery)
    assert inbox.take() == delivery
    claimed = []
    for _ in range(2):
        inbox.note_read(delivery)
        if inbox.claim(delivery.task.number, None) is None:
            inbox.unnote_read(delivery)
        else:
            claimed.append(delivery)
    assert claimed == [delivery]
    assert inbox.count_read() == (1, 5)
    assert inbox.count_read() == (0, 0)


def test_in_order_what_was_not_claimed_after_all_is_still_the_next() -> None:
    inbox = inbox_with(3)
    numbers = []
    for is_interrupted in (False, True, False, False):
        delivery = inbox.take(in_order=True)
        assert delivery is not None
        inbox.note_read(delivery)
        if not is_interrupted:  # else a Ctrl-C comes just here
            assert inbox.claim(delivery.task.number, None) is delivery
            numbers.append(delivery.task.number)
    assert numbers == [0, 1, 2]
