"""The error of a task that was cancelled.

It is apart from the other errors since ``concurrent.futures`` takes long to import.
"""

from __future__ import annotations

import concurrent.futures

from ._errors import name_as_imported
from ._task_errors import TaskError


class CancelledError(TaskError, concurrent.futures.CancelledError):
    """A task was cancelled by ``Context.cancel`` before it had another outcome.

    Attributes:
        task: a copy of the task, as of a :class:`RemoteError`.
        number: as of a :class:`RemoteError`.
        args_of_task: as of a :class:`RemoteError`.
    """

    _explained_by = ("task-cancelled",)


name_as_imported(globals())
