"""The errors of tasks. They are imported when a task has failed, which most runs never see."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ._errors import Error, name_as_imported
from ._light_typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import os
    from typing import TypedDict, Unpack

    from ._printed import Attempt

    class _OfTask(TypedDict, total=False):
        """What each of these errors can be given about its task, as :class:`TaskError` says."""

        task: Any
        rebuild_task: Callable[[], Any] | None
        number: int | None
        args_of_task: Sequence[str]


class TaskError(Error):
    """The error of one task.

    Args:
        message: what it says.
        task: the task, as it was given to the constructor.
        rebuild_task: returns a copy of the task instead, each time that it is asked for.
        number: the task's number in its context.
        args_of_task: a short ``repr`` of each of its arguments.
    """

    def __init__(
        self,
        message: str,
        task: Any = None,
        rebuild_task: Callable[[], Any] | None = None,
        number: int | None = None,
        args_of_task: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self._task = task
        self._rebuild_task = rebuild_task
        self.number = number
        self.args_of_task = tuple(args_of_task)
        self._make_call: Callable[[], Any] | None = None

    @property
    def task(self) -> Any:
        """A copy of the task, or None if it can't be rebuilt.

        It is made each time that it is asked for, also when the context or the Manager has been
        closed: a copy may be large, and errors may be many. The error holds what was sent.
        """
        return self._task if self._rebuild_task is None else self._rebuild_task()

    @task.setter
    def task(self, task: Any) -> None:
        self._task, self._rebuild_task, self._make_call = task, None, None

    def rerun(self) -> Any:
        """Run the task's set-up and the task again, in this process and thread.

        It is for a debugger or a profiler: ``pdb.runcall(error.rerun)``, ``%debug`` after a cell
        with ``error.rerun()``, ``%prun error.rerun()``. What the script has defined at its top is
        the script's own; closures and arguments are copies. If the context has a seed, ``random``
        and numpy's legacy generator are seeded as they were for the task.

        Return what the task returns. Raises what the set-up or the task raises, and Error if this
        error has been pickled, since then it does not hold what the task was called with.
        """
        return self._call().run()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the task, with its set-up and all that it was called with, to be run again later.

        ``imp-parallel rerun PATH`` runs the task, on this or another machine with the same modules.
        The file is a pickle for you alone: its mode is 0600, and a pickle may run any code when it
        is opened. A file of that name is replaced.

        Raises PicklingError if something can't be saved, OSError, and Error as :meth:`rerun`.
        """
        self._call().save(path)

    def _call(self) -> Any:
        if self._make_call is None:
            raise Error(
                "this error does not hold what its task was called with, since it has been pickled "
                "or its task was set: save() keeps all of that, if it is called before"
            )
        return self._make_call()

    def __reduce__(self) -> tuple[Any, ...]:
        """Take the error apart with a copy of its task, or without one that can't be pickled."""
        return type(self), self.args, self._state()

    def __copy__(self) -> TaskError:
        """Return a copy that holds the same parts; no part need be pickled for that."""
        made = type(self).__new__(type(self), *self.args)
        made.args = self.args
        made.__dict__.update(self.__dict__)
        return made

    def _state(self) -> dict[str, Any]:
        from ._carried import carried  # few scripts pickle errors

        task, _ = carried(self.task)
        return {**self.__dict__, "_task": task, "_rebuild_task": None, "_make_call": None}


