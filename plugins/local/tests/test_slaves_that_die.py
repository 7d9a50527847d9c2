"""Nothing is lost when a runner or a whole slave dies, and only the guilty are charged."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import (
    Context,
    Manager,
    NoMoreSlavesError,
    NoSlaveStartedError,
    TaskLostError,
)
from imp_parallel_core._fleet import losses as _losses
from tests.support.as_root import as_root, can_be_root, run_as_root
from tests.support.harness import Processes
from tests.support.runners import (
    check_that_a_runner_is_like_the_one_before,
    check_that_what_a_task_registers_for_the_end_is_done,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("traced_slaves")


class Logged:
    """A task that leaves a line for each time it begins, and may wait for a gate first."""

    def __init__(self, log: Path, name: str, then: Callable[[], object] | None = None) -> None:
        self.log = log
        self.name = name
        self.then = then

    def __call__(self, *_: object) -> str:
        with self.log.open("a") as file:
            file.write(f"{self.name} {os.getpid()}\n")
        if self.then is not None:
            self.then()
        return self.name


def begun(log: Path) -> list[str]:
    """Return the names of the tasks that have begun, in order."""
    return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []


def segfault() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def exhaust_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (1 << 28, 1 << 28))
    ctypes.memset(ctypes.c_void_p(0), 0, 1)


def results_of(context: Context) -> list[object]:
    return list(context.get_results_unordered(on_error="return"))


def test_a_killed_runner_loses_nothing(
    two_slaves: Manager, processes: Processes, tmp_path: Path
) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"

    def wait() -> None:
        wait_until(gate.exists, 30.0)

    context = two_slaves.get_context(Logged(log, "setup"))
    for number in range(6):
        context.add_task(Logged(log, str(number), wait))
    wait_until(lambda: len([n for n in begun(log) if n != "setup"]) == 2)
    os.kill(processes.runners()[0], signal.SIGKILL)
    wait_until(lambda: len([n for n in begun(log) if n != "setup"]) == 3)
    gate.touch()
    assert sorted(context.get_results_unordered()) == [str(n) for n in range(6)]
    assert begun(log).count("setup") == 3  # again in the runner that took the dead one's place
    assert len(begun(log)) == 3 + 6 + 1  # only the one that was running was run twice


@pytest.mark.untraced
def test_a_runner_that_takes_the_place_of_the_first_is_like_it(manager: Manager) -> None:
    check_that_a_runner_is_like_the_one_before(manager, LocalSlave())


def test_a_python_that_starts_threads_by_itself_is_not_forked(
    processes: Processes, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()\n"
    )
    with Manager(python=f"env PYTHONPATH={tmp_path} {sys.executable}") as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(lambda: Path("/proc/self/cmdline").read_text())
        (command,) = context.get_results()
        assert "imp_parallel_core._slave.runner " in command
        context.add_task(os.getpid)
        assert list(context.get_results()) == processes.runners()


UNUSUAL = (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGXCPU)


@pytest.fixture
def ignoring() -> Iterator[None]:
    """Ignore signals, as nohup does, a shell in the background, or a careless library."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in UNUSUAL}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def blocking() -> Iterator[None]:
    """Block all signals that can be, as who waits for them by sigwait does."""
    most = signal.valid_signals() - {signal.SIGALRM}  # that is the tests' time limit
    before = signal.pthread_sigmask(signal.SIG_BLOCK, most)
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.untraced
@pytest.mark.parametrize("how", ["ignoring", "blocking"])
def test_signals_that_the_script_ignores_or_blocks_are_as_usual_for_tasks(
    processes: Processes, how: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(how)
    with Manager() as manager:
        check_that_a_runner_is_like_the_one_before(manager, LocalSlave())
        context = manager.get_context()
        context.add_task(lambda: [signal.getsignal(number) for number in UNUSUAL])
        (found,) = context.get_results()
        assert signal.SIG_IGN not in found
        context.add_task(signal.pthread_sigmask, signal.SIG_BLOCK, [])
        assert list(context.get_results()) == [set()]


def test_what_a_task_registers_for_the_end_is_done_when_its_runner_is_not_needed_any_more(
    manager: Manager, tmp_path: Path
) -> None:
    check_that_what_a_task_registers_for_the_end_is_done(manager, LocalSlave(), tmp_path)


def test_a_time_limit_does_not_count_the_time_that_a_slave_was_stopped(
    manager: Manager, tmp_path: Path
) -> None:
    gate, begun = tmp_path / "gate", tmp_path / "begun"

    def wait() -> str:
        begun.touch()
        wait_until(gate.exists, 60.0)
        return "done"

    manager.add_slave(LocalSlave())
    context = manager.get_context(task_timeout_s=4.0, max_attempts=1)
    context.add_task(wait)
    wait_until(begun.exists)
    slave = manager.slaves[0]
    assert slave.pid is not None
    assert slave.runner_pid is not None
    for pid in (slave.pid, slave.runner_pid):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(5.0)  # this is what happens
    gate.touch()
    os.kill(slave.pid, signal.SIGCONT)
    time.sleep(0.3)  # in which a supervisor that counted it would kill the runner
    os.kill(slave.runner_pid, signal.SIGCONT)
    assert list(context.get_results()) == ["done"]


def test_a_killed_slave_loses_nothing_and_another_takes_its_place(
    two_slaves: Manager, processes: Processes, tmp_path: Path
) -> None:
    gate, log = tmp_path / "gate", tmp_path / "log"

    def wait() -> None:
        wait_until(gate.exists, 30.0)

    context = two_slaves.get_context()
    for number in range(6):
        context.add_task(Logged(log, str(number), wait))
    wait_until(lambda: len(begun(log)) == 2)
    victim = processes.supervisors()[0]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: len(begun(log)) == 3)
    wait_until(lambda: len(set(processes.supervisors()) - {victim}) == 2)
    gate.touch()
    assert sorted(context.get_results_unordered()) == [str(n) for n in range(6)]
    assert len(begun(log)) == 7


