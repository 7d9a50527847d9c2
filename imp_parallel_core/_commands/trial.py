"""One real slave, put through the whole chain: from its launch to its end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import cloudpickle

from .._errors import Error, NoMoreSlavesError, ResultTimeoutError
from .._plugins.contract import described
from .._plugins.output_files import OUTPUT_ADVICE
from .._plugins.slaves import describe
from .._task_errors import SetupError
from .._threads import VARIABLES
from . import trial_links, trial_tasks
from .plugin_calls import mistake_of, where_in
from .steps import Failed, Status, Step
from .trial_leftovers import Leftovers, is_of_the_end
from .trial_others import Others, is_awaited, is_starting, others_of, others_step
from .trial_report import (
    connection_text,
    environment_step,
    launch_hangs,
    nothing_has_come,
    states_of,
    submission_step,
    versions_step,
)
from .trial_signs import Onlooker, hearing

if TYPE_CHECKING:
    from .._api.context import Context
    from .._api.manager import Manager
    from .._fleet.info import SlaveInfo
    from .._plugins.slaves import Slave
    from .interruptions import Interruptions
    from .plugin_calls import Limit
    from .wishes import Wishes

_OUTPUT_ADVICE = (
    "Check in a folder that can be written to (cd), since a script in this one can't run."
)
_LOOK_S = 0.1
_GRACE_S = 5.0
_JOB_END_S = 20.0  # a command that deletes jobs, and hangs, is killed by then: it has words
_LAUNCH_END_S = 3.0  # nothing is known to be left that outlives this process
_VARIABLES = (*VARIABLES, "PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX")


class Trial:
    """Tries one description of slaves. Of an array, one slave must come, and none may fail.

    Args:
        slaves: the description.
        wishes: what the user wants.
        limit: how long it may take, but for the end.
        interruptions: the signals that end it before.
        tell: is told each step as it happens, by one thread at a time.
        label: what messages call the plugin that brings the slaves.
    """

    def __init__(
        self,
        slaves: Slave,
        wishes: Wishes,
        limit: Limit,
        interruptions: Interruptions,
        tell: Callable[[Step], None],
        label: str,
    ) -> None:
        self._slaves = slaves
        self._wishes = wishes
        self._limit = limit
        self._interruptions = interruptions
        self._tell = tell
        self._label = label
        self._lock = threading.Lock()  # of what is told
        self._is_checked = threading.Event()
        self._onlooker = Onlooker(self._note_launch)
        self._leftovers = Leftovers()
        self._infos: Sequence[SlaveInfo] = ()
        self._has_come = False
        self._states = ""
        self._lost: list[str] = []

    def run(self) -> bool:
        """Put the slaves through the chain, and end them; return whether all of it works.

        Raises Interrupted, when all has ended.
        """
        cloudpickle.register_pickle_by_value(trial_tasks)
        try:
            with hearing(self._hear):
                return self._run()
        finally:
            cloudpickle.unregister_pickle_by_value(trial_tasks)

    def _run(self) -> bool:
        try:
            manager = self._wishes.manager(self._limit.limit_s, self._onlooker)
        except (Error, ValueError, OSError) as problem:
            self._report(Failed("checked", str(problem)).step)
            return False
        others: Others | None = None
        interrupted: BaseException | None = None
        try:
            self._go_through(manager)
            others = self._await_others(manager)
        except Failed as failed:
            self._report(failed.step)
        except (KeyboardInterrupt, OSError) as problem:  # or nobody can be told of anything
            interrupted = problem
        self._interruptions.is_ending = True
        if isinstance(interrupted, KeyboardInterrupt):
            text = f"by {self._interruptions.cause or 'Ctrl-C'}; the slaves are ended now"
            self._report(Step("interrupted", Status.NEWS, text))
        self._end(manager, is_interrupted=interrupted is not None)
        succeeded = others is not None and not others.problems
        if others is not None and len(self._infos) > 1:
            # what has been lost last is told when all ends
            self._report(others_step(others, self._lost))
        step = self._leftovers.step(removes_output=succeeded)
        self._report(step)
        if interrupted is not None:
            raise interrupted
        return succeeded and step.status is Status.OK

    def _end(self, manager: Manager, *, is_interrupted: bool) -> None:
        self._leftovers.begin_end()
        try:
            manager.close()
            limit_s = self._longest_end_s(is_interrupted=is_interrupted)
            self._leftovers.wait_for(self._onlooker.thread, self._report, limit_s)
        except KeyboardInterrupt:  # a second one: there is no waiting for the end
            job = f": job {self._onlooker.job}" if self._onlooker.job else ""
            self._leftovers.hear(
                f"Ctrl-C has interrupted the end, too, so something may be left{job}"
            )

    def _longest_end_s(self, *, is_interrupted: bool) -> float:
        """Return how long to wait for the end of a launch that takes longer than a Manager's."""
        onlooker = self._onlooker
        if onlooker.is_launched and (onlooker.has_job or self._slaves.transport):
            return _JOB_END_S
        return 0.0 if is_interrupted else _LAUNCH_END_S

    def _go_through(self, manager: Manager) -> None:
        """Go through the chain up to the last task. Raises Failed."""
        self._add(manager)
        with manager.get_context(trial_tasks.set_up) as context:
            run = partial(self._result_of, manager, context)
            found = run(trial_tasks.look_around, _VARIABLES)
            self._look(manager)
            self._ok("versions", *versions_step(found))
            if not found["ran_setup"]:
                raise Failed("task", "the task has not run in the process of its set-up")
            self._ok("task", "a set-up and a task have run, in one process")
            text, facts = trial_links.round_trip(run)
            self._ok("round trip", text, facts)
            self._ok("payload", *trial_links.payload(run, facts["median_s"]))
            self._ok("environment", *environment_step(found))
            if self._wishes.modules:
                self._ok("modules", *trial_links.modules(run, self._wishes.modules, found))

    def _add(self, manager: Manager) -> None:
        kind = type(self._slaves)
        try:
            with self._limit.over("checked"):
                manager.add_slave(self._slaves)
                count, text = len(self._slaves), describe(self._slaves)
            slaves = "one slave"
            if count > 1:
                slaves = f"{count} slaves, of which one must come, and none may fail"
            self._ok("checked", f"{text}: {slaves}", {"slaves": count})
        except Failed:
            raise
        except Exception as problem:
            words = mistake_of(problem, kind, self._label)
            if not words and isinstance(problem, (Error, TypeError, ValueError, OSError)):
                words = str(problem).replace(OUTPUT_ADVICE, _OUTPUT_ADVICE)
            raise Failed("checked", words or described(problem)) from problem
        finally:
            self._is_checked.set()

    def _await_others(self, manager: Manager) -> Others:
        """Wait for those slaves of an array that have been started, too, until the limit."""
        self._look(manager)
        while any(map(is_awaited, self._infos)):
            self._interruptions.check()
            grace_s = _GRACE_S if any(map(is_starting, self._infos)) else 0.0
            if time.monotonic() - self._limit.at > grace_s:
                break
            time.sleep(_LOOK_S)
            self._look(manager)
        return others_of(self._infos, self._limit.limit_s)

    # ---- waiting

    def _result_of(
        self, manager: Manager, context: Context, task: Callable[..., Any], *arguments: Any
    ) -> Any:
        """Run a task; tell what happens to the slaves meanwhile. Raises Failed."""
        context.add_task(task, *arguments)
        while True:
            self._interruptions.check()
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

        The error of that has evidence which the check has not, so it may come a little later. A
        slave that waits in a queue, or is suspended, is never given up, nor is a launch that lasts.
        """
        starts = self._onlooker.is_launched and any(map(is_starting, self._infos))
        grace_s = _GRACE_S if starts and not self._has_come else 0.0
        return time.monotonic() - self._limit.at > grace_s

    def _too_late(self) -> Failed:
        limit_s = self._limit.limit_s
        if self._has_come:
            return Failed("task", f"a task has not ended within the {limit_s:g} s of --limit")
        if not self._onlooker.is_launched:
            thread = self._onlooker.thread
            frame = None if thread is None else sys._current_frames().get(thread.ident or 0)
            place = where_in(frame, type(self._slaves))
            return launch_hangs(limit_s, self._infos, self._onlooker, self._label, place)
        return nothing_has_come(limit_s, self._infos, self._onlooker)

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
            self._tell(step)

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
