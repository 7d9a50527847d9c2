"""One real slave, put through the whole chain: from its launch to its end."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import cloudpickle

from .._api.manager import Manager
from .._errors import Error, NoMoreSlavesError, ResultTimeoutError
from .._plugins.contract import described
from .._plugins.slaves import describe
from .._task_errors import RemoteError, SetupError
from .._threads import VARIABLES
from . import trial_tasks
from .steps import Failed, Status, Step
from .trial_leftovers import Leftovers, is_of_the_end
from .trial_report import (
    connection_text,
    environment_step,
    modules_missing,
    modules_text,
    nothing_has_come,
    states_of,
    submission_step,
    versions_step,
)
from .trial_signs import Onlooker, hearing

if TYPE_CHECKING:
    from .._api.context import Context
    from .._fleet.info import SlaveInfo
    from .._plugins.slaves import Slave

_OUTPUT = "imp-parallel-check%d.output"
_LOOK_S = 0.1
_GRACE_S = 5.0
_MARGIN_S = 3.0  # a launch is asked once in a second how its slaves are
_STARTS = ("launching", "connected")
_ROUND_TRIPS = 20
_ROUND_TRIPS_S = 2.0
_PAYLOAD_BYTES = 1 << 20
_LARGE_PAYLOAD_BYTES = 1 << 24
_FAST_S = 0.2  # a payload that takes less is measured again, with a larger one
_VARIABLES = (*VARIABLES, "PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX")


class Wishes(NamedTuple):
    """What the user wants of a check.

    Attributes:
        limit_s: how long all of it may take, but for the end.
        python: as for Manager.
        host: as for Manager.
        port: as for Manager.
        modules: the names of modules to import in a task.
    """

    limit_s: float = 60.0
    python: str | None = None
    host: str | None = None
    port: int | range | None = None
    modules: Sequence[str] = ()


class Trial:
    """Tries one description of slaves. Of an array, one slave must come.

    Args:
        slaves: the description.
        wishes: what the user wants.
        tell: is told each step as it happens, by one thread at a time.
    """

    def __init__(self, slaves: Slave, wishes: Wishes, tell: Callable[[Step], None]) -> None:
        self._slaves = slaves
        self._wishes = wishes
        self._tell = tell
        self._begun_at = time.monotonic()
        self._lock = threading.Lock()  # of what is told
        self._is_checked = threading.Event()
        self._onlooker = Onlooker(self._note_launch)
        self._leftovers = Leftovers()
        self._infos: Sequence[SlaveInfo] = ()
        self._has_come = False
        self._states = ""
        self._lost: list[str] = []

    def run(self) -> bool:
        """Put the slaves through the chain, and end them; return whether all of it works."""
        cloudpickle.register_pickle_by_value(trial_tasks)
        try:
            with hearing(self._hear):
                return self._run()
        finally:
            cloudpickle.unregister_pickle_by_value(trial_tasks)

    def _run(self) -> bool:
        wishes, succeeded = self._wishes, False
        try:
            manager = Manager(
                wishes.python,
                wishes.host,
                _OUTPUT,
                port=wishes.port,
                max_relaunches=0,
                plugins=[self._onlooker],
            )
        except (Error, ValueError, OSError) as problem:
            self._report(Failed("checked", str(problem)).step)
            return False
        # the error of a slave that is given up has evidence, so it must come before the limit does
        margin_s = max(1.0, min(_MARGIN_S, wishes.limit_s / 4))
        manager.connect_timeout = max(1.0, wishes.limit_s - margin_s)
        manager.surplus_timeout = float("inf")
        try:
            self._go_through(manager)
            succeeded = True
        except Failed as failed:
            self._report(failed.step)
        finally:
            self._leftovers.begin_end()
            manager.close()
        self._leftovers.wait_for(self._onlooker.thread, self._report)  # not after a Ctrl-C
        for text in self._lost if succeeded else ():  # others of an array than the one that came
            self._report(Step("lost", Status.NEWS, text))
        step = self._leftovers.step(removes_output=succeeded)
        self._report(step)
        return succeeded and step.status is Status.OK

    def _go_through(self, manager: Manager) -> None:
        """Go through the chain up to the last task. Raises Failed."""
        self._add(manager)
        with manager.get_context(trial_tasks.set_up) as context:
            found = self._result_of(manager, context, trial_tasks.look_around, _VARIABLES)
            self._look(manager)
            self._ok("versions", *versions_step(found))
            if not found["ran_setup"]:
                raise Failed("task", "the task has not run in the process of its set-up")
            self._ok("task", "a set-up and a task have run, in one process")
            trip_s = self._measure_round_trip(manager, context)
            self._measure_payload(manager, context, trip_s)
            self._ok("environment", *environment_step(found))
            if self._wishes.modules:
                self._import_modules(manager, context, found)

    def _add(self, manager: Manager) -> None:
        try:
            manager.add_slave(self._slaves)
            count = len(self._slaves)
            slaves = "one slave" if count == 1 else f"{count} slaves, of which one must come"
            self._ok("checked", f"{describe(self._slaves)}: {slaves}", {"slaves": count})
        except (Error, TypeError, ValueError, OSError) as problem:
            raise Failed("checked", str(problem)) from problem
        except Exception as problem:  # a fault of a plugin's
            raise Failed("checked", described(problem)) from problem
        finally:
            self._is_checked.set()

    # ---- the links of the chain

    def _measure_round_trip(self, manager: Manager, context: Context) -> float:
        times: list[float] = []
        while len(times) < _ROUND_TRIPS and sum(times) < _ROUND_TRIPS_S:
            begun = time.monotonic()
            self._result_of(manager, context, trial_tasks.do_nothing)
            times.append(time.monotonic() - begun)
        median_s = statistics.median(times)
        text = f"{median_s * 1000:.2f} ms for a task that does nothing (median of {len(times)})"
        self._ok("round trip", text, {"median_s": median_s})
        return median_s

    def _measure_payload(self, manager: Manager, context: Context, trip_s: float) -> None:
        for size in (_PAYLOAD_BYTES, _LARGE_PAYLOAD_BYTES):
            data = os.urandom(size)
            begun = time.monotonic()
            if self._result_of(manager, context, trial_tasks.measure, data) != size:
                raise Failed("payload", "the slave has not got what it was sent")
            turned = time.monotonic()
            if len(self._result_of(manager, context, trial_tasks.make, size)) != size:
                raise Failed("payload", "the master has not got what the slave has sent")
            ended = time.monotonic()
            if ended - begun > _FAST_S:
                break
        there, back = (
            size / 1e6 / max(spent_s - trip_s, 1e-6) for spent_s in (turned - begun, ended - turned)
        )
        text = f"{there:.3g} MB/s there, {back:.3g} MB/s back ({size >> 20} MiB each way)"
        facts = {"bytes": size, "there_bytes_per_s": there * 1e6, "back_bytes_per_s": back * 1e6}
        self._ok("payload", text, facts)

    def _import_modules(self, manager: Manager, context: Context, found: Mapping[str, Any]) -> None:
        imported: dict[str, Any] = {}
        missing: list[str] = []
        for name in self._wishes.modules:
            try:
                imported[name] = self._result_of(manager, context, trial_tasks.import_there, name)
            except Failed as failed:
                missing.append(f"{name}: {failed.step.text}")
        if missing:
            raise modules_missing(missing, found)
        self._ok("modules", modules_text(imported), imported)

    # ---- waiting

    def _result_of(
        self, manager: Manager, context: Context, task: Callable[..., Any], *arguments: Any
    ) -> Any:
        """Run a task; tell what happens to the slaves meanwhile. Raises Failed."""
        context.add_task(task, *arguments)
        while True:
            try:
                for result in context.get_results_unordered(timeout_s=_LOOK_S):
                    return result
            except ResultTimeoutError:
                self._look(manager)
                if self._is_too_late():
                    raise self._too_late() from None
            except NoMoreSlavesError as problem:
                self._look(manager)
                name = "task" if self._has_come else "started"
                step = name if self._onlooker.is_submitted else "submitted"
                raise Failed(step, str(problem)) from problem
            except SetupError as problem:
                raise Failed("task", f"the set-up failed: {problem}") from problem
            except RemoteError as problem:
                raise Failed("task", str(problem)) from problem
            except Error as problem:
                raise Failed("task", str(problem)) from problem

    def _look(self, manager: Manager) -> None:
        """Tell what has changed since the last look."""
        self._tell_submission()
        self._infos = manager.slaves
        self._leftovers.note(self._infos)
        come = next((info for info in self._infos if info.host), None)
        if come is not None and not self._has_come:
            self._has_come = True
            place = {"slave": come.index, "host": come.host, "pid": come.pid}
            self._ok("started", f"{come.name} on {come.host}, process {come.pid}", place)
            how = connection_text(come, self._slaves.via, self._onlooker.addresses)
            self._ok("connected", how, {"address": come.address})
        states = states_of(self._infos)
        if come is None and states and states != self._states:
            self._states = states
            self._report(Step("waits", Status.NEWS, states))

    def _is_too_late(self) -> bool:
        """Return whether the limit is over; a slave that starts is about to be given up then.

        The error of that has evidence which the check has not, so it may come a little later. Only
        a job that waits in a queue is never given up.
        """
        late_s = time.monotonic() - self._begun_at - self._wishes.limit_s
        waits = self._onlooker.has_job and not any(info.state in _STARTS for info in self._infos)
        return late_s > (0.0 if self._has_come or waits else _GRACE_S)

    def _too_late(self) -> Failed:
        if self._has_come:
            limit_s = self._wishes.limit_s
            return Failed("task", f"a task has not ended within the {limit_s:g} s of --limit")
        return nothing_has_come(self._wishes.limit_s, self._infos, self._onlooker)

    # ---- telling

    def _note_launch(self) -> None:
        """Take note that the slaves have been launched, in the launch's thread."""
        self._is_checked.wait()  # this thread may be the faster one
        self._tell_submission()

    def _tell_submission(self) -> None:
        """Tell once that the slaves have been launched, and their job submitted, if they have."""
        onlooker = self._onlooker
        if onlooker.is_newly_submitted():
            self._ok("submitted", *submission_step(onlooker))

    def _ok(self, name: str, text: str, facts: Mapping[str, Any] | None = None) -> None:
        self._report(Step(name, Status.OK, text, facts=facts or {}))

    def _report(self, step: Step) -> None:
        with self._lock:
            self._tell(step._replace(at_s=time.monotonic() - self._begun_at))

    def _hear(self, logger: str, message: str) -> None:
        """Tell a warning of the library's, in whichever thread that comes."""
        if logger == "imp_parallel.waiting":
            pass  # the check itself waits, and has said why
        elif message.startswith("lost "):  # if it matters, the error has all of it
            self._lost.append(message)  # also if those that were lost alike are told at the end
        elif self._leftovers.is_ending or is_of_the_end(message):
            self._leftovers.hear(message)
        else:
            if logger != "imp_parallel.launch":  # which only says that it lasts
                self._onlooker.last_warning = message
            self._report(Step("warning", Status.NEWS, message, facts={"logger": logger}))