@pytest.mark.parametrize(
    ("poison", "cause"),
    [
        (lambda: os._exit(7), "exited with code 7"),
        (lambda: os._exit(0), "exited with code 0"),
        (segfault, "SIGSEGV"),
        (lambda: os.abort(), "SIGABRT"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), "SIGTERM"),
        (exhaust_memory, "SIGSEGV"),
    ],
    ids=["exit7", "exit0", "segv", "abort", "kill", "term", "memory"],
)
def test_a_task_that_kills_its_runner_is_given_up_and_nothing_else_is(
    two_slaves: Manager, tmp_path: Path, poison: Callable[[], None], cause: str
) -> None:
    log = tmp_path / "log"
    context = two_slaves.get_context(lambda: "model")
    for number in range(5):
        context.add_task(Logged(log, str(number)))

    def last_words() -> None:
        print("these are my last words")
        poison()

    context.add_task(Logged(log, "poison", last_words))
    for number in range(5, 12):
        context.add_task(Logged(log, str(number)))
    results = results_of(context)
    (error,) = (r for r in results if isinstance(r, TaskLostError))
    assert sorted(r for r in results if isinstance(r, str)) == sorted(map(str, range(12)))
    assert begun(log).count("poison") == 3
    assert len(begun(log)) == 12 + 3  # no innocent ran twice
    assert len(error.attempts) == 3
    for attempt in error.attempts:
        assert cause in attempt
        assert "these are my last words" in attempt
        assert "peak memory" in attempt
        assert "slave" in attempt
    assert isinstance(error.task, Logged)


