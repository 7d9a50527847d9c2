"""A call that says in the slave's output that it begins, for a master that shows the output.

Only scripts that ask for that (``Manager(output="-")``) send such calls. A mark is a line of its
own that the master takes out again, so it knows which task has printed the lines that follow.
"""

from __future__ import annotations

import os
from contextlib import suppress

from .._light_typing import TYPE_CHECKING
from .current_task import current_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_MARK = "\x02imp_parallel:%d:%s\x03\n"  # characters at which splitlines() splits nothing


class Announced:
    """Calls a set-up or a task behind a mark. It is the callable that travels in its place.

    Args:
        func: the set-up or the task.
    """

    __slots__ = ("func",)

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func

    def __call__(self, /, *args: Any, **keywords: Any) -> Any:
        """Write the mark, and call the task."""
        _announce()
        return self.func(*args, **keywords)

    def __reduce__(self) -> tuple[Any, ...]:
        return Announced, (self.func,)


def _announce() -> None:
    here = current_task()
    if here is None:
        return
    number = "" if here.number is None else str(here.number)
    with suppress(OSError):
        os.write(1, (_MARK % (here.context, number)).encode())
