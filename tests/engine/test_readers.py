"""What becomes of readers when the engine has ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from imp_parallel_core import ClosedError
from imp_parallel_core._engine.readers import Readers


class Inbox:
    """An inbox that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def close(self, error: object) -> None:
        self.told.append(error)

    def wait(self, waiter: object) -> bool:
        self.told.append(waiter)
        return False


@pytest.mark.parametrize("are_left", [True, False])
def test_a_thread_that_comes_to_read_after_the_end_is_told_so_unless_the_interpreter_ends(
    are_left: bool,
) -> None:
    performer: Any = SimpleNamespace(perform=None, contexts={}, delivered_to={})
    unused: Any = None
    readers = Readers(unused, performer, unused)
    error = ClosedError("closed")
    readers.end(error, leaves_them=are_left)
    inbox: Any = Inbox()
    context: Any = SimpleNamespace(id=1, inboxes=set(), superseded=[])
    readers.inbox_opened(context, inbox)
    if are_left:
        readers.wait(context, inbox, unused)
    assert inbox.told == ([] if are_left else [error])