def test_max_attempts_bounds_how_often_a_deadly_task_is_tried(
    one_slave: Manager, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    context = one_slave.get_context(max_attempts=1)
    context.add_task(Logged(log, "poison", segfault))
    (error,) = results_of(context)
    assert isinstance(error, TaskLostError)
    assert begun(log) == ["poison"]


def test_tasks_that_were_sent_ahead_are_not_charged_and_not_run_twice(
    one_slave: Manager, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    context = one_slave.get_context(max_attempts=1)
    for number in range(300):  # short enough to be sent ahead
        deadly = number in (100, 101, 250)
        context.add_task(Logged(log, str(number), segfault if deadly else None))
    results = results_of(context)
    assert sum(isinstance(r, TaskLostError) for r in results) == 3
    assert sum(isinstance(r, str) for r in results) == 297
    assert sorted(begun(log), key=int) == [str(n) for n in range(300)]


def test_a_slave_that_always_dies_is_launched_again_only_so_often(
    processes: Processes, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with Manager(max_relaunches=2) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context(max_attempts=100)
        kill_slave = Logged(log, "x", lambda: os.kill(os.getppid(), signal.SIGKILL))
        context.add_task(kill_slave)
        with pytest.raises(NoMoreSlavesError) as caught:
            list(context.get_results_unordered())
        assert not isinstance(caught.value, NoSlaveStartedError)
        assert len(begun(log)) == 3
        assert "signal 9" in str(caught.value)
        assert "launched again 2 times (the Manager's max_relaunches)" in str(caught.value)
        # the task is kept: a slave that is added later goes on with it
        manager.add_slave(LocalSlave())
        with pytest.raises(NoMoreSlavesError):
            list(context.get_results_unordered())
        assert len(begun(log)) == 6


def test_a_task_that_closes_or_scribbles_on_every_descriptor_costs_only_itself(
    one_slave: Manager,
) -> None:
    def scribble() -> None:
        for descriptor in range(3, 1024):
            try:
                os.write(descriptor, b"\xff" * 64)
            except OSError:
                pass

    def close_all() -> str:
        os.closerange(0, 1024)
        return "closed"

    context = one_slave.get_context(max_attempts=1)
    for task in (scribble, close_all, close_all, scribble):
        context.add_task(task)
        context.add_task(lambda: "innocent")
    results = results_of(context)
    assert results.count("innocent") == 4
    assert len(results) == 8


def test_children_that_tasks_leave_behind_go_with_the_runner_and_the_slave(
    processes: Processes,
) -> None:
    def leave_children() -> list[int]:
        first = os.fork()
        if first == 0:
            os.setsid()
            if os.fork() == 0:  # a daemon, as the books make one
                time.sleep(300)
            os._exit(0)
        os.waitpid(first, 0)
        second = os.fork()
        if second == 0:
            signal.pause()
        return [second]

    with Manager() as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(leave_children)
        list(context.get_results_unordered())
        assert len(processes.alive()) == 4
        os.kill(processes.supervisors()[0], 0)
    assert not processes.alive()


def test_a_forked_child_that_returns_from_the_task_does_not_speak_for_the_runner(
    one_slave: Manager,
) -> None:
    def fork() -> int:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
        return child

    context = one_slave.get_context()
    for _ in range(3):
        context.add_task(fork)
    results = list(context.get_results_unordered())
    assert len(results) == 3
    assert 0 not in results


def test_a_slave_that_is_stopped_is_suspected_and_goes_on_when_it_wakes_up(
    processes: Processes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "log"
    manager = Manager()
    manager.heartbeat_timeout = 1.0
    gate = tmp_path / "gate"

    def wait() -> None:
        wait_until(gate.exists, 30.0)

    with manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(Logged(log, "task", wait))
        wait_until(lambda: len(begun(log)) == 1)
        victim = processes.supervisors()[0]
        os.kill(victim, signal.SIGSTOP)
        wait_until(lambda: manager.slaves[0].state == "suspected")
        wait_until(lambda: "has still not been heard" in caplog.text)  # no silence here either
        manager.add_slave(LocalSlave())
        wait_until(lambda: len(begun(log)) == 2)  # begun elsewhere
        os.kill(victim, signal.SIGCONT)
        wait_until(lambda: manager.slaves[0].state != "suspected")
        gate.touch()
        assert list(context.get_results_unordered()) == ["task"]
        for _ in range(4):
            context.add_task(lambda: "more")
        assert list(context.get_results_unordered()) == ["more"] * 4


def test_a_task_that_holds_the_interpreter_lock_is_not_declared_dead(
    processes: Processes,
) -> None:
    def hold_the_lock() -> str:
        ctypes.PyDLL(None).sleep(5)
        return "held"

    manager = Manager()
    manager.heartbeat_timeout = 0.5
    with manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context(max_attempts=1)
        context.add_task(hold_the_lock)
        assert list(context.get_results_unordered()) == ["held"]


def test_a_task_beyond_its_time_limit_is_killed_also_inside_c_code(
    one_slave: Manager,
) -> None:
    context = one_slave.get_context(task_timeout_s=0.3, max_attempts=2)
    context.add_task(lambda: ctypes.PyDLL(None).sleep(60))
    for number in range(5):
        context.add_task(lambda number=number: number)
    results = results_of(context)
    (error,) = (r for r in results if isinstance(r, TaskLostError))
    assert "overran its time limit of 0.3 s" in error.attempts[0]
    assert len(error.attempts) == 2
    assert sorted(r for r in results if isinstance(r, int)) == list(range(5))


def test_a_time_limit_counts_from_the_tasks_own_start(one_slave: Manager) -> None:
    context = one_slave.get_context(task_timeout_s=2.0)
    for number in range(5):  # together longer than the limit
        context.add_task(lambda number=number: time.sleep(0.5) or number)  # type: ignore[func-returns-value]  # it returns None
    assert sorted(context.get_results_unordered()) == list(range(5))


def test_no_task_waits_behind_a_long_one_while_another_slave_is_idle(
    two_slaves: Manager, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"

    def wait() -> str:
        wait_until(gate.exists, 30.0)
        return "long"

    context = two_slaves.get_context()
    for number in range(200):  # teach it that tasks are short
        context.add_task(lambda number=number: number)
    assert len(list(context.get_results_unordered())) == 200
    for number in range(50):
        context.add_task(wait if number == 5 else lambda: "short")
    results = []
    for result in context.get_results_unordered():
        results.append(result)
        if len(results) == 49:
            gate.touch()
    assert results == ["short"] * 49 + ["long"]


def test_a_slave_whose_python_ends_at_once_is_an_error_with_all_the_evidence(
    processes: Processes, tmp_path: Path
) -> None:
    fake = tmp_path / "fake python"
    fake.write_text("#!/bin/sh\necho no licence for python today >&2\nexit 5\n")
    fake.chmod(0o755)
    with Manager(python=str(fake)) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(lambda: 1)
        with pytest.raises(NoSlaveStartedError) as caught:
            list(context.get_results_unordered())
    text = str(caught.value)
    for evidence in ("no licence for python today", "exit code 5", "fake python", "slave0.output"):
        assert evidence in text


def test_a_task_may_end_with_any_exit_of_python(one_slave: Manager) -> None:
    context = one_slave.get_context()
    context.add_task(sys.exit, 3)
    (error,) = results_of(context)
    assert isinstance(error, Exception)
    assert "SystemExit" in str(error)


@pytest.fixture
def little_memory() -> Iterator[Path]:
    """Yield a control group whose processes may use 150 MB together; only root can add to it."""
    if not can_be_root():
        pytest.skip("NOT TESTED with little memory: only root can make a control group")
    folder = Path("/sys/fs/cgroup/memory") / f"imp_parallel_test_{uuid.uuid4().hex}"
    limit_file = "memory.limit_in_bytes"
    if not folder.parent.exists():
        folder = Path("/sys/fs/cgroup") / folder.name
        limit_file = "memory.max"
    script = 'mkdir "$1" && { echo 150000000 >"$1/$2" || { rmdir "$1"; false; }; }'
    command = as_root("sh", "-c", script, "sh", str(folder), limit_file)
    made = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    if made.returncode:
        pytest.skip(f"NOT TESTED with little memory: no control group can be made: {made.stderr}")
    yield folder
    wait_until(lambda: not (folder / "cgroup.procs").read_text().split())
    run_as_root("rmdir", str(folder))


def test_when_memory_runs_out_the_system_kills_the_runner_and_not_the_slave(
    little_memory: Path, one_slave: Manager
) -> None:
    def eat() -> None:
        for pid in (os.getppid(), os.getpid()):
            run_as_root("tee", f"{little_memory}/cgroup.procs", input=str(pid))
        blocks = []
        while True:
            blocks.append(b"x" * 1_000_000)

    context = one_slave.get_context(max_attempts=2)
    wait_until(lambda: one_slave.slaves[0].state == "idle")
    supervisor = one_slave.slaves[0].pid
    context.add_task(eat)
    context.add_task(lambda: "innocent")
    results = results_of(context)
    (error,) = (r for r in results if isinstance(r, TaskLostError))
    assert "innocent" in results
    assert all("SIGKILL" in attempt for attempt in error.attempts)
    peaks = [int(re.findall(r"peak memory (\d+) MB", attempt)[0]) for attempt in error.attempts]
    assert all(50 < peak < 200 for peak in peaks)
    assert one_slave.slaves[0].pid == supervisor


def test_slaves_that_fail_alike_are_reported_once(
    processes: Processes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_losses, "_HOLD_S", 50.0)  # on a busy machine 12 starts take long
    with Manager(python="echo no licence; false") as manager:
        for _ in range(12):
            manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(int)
        with pytest.raises(NoSlaveStartedError) as caught:
            list(context.get_results())
    assert str(caught.value).count("| no licence") == 1
    assert "12 slaves (0-11), all alike" in str(caught.value)
    assert len(caught.value.failures) == 12
    assert "no licence" not in caplog.text  # the error has said it


def test_a_slave_that_does_not_start_is_told_of_while_others_work(
    processes: Processes, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    used_up = tmp_path / "used-up"
    fails = f"test -e {used_up} && echo no licence && exit 1;"
    with Manager(python=f"{fails} {sys.executable}") as manager:
        manager.add_slave(LocalSlave())
        wait_until(lambda: manager.slaves[0].state == "idle")
        used_up.touch()
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(int)
        assert results_of(context) == [0]
        wait_until(lambda: "| no licence" in caplog.text)
    assert caplog.text.count("| no licence") == 1


def test_no_slave_starts_and_nobody_asks_but_the_log_says_why(
    processes: Processes, caplog: pytest.LogCaptureFixture
) -> None:
    with Manager(python="echo no licence; false") as manager:
        manager.add_slave(LocalSlave())
        manager.get_context().add_task(int)
        wait_until(lambda: manager.slaves[0].state == "gone")
    assert caplog.text.count("| no licence") == 1


def test_futures_that_nobody_looks_at_are_told_of_in_a_line(
    processes: Processes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_losses, "_HOLD_S", 50.0)
    with Manager(python="echo no licence; false") as manager:
        manager.add_slave(LocalSlave())
        with manager.get_executor() as executor:
            future = executor.submit(int)
    assert "| no licence" in str(future.exception())
    (told,) = caplog.messages
    assert "no slave is left for 1 call, whose futures say why: slave 0: " in told
    assert "\n" not in told


def test_a_slave_that_is_lost_for_good_leaves_no_thread(
    processes: Processes, tmp_path: Path
) -> None:
    with Manager(max_relaunches=0) as manager:
        for _ in range(5):
            manager.add_slave(LocalSlave())
        context = manager.get_context(max_attempts=1)
        for _ in range(10):  # none of the slaves outlives its first
            context.add_task(lambda: os.kill(os.getppid(), signal.SIGKILL))
        with pytest.raises(NoMoreSlavesError):
            list(context.get_results_unordered(on_error="return"))
        wait_until(lambda: not launch_threads())


def launch_threads() -> list[str]:
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith("imp_parallel launch")]


def test_a_slave_on_a_bad_machine_costs_no_task_and_is_set_aside(
    manager: Manager, tmp_path: Path
) -> None:
    for _ in range(2):
        manager.add_slave(LocalSlave())
    wait_until(lambda: all(slave.state == "idle" for slave in manager.slaves))
    bad = manager.slaves[0].pid
    gate, log = tmp_path / "gate", tmp_path / "log"

    def die_if_bad() -> None:
        if os.getppid() == bad:
            os.kill(os.getpid(), signal.SIGKILL)
        wait_until(gate.exists)

    context = manager.get_context(max_attempts=2)
    for number in range(60):
        context.add_task(Logged(log, str(number), die_if_bad))
    wait_until(lambda: manager.slaves[0].state == "set aside")
    assert "3 tasks in a row have died here" in manager.slaves[0].detail
    gate.touch()
    assert sorted(map(int, context.get_results_unordered())) == list(range(60))
    assert len(begun(log)) == 63, "each that died there was done elsewhere"