class RemoteError(TaskError):
    """A task raised an exception on its slave. The slave goes on with other tasks.

    Attributes:
        exc: the original exception (also ``__cause__``), or None if it can't be rebuilt here.
        exc_problem: why ``exc`` is None; empty otherwise, and when no exception was raised.
        exc_type: the name of the exception's class, with its module.
        exc_args: a short ``repr`` of each of the exception's arguments (of an exception group: its
            message, its exceptions), 100 at most.
        exc_notes: its notes (``__notes__``), 100 at most of 2,000 characters at most.
        traceback: the full traceback on the slave, as text, with the tracebacks of its causes and
            of the exceptions in a group.
        output: the last lines that this attempt, and no other, wrote to its standard output and
            standard error, prints of C code included: 8 KiB at most, made printable.
        slave: the name of the slave that ran the task.
        host: the name of that slave's machine.
        task: a copy of the task, or None if it can't be rebuilt. It is made each time that it is
            asked for.
        number: the task's number in its context, from 0 in the order of adding; for a call of
            ``Context.map`` its number in that.
        args_of_task: a short ``repr`` of each argument that was added with the task, those by name
            as ``name=repr``; for ``map``,
            of each item.
    """

    _explained_by = ("task-raised",)

    def __init__(
        self,
        message: str,
        *,
        exc: BaseException | None = None,
        traceback: str = "",
        slave: str = "",
        host: str = "",
        exc_type: str = "",
        exc_args: Sequence[str] = (),
        exc_notes: Sequence[str] = (),
        exc_problem: str = "",
        output: str = "",
        **of_task: Unpack[_OfTask],
    ) -> None:
        super().__init__(message, **of_task)
        self.exc = exc
        self.exc_type = exc_type
        self.exc_args = tuple(exc_args)
        self.exc_notes = tuple(exc_notes)
        self.exc_problem = exc_problem
        self.traceback = traceback
        self.output = output
        self.slave = slave
        self.host = host

    def _state(self) -> dict[str, Any]:
        from ._carried import carried

        state = super()._state()
        state["exc"], problem = carried(self.exc)
        if problem:
            state["exc_problem"] = f"it can't be pickled with its error: {problem}"
        return state

    @property
    def worker(self) -> str:
        """The name of the slave. Newer scripts for IMP.parallel use this name."""
        return self.slave


class SetupError(RemoteError):
    """A context's set-up raised, hung or died on as many slaves as it may, and succeeded on none.

    Each task of the context ends with this error; other contexts go on.
    """

    _explained_by = ("setup-failed",)


class TaskLostError(TaskError):
    """A task ended its runner in each of its attempts, and was given up.

    Attributes:
        attempts: one sentence for each attempt, in order: its slave, and how it ended. Each has
            also an ``output`` of its own, as a :class:`RemoteError`.
        task: a copy of the task, as of a :class:`RemoteError`.
        number: as of a :class:`RemoteError`.
        args_of_task: as of a :class:`RemoteError`.
    """

    _explained_by = ("task-given-up",)

    def __init__(
        self,
        message: str,
        *,
        attempts: Sequence[Attempt] = (),
        **of_task: Unpack[_OfTask],
    ) -> None:
        super().__init__(message, **of_task)
        self.attempts = tuple(attempts)


class TaskMemoryError(TaskError):
    """A task held more memory than its context's ``task_memory_bytes``, and was ended for that.

    It is tried once more if other tasks had run in its process, since what they have left may be to
    blame; not otherwise. The slave goes on with a new process.

    Attributes:
        peak_memory_bytes: how much memory its process held with its children when it was ended.
        limit_bytes: the context's ``task_memory_bytes``.
        output: what it has printed, as of a :class:`RemoteError`.
        slave: the name of the slave that ran the task.
        host: the name of that slave's machine.
        task: a copy of the task, as of a :class:`RemoteError`.
        number: as of a :class:`RemoteError`.
        args_of_task: as of a :class:`RemoteError`.
    """

    _explained_by = ("too-much-memory",)

    def __init__(
        self,
        message: str,
        *,
        peak_memory_bytes: int = 0,
        limit_bytes: int = 0,
        output: str = "",
        slave: str = "",
        host: str = "",
        **of_task: Unpack[_OfTask],
    ) -> None:
        super().__init__(message, **of_task)
        self.peak_memory_bytes = peak_memory_bytes
        self.limit_bytes = limit_bytes
        self.output = output
        self.slave = slave
        self.host = host


class TooManyFailuresError(Error):
    """As many tasks of a context have failed as its ``max_failures`` says. The rest has been ended.

    Attributes:
        errors: the error of each of them, in the order in which they failed.
    """

    _explained_by = ("too-many-failures",)

    def __init__(self, message: str, *, errors: Sequence[TaskError] = ()) -> None:
        super().__init__(message)
        self.errors = tuple(errors)


name_as_imported(globals(), but="TaskError")
