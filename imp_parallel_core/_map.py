"""A long or endless row of tasks, taken up as their results are read."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._context import Context
    from ._inbox import Inbox


class Map(Iterator[Any]):
    """The results of ``Context.map``. Its tasks have an inbox of their own.

    Args:
        context: whose tasks they are.
        inbox: where their outcomes arrive.
        forget: called when nobody is left to read them.
        function: what is called with each item.
        items: where the items come from.
        in_order: whether results keep the order of the items.
        returns_errors: whether an error is a result like others.
        ahead: how many items may be on their way.
    """

    def __init__(
        self,
        context: Context,
        inbox: Inbox,
        forget: Callable[[], None],
        function: Callable[..., Any],
        items: Iterator[Any],
        *,
        in_order: bool,
        returns_errors: bool,
        ahead: int,
    ) -> None:
        self._context = context
        self._inbox = inbox
        self._function = function
        self._items: Iterator[Any] | None = items
        self._in_order = in_order
        self._returns_errors = returns_errors
        self._ahead = ahead
        self._under_way = 0
        self._problem: Exception | None = None  # of the items; raised behind the last result
        self._finalizer = weakref.finalize(self, forget)
        self._finalizer.atexit = False  # the Manager ends everything then

    def __next__(self) -> Any:
        """Return the next result; before, take up items as far as that may be.

        After an error of a task it may be called again, for the others' results.
        """
        inbox = self._inbox
        while True:
            waits = self._items is None or self._under_way >= self._ahead
            if not waits:
                self._take_up_item()
            opened = self._context.open_next(inbox, in_order=self._in_order, waits=waits)
            if opened is None:
                if waits:
                    self._end_unless_there_are_items()
                continue
            delivery, value, failure = opened
            inbox.note_read(delivery)
            self._under_way -= 1
            # from here to the user it is one step: a Ctrl-C before it loses nothing
            if inbox.claim(delivery.task.number, None) is None:
                inbox.unnote_read(delivery)  # another thread was faster
                self._under_way += 1
                continue
            if failure is not None and not self._returns_errors:
                raise failure
            return value

    def _end_unless_there_are_items(self) -> None:
        """All results have been read: end the iteration, or go on."""
        self._under_way = 0
        if self._items is None:
            problem, self._problem = self._problem, None
            raise StopIteration if problem is None else problem

    def close(self) -> None:
        """Take up no more items, and forget the tasks of those that were; may be called twice.

        Done by itself when the iterator is no longer referred to. Tasks that run come to their end.
        """
        self._items = None
        self._finalizer()

    def _take_up_item(self) -> None:
        if self._items is None:
            return
        try:
            item = next(self._items)
        except StopIteration:
            self._items = None
        except Exception as problem:  # the user's
            self._items = None
            self._problem = problem
        else:
            self._context.add_to(self._inbox, self._function, (item,))
            self._under_way += 1
