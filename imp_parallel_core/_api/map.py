"""The iterator of ``Context.map``: adds a task for the next items whenever results are read.

A Ctrl-C may strike anywhere, and the iteration may go on afterwards. So the Map keeps each item
from the moment in which it is taken from its row until its task has been posted to the engine, and
does again whatever was interrupted in between; a task that has a number has been added. If a task
takes an item of each of several rows, the items that belong together stay together.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, NoReturn

from .._definitions.large_parts import LargePart
from .._errors import ClosedError, PicklingError

if TYPE_CHECKING:
    from .._scheduler.tasks import Task
    from .open_context import OpenContext


_AHEAD_BYTES = 1 << 26
_FOR_EACH_SLAVE = 2  # items that are taken up however large they are: one runs, one is sent


class _UnderWay:
    """The tasks whose results have not been read. A Ctrl-C leaves no change half made."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._sizes: dict[Task, int] = {}
        self.size_bytes = 0
        """The size of the pickled tasks."""

    def __len__(self) -> int:
        return len(self._sizes)

    def add(self, task: Task) -> None:
        """Count a task."""
        size_bytes = sum(map(_counted_once, task.payload))
        with self._lock:  # no call between the two, so no Ctrl-C
            self._sizes[task] = size_bytes
            self.size_bytes += size_bytes

    def discard(self, task: Task) -> None:
        """Count a task no more, if it is counted."""
        with self._lock:
            size_bytes = self._sizes.get(task)
            if size_bytes is not None:  # likewise
                self.size_bytes -= size_bytes
                del self._sizes[task]


def _counted_once(segment: Any) -> int:
    """Return how many bytes a segment of a task adds to those that are on their way."""
    if type(segment) is LargePart:
        if segment.is_counted:
            return 0
        segment.is_counted = True
    return len(segment)


class Map(Iterator[Any]):
    """The results of ``Context.map`` or ``Context.map_unordered``, which return it.

    It is an iterator. Its tasks are apart from others of the context.
    """

    # Args:
    #     context: whose tasks they are.
    #     function: what is called with an item of each row.
    #     rows: where the items come from.
    #     in_order: whether results keep the order of the items.
    #     returns_errors: whether an error is a result like others.
    #     ahead: how many items may be on their way; fewer if they are large.
    def __init__(
        self,
        context: OpenContext,
        function: Callable[..., Any],
        rows: tuple[Iterator[Any], ...],
        *,
        in_order: bool,
        returns_errors: bool,
        ahead: int,
    ) -> None:
        self._context = context
        self._inbox, forget = context.requests.open_map_inbox()
        self._function = function
        self._rows: tuple[Iterator[Any], ...] | None = rows
        self._width = len(rows)
        self._in_order = in_order
        self._returns_errors = returns_errors
        self._ahead = ahead
        self._under_way = _UnderWay()
        self._taking_up = RLock()  # threads may share a row; the row may come back to here
        self._items: deque[Any] = deque()  # those of the next task, as far as they are taken
        self._turns = 0  # how often it was begun to collect them
        self._task: Task | None = None  # made of it, and perhaps posted already
        self._problem: Exception | None = None  # of the items; raised behind the last result
        self._is_closed = False
        self._finalizer = weakref.finalize(self, forget)
        self._finalizer.atexit = False  # the Manager ends everything then

    def __next__(self) -> Any:
        """Return the next result. While none has arrived, add tasks for as many items as may be.

        After an error of a task it may be called again, for the results of the others.
        """
        inbox = self._inbox
        while not self._is_closed:
            waits = not self._may_take_up()
            try:
                opened = self._context.results.take_next(
                    inbox, in_order=self._in_order, waits=waits
                )
            except ClosedError:
                if self._finalizer.alive:
                    raise
                break  # another thread has called close()
            if opened is None:
                if waits:
                    self._end_unless_there_are_items()
                else:
                    self._take_up_items()
                continue
            delivery, value, failure = opened
            inbox.note_read(delivery)
            self._under_way.discard(delivery.task)
            # claim() removes the result in one step; a Ctrl-C before leaves it in the inbox
            if inbox.claim(delivery.task.number, None) is None:
                inbox.unnote_read(delivery)  # another thread was faster
                continue
            if failure is not None and not self._returns_errors:
                raise failure
            return value
        raise StopIteration

    def _end_unless_there_are_items(self) -> None:
        """All results have been read: end the iteration, or go on."""
        if self._rows is None:
            problem, self._problem = self._problem, None
            raise StopIteration if problem is None else problem

    def __reduce__(self) -> NoReturn:
        from .nesting import refuse_to_be_pickled

        refuse_to_be_pickled(self)

    def close(self) -> None:
        """End the iteration, and forget its tasks that have not begun. May be called twice.

        This happens by itself when the iterator is no longer referred to. Tasks that run come to
        their end.
        """
        self._is_closed = True
        self._rows = None
        self._finalizer()
        self._under_way = _UnderWay()

    def _may_take_up(self) -> bool:
        if self._items:  # a Ctrl-C came between
            return True
        under_way = len(self._under_way)
        if self._rows is None or under_way >= self._ahead:
            return False
        if self._under_way.size_bytes < _AHEAD_BYTES:
            return True
        return under_way < _FOR_EACH_SLAVE * max(1, self._context.count_slaves())

    def _take_up_items(self) -> None:
        """Add a task for the next items, or for those with which a Ctrl-C interrupted this."""
        with self._taking_up:
            if self._task is not None:
                if self._task.number < 0:  # else it was added before the Ctrl-C came
                    self._context.add(self._task)
            elif self._take_items():
                self._task = self._make_task()
                self._under_way.add(self._task)
                self._context.add(self._task)
            self._begin_anew()

    def _take_items(self) -> bool:
        """Have an item of each row in ``_items``; return whether there is one of each."""
        rows = self._rows
        while (taken := len(self._items)) < self._width and rows is not None:
            turn = self._turns
            try:
                self._items.extend(islice(rows[taken], 1))  # taken and kept: one step
            except Exception as problem:  # the user's
                self._problem = problem
            if self._turns != turn and self._width > 1:
                # asking the row for an item has sent other tasks, which have taken these items
                self._problem = RuntimeError(
                    "a row of items asked for results while the items of a task were collected "
                    "from several rows: give one row, or ahead=1"
                )
                self._items.clear()
                taken = 0
            if len(self._items) == taken:
                self._rows = rows = None
        return len(self._items) == self._width

    def _make_task(self) -> Task:
        try:
            return self._context.make_task(self._inbox, self._function, tuple(self._items))
        except PicklingError:
            self._begin_anew()
            raise

    def _begin_anew(self) -> None:
        self._turns += 1
        self._items.clear()
        self._task = None
