"""The Manager, where a script begins.

The rooms of the package, in the processes and threads that they work in:

    the master: the script's process                         a slave: two processes
    ┌────────────────────────────────────────────┐           ┌───────────────────────────┐
    │ user's threads    _commands                │           │ runner       _slave       │
    │                    ↓                       │           │               ↑    _code  │
    │                   _api ────> _definitions  │           │               │           │
    │                    │ ↑       _code         │           │               │           │
    │              tasks │ │ outcomes            │           │               │ _wire     │
    ├────────────────────│─│─────────────────────┤           ├───────────────│───────────┤
    │                    ↓ │                     │           │               ↓           │
    │ engine's thread   _engine <───> _scheduler │           │ supervisor   _slave       │
    │                    │ ↑                     │           │               ↑           │
    │                    ↓ │                     │           │               │           │
    │                   _fleet <─────────────────── _wire ───────────────────┘           │
    │                    │ ↑                     │           └───────────────────────────┘
    ├────────────────────│─│─────────────────────┤                      ↑
    │                    ↓ │                     │                      │
    │ a thread for      _launch ───> _plugins ───── starts the slave ───┘
    │ each launch                                │
    └────────────────────────────────────────────┘

The user's threads pickle and unpickle; the engine's thread moves bytes; the scheduler is pure.
Slaves are launched by plugins, each launch in a thread of its own. The docstring of each room says
what the room is for, who calls it, and in which order to read it.
"""

from __future__ import annotations

import itertools
import sys
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from .._definitions.import_path import ImportPath, absolute_path
from .._engine.engine import Engine
from .._fleet.state import Timeouts
from .._plugins.output_files import OutputFiles
from .._plugins.registry import Plugins
from .._plugins.slaves import Slave
from .._plugins.transports import Transports
from .._scheduler.policy import Policy
from .slave_records import SlaveRecords, outputs_of

if TYPE_CHECKING:
    from .._fleet.info import SlaveInfo
    from .context import Context
    from .executor import Executor
    from .live_output import LiveOutput
    from .output_lines import OutputLine


