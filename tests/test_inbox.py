"""What was read is counted once, whichever reader was faster."""

from __future__ import annotations

from imp_parallel_core._actions import Deliver, Outcome, OutcomeKind, Task
from imp_parallel_core._inbox import Inbox


def nothing(*_: object) -> None:
    """Stand in for the engine."""


def test_of_two_readers_with_the_same_delivery_one_claims_it_and_it_is_counted_once() -> None:
    inbox = Inbox(ask=nothing, nudge=nothing, check=nothing)
    (number,) = inbox.next_numbers(1)
    task = Task(1, (), id=number)
    inbox.put([Deliver(task, Outcome(OutcomeKind.VALUE, (b"value",), 0, 5))])
    delivery = inbox.take()
    assert delivery is not None
    inbox.give_back(delivery)
    assert inbox.take() == delivery
    claimed = []
    for _ in range(2):
        inbox.note_read(delivery)
        if inbox.claim(delivery.task.id, None) is None:
            inbox.unnote_read(delivery)
        else:
            claimed.append(delivery)
    assert claimed == [delivery]
    assert inbox.count_read() == (1, 5)
    assert inbox.count_read() == (0, 0)