class Manager:
    """Owns the slaves, and spreads the tasks of its contexts over them.

    Use it in a ``with`` statement, or call :meth:`close`; at the end of the script, however it
    comes, its slaves end too.

    Args:
        python: what starts Python on a slave: a path, or a line for a shell, such as ``"module
            load imp; imppy.sh python"``. By default this process's own Python.
        host: the only address or name at which slaves reach this master over a network; by default
            they try all that it has.
        output: where the output of each slave goes: a path with ``%d`` for the slave's number;
            None for nowhere. Never a file that another run is writing, nor one that is not the
            user's: then ``-run2`` is added to the name, and a warning says so. ``"-"`` prints what
            slaves print where the script prints, line by line, with the numbers of slave and task.
            A function is given each line, an OutputLine, in a thread of its own.
        port: the only port at which slaves reach this master over a network, or a range to choose
            from; by default any that is free.
        max_relaunches: how often a slave is launched again that ran and was lost. The count begins
            anew when it has ended a task a minute or more after it was launched again.
        credit: how many results of a context may wait to be read before no further task is
            started; those that wait take at most 256 MiB or so.
        plugins: plugins to use besides those that are installed.

    Raises TypeError or ValueError for a bad ``output`` or bound, PluginError for a plugin that
    breaks the contract, LaunchError if the script's working directory has been removed; and Error
    on a slave, while it imports the module that makes the Manager, and in a free-threaded Python.
    """

    connect_timeout: float = 120.0
    """How long a slave may run, in seconds, before it has connected. A class or instance may set
    it; it holds for the slaves that are added then."""

    heartbeat_timeout: float = 30.0
    """How long a slave may be silent, in seconds, before its tasks may begin elsewhere, likewise.
    A slave answers also while a task holds the interpreter lock."""

    reconnect_timeout: float = 60.0
    """How long a slave whose connection has broken tries to come back, in seconds, likewise.
    After this and ``heartbeat_timeout`` the slave is given up."""

    surplus_timeout: float = 30.0
    """How long more slaves may wait in a batch system's queue than there are tasks without an
    outcome, while results are being read, in seconds, likewise. Then the surplus slaves are taken
    out of the queue. ``float("inf")`` keeps them, for tasks that will be added later."""

    def __init__(
        self,
        python: str | None = None,
        host: str | None = None,
        output: str | Callable[[OutputLine], object] | None = "slave%d.output",
        *,
        port: int | range | None = None,
        max_relaunches: int = 3,
        credit: int = 10_000,
        plugins: Iterable[Any] = (),
    ) -> None:
        if "imp_parallel_core._slave.runner" in sys.modules:  # this process is a slave's
            from .nesting import check_no_slave_imports_this

            check_no_slave_imports_this()
        if not getattr(sys, "_is_gil_enabled", lambda: True)():  # new in Python 3.13
            from .nesting import refuse_to_run_without_a_lock

            refuse_to_run_without_a_lock()
        if max_relaunches < 0 or credit < 1:
            raise ValueError("max_relaunches must be at least 0, credit at least 1")
        if python is not None and not isinstance(python, str):
            raise TypeError(f"python={python!r}: it must be a path or a line for a shell, as text")
        outputs = outputs_of(output)
        policy = Policy(max_relaunches=max_relaunches, credit_outcomes=credit)
        self._plugins = Plugins(plugins)
        self._engine = Engine(self._plugins, policy)
        self._transports = Transports(self._plugins, host, port, self._engine.accept)
        self._records = SlaveRecords(python, outputs, self._transports)
        self._first_path = absolute_path()  # slaves hear of later changes through contexts
        self._context_numbers = itertools.count(1)
        self._announces = not isinstance(outputs, OutputFiles)  # for the task of each line
        self._finalizer = weakref.finalize(self, _end, self._engine, self._transports, outputs)

    def add_slave(self, slave: Slave) -> None:
        """Add a slave or an array of slaves, and begin to launch it. May be called at any time.

        The slave keeps the working directory, ``sys.path`` and ``sys.argv`` that the script has now
        (a local slave also the environment), also when it is launched again.

        Args:
            slave: its description, such as ``LocalSlave()``.

        Raises:
            TypeError: it is no description of slaves; or its ``threads``, ``environment`` or
                ``via`` is of a wrong type.
            ValueError: it is an array without a slave; or its ``threads`` or ``environment`` can't
                be used.
            LaunchError: it is known at once that the slave can't be launched; or its output file
                can't be written.
            ClosedError: the Manager has been closed.
        """
        self._engine.ending.check()
        if not isinstance(slave, Slave):
            raise TypeError(f"{slave!r} describes no slave (such as LocalSlave() does)")
        if slave.via is not None:
            from ..arguments import checked_host  # few slaves are launched through a host

            checked_host(slave, "via", slave.via)
        self._plugins.check(slave)
        timeouts = Timeouts(
            self.heartbeat_timeout,
            self.connect_timeout,
            self.reconnect_timeout,
            self.surplus_timeout,
        )
        self._engine.launch(self._records.make(slave, timeouts))

    def get_context(
        self,
        startup: Callable[[], Any] | None = None,
        *,
        task_timeout_s: float | None = None,
        setup_timeout_s: float | None = None,
        task_memory_bytes: float | None = None,
        max_attempts: int = 3,
        max_failures: int | None = None,
        max_tasks_per_runner: int | None = None,
        seed: int | None = None,
        name: str | None = None,
    ) -> Context:
        """Return a new context: tasks that share one set-up.

        Args:
            startup: the set-up, called once on each slave before its first task of this context.
                The tasks get the value that it returns: a tuple or a list is spread over their
                first arguments, None is no argument, and anything else is one argument (return a
                list that is to be one argument in a tuple: ``return values,``). The value stays on
                the slave and need not be picklable.
            task_timeout_s: how long a task may take, from its own start; it is killed then, which
                counts as a failed attempt. By default there is no limit.
            setup_timeout_s: likewise for the set-up.
            task_memory_bytes: how much memory the process that runs a task may hold, with all
                processes that descend from it, in bytes (resident; what several of them share
                counts once). A task that holds more is ended. If it was the first one in its
                process, its outcome is a TaskMemoryError; otherwise what earlier tasks have left
                may be to blame, and it is tried once more. What the set-up keeps counts, and a
                set-up that holds more fails on that slave. The memory is looked at a few times in a
                second, and more often near the limit. By default there is no limit. It is seen to
                on Linux only.
            max_attempts: how often a task may end its runner before it is given up. A slave on
                which the set-up raises or ends its runner does not try it again, unless it has
                managed it before: then it tries so often in a row, each time in a new process. When
                the set-up has failed on so many slaves and no slave has managed it, or on all that
                there are, the context's tasks get SetupError. A slave that is lost in the set-up
                may try again if it is launched again; such losses count only as long as no slave
                has managed the set-up, or if the same slave is lost so often.
            max_failures: when so many tasks of the context have failed (raised an exception, or
                been given up), the rest is ended: tasks that wait are forgotten, and those that run
                are ended. Who reads gets what has come, and then a TooManyFailuresError, which
                holds their errors. ``Context.clear`` begins anew. By default any number may fail.
            max_tasks_per_runner: for tasks that leak memory or leave other things behind: when the
                process that runs a slave's tasks has run so many, it exits, and a new one takes its
                place, which runs the set-up again. That takes some 0.1 s and the set-up's time. By
                default a process runs any number of tasks.
            seed: an int of 0 or more that random numbers come from. Before each task, Python's
                ``random`` and numpy's legacy generator (``numpy.random.random()`` …) are seeded
                from this seed and the task's number, so the numbers that it draws depend neither on
                the slave, nor on the number of slaves, the attempt or what ran before. The set-up
                draws numbers of its own, the same on each slave. Make other generators from
                ``current_task().seed``. Without a seed, each process draws other numbers.
            name: what progress bars, records and the like call the context. By default it is the
                qualified name of the set-up, or, if there is none, of the first task's function or
                class.

        Raises:
            TypeError, ValueError: for bad arguments.
            PicklingError: something in the set-up can't be pickled.
            ClosedError: the Manager has been closed.
        """
        from .context import Context  # takes a while, in which slaves can start already
        from .context_options import checked_options
        from .open_context import OpenContext

        self._engine.ending.check()
        if startup is not None and not callable(startup):
            raise TypeError(f"a set-up must be callable, and {startup!r} is not")
        options = checked_options(
            task_timeout_s=task_timeout_s,
            setup_timeout_s=setup_timeout_s,
            task_memory_bytes=task_memory_bytes,
            max_attempts=max_attempts,
            max_failures=max_failures,
            max_tasks_per_runner=max_tasks_per_runner,
            seed=seed,
        )
        opened = OpenContext(
            self,
            self._engine,
            next(self._context_numbers),
            startup,
            options,
            name=name,
            import_path=ImportPath(self._first_path),
            announces=self._announces,
        )
        return Context(opened)

    def get_executor(self, startup: Callable[[], Any] | None = None, **options: Any) -> Executor:
        """Return a new ``concurrent.futures.Executor``, which calls functions on the slaves.

        Its futures are those of ``concurrent.futures``: ``as_completed``, ``asyncio`` and libraries
        that take an executor can use them. Add slaves before calls are submitted: while there is
        none, futures get a NoMoreSlavesError.

        Args:
            startup: the set-up, as for :meth:`get_context`. Its values come first among the
                arguments of each call.
            options: those of :meth:`get_context`.

        Raises what :meth:`get_context` raises.
        """
        from .executor import Executor

        return Executor(self.get_context(startup, **options)._open)

    @property
    def slaves(self) -> list[SlaveInfo]:
        """What each slave is doing now: a list, which prints as a table, also in a notebook.

        Once the Manager has been closed, all have gone. Raises ClosedError in a forked child.
        """
        if self._engine.ending.words not in ("", "closed"):
            self._engine.ending.check()
        return self._engine.slaves()

    def close(self) -> None:
        """End all slaves, and wait until they have gone (some seconds at most).

        With ``output="-"`` or a function, this also waits for what slaves have printed to be shown:
        up to 30 s, and no longer than 2 s for one line. A warning says how much is not shown then.

        May be called twice, and from any thread; whoever waits for results gets a ClosedError.
        """
        finalizer = self._finalizer.detach()
        if finalizer is not None:
            _, _, parts, _ = finalizer
            _close(*parts)

    def __enter__(self) -> Manager:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        from .nesting import refuse_to_be_pickled

        refuse_to_be_pickled(self)

    def __repr__(self) -> str:
        engine = getattr(self, "_engine", None)  # a debugger may ask before there is one
        if engine is None:
            return "<Manager, not made yet>"
        slaves = [] if engine.ending.words else engine.slaves()
        if engine.ending.words:  # perhaps by now
            return f"<Manager, {engine.ending.words}>"
        if not slaves:
            return "<Manager of 0 slaves>"
        from .._fleet.slave_table import counted

        return f"<Manager of {len(slaves)} slave{'s'[: len(slaves) > 1]}: {counted(slaves)}>"


def _end(engine: Engine, transports: Transports, outputs: OutputFiles | LiveOutput) -> None:
    """Close the parts of a Manager that is forgotten, or that the interpreter's end finds open."""
    engine.ending.leaves_readers = True
    _close(engine, transports, outputs)


def _close(engine: Engine, transports: Transports, outputs: OutputFiles | LiveOutput) -> None:
    try:
        transports.close()  # first: a slave whose stream ends must not find anybody any more
    finally:
        try:
            engine.close()
        finally:
            outputs.close()
