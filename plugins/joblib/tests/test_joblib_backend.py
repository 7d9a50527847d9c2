"""What ``joblib.Parallel`` promises holds on slaves."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy
import pytest
from imp_parallel_joblib import ManagerBackend
from imp_parallel_local import LocalSlave
from joblib import Parallel, delayed

from imp_parallel_core import (
    ClosedError,
    ContextOpened,
    Event,
    Manager,
    NoMoreSlavesError,
    PicklingError,
    RemoteError,
    SetupError,
    TaskLostError,
    hookimpl,
)
from tests.support.large_blocks import pass_over_what_is_held, shared_memory_of
from tests.support.runners import compute_for_ever
from tests.support.scripts import Scripts, finish
from tests.support.waiting import wait_until

MB = 1 << 20


def runners_of(manager: Manager) -> set[int | None]:
    """Return the pids of the processes that run tasks."""
    wait_until(lambda: all(slave.runner_pid for slave in manager.slaves))
    return {slave.runner_pid for slave in manager.slaves}


def wait_for(gate: Path) -> str:
    """Return when a file is there."""
    wait_until(gate.exists, 60.0)
    return "waited"


# ---- where tasks run, and how many at once


def test_tasks_run_on_the_slaves_and_their_results_are_in_order(two_slaves: Manager) -> None:
    results = Parallel()(delayed(lambda n: (n, os.getpid()))(n) for n in range(100))
    assert [n for n, _ in results] == list(range(100))
    assert {pid for _, pid in results} <= runners_of(two_slaves)


def test_progress_bars_call_the_tasks_of_joblib_so() -> None:
    names: list[str] = []

    class Names:
        @hookimpl
        def imp_parallel_observe(self, events: Sequence[Event]) -> None:
            names.extend(event.name for event in events if isinstance(event, ContextOpened))

    with Manager(output=None, plugins=[Names()]) as manager:
        manager.add_slave(LocalSlave())
        for options in ({}, {"name": "mine"}):
            with joblib.parallel_config("imp_parallel", manager=manager, **options):
                Parallel()(delayed(abs)(x) for x in range(3))
    assert names == ["joblib", "mine"]


def test_the_number_of_jobs_is_that_of_the_slaves_at_most(manager: Manager) -> None:
    for _ in range(3):
        manager.add_slave(LocalSlave())
    with joblib.parallel_config("imp_parallel", manager=manager):
        counts = {n: joblib.effective_n_jobs(n) for n in (None, -1, -2, 1, 2, 3, 8)}
        assert counts == {None: 3, -1: 3, -2: 2, 1: 1, 2: 2, 3: 3, 8: 3}
        with pytest.raises(ValueError, match="n_jobs=0"):
            Parallel(n_jobs=0)([])


@pytest.mark.parametrize("n_jobs", [-1, -7, 2, None])
def test_one_slave_is_used_too_unless_one_job_is_asked_for(
    manager: Manager, n_jobs: int | None
) -> None:
    manager.add_slave(LocalSlave())
    with joblib.parallel_config("imp_parallel", manager=manager):
        pids = Parallel(n_jobs=n_jobs)(delayed(os.getpid)() for _ in range(5))
        assert set(pids) == runners_of(manager)
        assert Parallel(n_jobs=1)([delayed(os.getpid)()]) == [os.getpid()]


def test_no_more_tasks_run_at_once_than_there_are_jobs(manager: Manager, tmp_path: Path) -> None:
    running = tmp_path / "running"
    running.mkdir()

    def task(n: int) -> int:
        (running / str(n)).touch()
        count = len(list(running.iterdir()))
        time.sleep(0.02)
        (running / str(n)).unlink()
        return count

    for _ in range(3):
        manager.add_slave(LocalSlave())
    with joblib.parallel_config("imp_parallel", manager=manager):
        Parallel()(delayed(abs)(-n) for n in range(30))  # until all have begun to work
        counts = Parallel(n_jobs=2, batch_size=1)(delayed(task)(n) for n in range(40))
        assert max(counts) <= 2
        assert max(Parallel(batch_size=1)(delayed(task)(n) for n in range(40))) <= 3


def test_short_tasks_travel_in_batches(
    two_slaves: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    submit = ManagerBackend.submit

    def note(backend: ManagerBackend, func: Any, callback: Any = None) -> Any:
        sizes.append(len(func))
        return submit(backend, func, callback)

    monkeypatch.setattr(ManagerBackend, "submit", note)
    assert Parallel()(delayed(abs)(-n) for n in range(5000)) == list(range(5000))
    assert sum(sizes) == 5000
    assert len(sizes) < 500


def test_what_a_task_runs_by_joblib_runs_in_that_task(two_slaves: Manager) -> None:
    def task() -> set[int]:
        inner = Parallel(n_jobs=2)(delayed(os.getpid)() for _ in range(4))
        deeper = Parallel(n_jobs=-1, prefer="threads")(
            delayed(lambda: Parallel(n_jobs=2)([delayed(threading.get_ident)()]))()
            for _ in range(4)
        )
        assert {ident for (ident,) in deeper} == {threading.get_ident()}
        assert set(inner) == {os.getpid()}
        return set(inner)

    pids = Parallel(batch_size=1)(delayed(task)() for _ in range(6))
    assert set().union(*pids) <= runners_of(two_slaves)


def test_slaves_do_not_need_this_package(two_slaves: Manager) -> None:
    with joblib.parallel_config("imp_parallel", manager=two_slaves, startup=int):
        ((modules),) = Parallel()([delayed(lambda: list(sys.modules))()])
    assert "joblib" in modules
    assert not [name for name in modules if name.startswith("imp_parallel_joblib")]


# ---- what is returned


def test_a_generator_gives_results_in_order_as_soon_as_they_are_there(
    two_slaves: Manager, tmp_path: Path
) -> None:
    parallel = Parallel(return_as="generator", batch_size=1)
    results = parallel([delayed(abs)(-1), delayed(abs)(-2), delayed(wait_for)(tmp_path / "gate")])
    assert [next(results), next(results)] == [1, 2]
    (tmp_path / "gate").touch()
    assert list(results) == ["waited"]


def test_an_unordered_generator_gives_the_fast_ones_first(
    two_slaves: Manager, tmp_path: Path
) -> None:
    parallel = Parallel(return_as="generator_unordered", batch_size=1)
    tasks = [delayed(wait_for)(tmp_path / "gate"), *(delayed(abs)(-n) for n in range(10))]
    results = parallel(tasks)
    assert sorted(next(results) for _ in range(10)) == list(range(10))
    (tmp_path / "gate").touch()
    assert list(results) == ["waited"]


def test_a_generator_that_is_left_ends_its_tasks(two_slaves: Manager, tmp_path: Path) -> None:
    parallel = Parallel(return_as="generator", batch_size=1)
    results = parallel([delayed(abs)(-1), *(delayed(compute_for_ever)(tmp_path / "mark"),) * 2])
    assert next(results) == 1
    wait_until((tmp_path / "mark").exists)
    with pytest.warns(UserWarning, match="cancelled"):
        results.close()
    assert Parallel()(delayed(abs)(-n) for n in range(10)) == list(range(10))


def test_two_generators_share_the_slaves(two_slaves: Manager) -> None:
    made = [
        Parallel(return_as="generator", batch_size=1)([delayed(pow)(n, power) for n in range(50)])
        for power in (2, 3)
    ]
    both = list(zip(*made, strict=True))
    assert both == [(n**2, n**3) for n in range(50)]


def test_a_parallel_that_fails_ends_no_tasks_of_others(two_slaves: Manager, tmp_path: Path) -> None:
    def wait(n: int) -> int:
        wait_for(tmp_path / "gate")
        return n

    results = Parallel(return_as="generator", batch_size=1)(delayed(wait)(n) for n in range(20))
    others: list[Any] = []
    backend = joblib.parallel.get_active_backend()[0]

    def run_others() -> None:
        with joblib.parallel_config(backend):
            others.extend(Parallel(batch_size=1)(delayed(wait)(n) for n in range(20)))

    thread = threading.Thread(target=run_others)
    thread.start()
    with pytest.raises(PicklingError):
        Parallel()(delayed(abs)(threading.Lock()) for _ in range(3))
    left = Parallel(return_as="generator", batch_size=1)(delayed(wait)(n) for n in range(20))
    with pytest.warns(UserWarning, match="cancelled"):
        left.close()
    (tmp_path / "gate").touch()
    assert list(results) == list(range(20))
    thread.join()
    assert others == list(range(20))


@pytest.mark.parametrize("startup", [None, int])
def test_an_iterable_of_tasks_may_itself_use_joblib(
    manager: Manager, startup: Callable[[], Any] | None
) -> None:
    for _ in range(2):
        manager.add_slave(LocalSlave())
    with joblib.parallel_config("imp_parallel", manager=manager, startup=startup):
        results = Parallel(batch_size=1)(
            delayed(abs)(sum(Parallel()(delayed(pow)(n, power) for power in range(3))))
            for n in range(20)
        )
    assert results == [1 + n + n**2 for n in range(20)]


def test_a_parallel_may_be_called_again_and_again(two_slaves: Manager) -> None:
    with Parallel(n_jobs=2) as parallel:
        for n in range(5):
            assert parallel(delayed(pow)(n, power) for power in range(10)) == [
                n**power for power in range(10)
            ]
        with pytest.raises(ValueError, match="'x'"):
            parallel(delayed(int)(text) for text in "1x3")
        assert parallel(delayed(abs)(-n) for n in range(10)) == list(range(10))


def test_what_a_call_that_failed_has_left_is_not_among_the_results_of_the_next(
    two_slaves: Manager,
) -> None:
    parallel = Parallel(n_jobs=2, batch_size=1)
    for _ in range(200):  # joblib takes two tasks, and may submit one of them
        with pytest.raises(ValueError, match="'x'"):
            parallel(delayed(int)("x") for _ in range(10))
        if not parallel._ready_batches.empty():
            break
    else:
        pytest.fail("joblib leaves nothing any more, and nothing need be removed")
    assert parallel(delayed(abs)(-n) for n in range(10, 15)) == list(range(10, 15))


# ---- errors


def test_an_exception_arrives_as_itself_and_ends_the_other_tasks(
    two_slaves: Manager, tmp_path: Path
) -> None:
    def fail(mark: Path) -> None:
        wait_for(mark)
        raise ZeroDivisionError("no model")

    runners_of(two_slaves)  # which are there when this returns
    before = {slave.pid for slave in two_slaves.slaves}
    tasks = [delayed(compute_for_ever)(tmp_path / "mark"), delayed(fail)(tmp_path / "mark")]
    with pytest.raises(ZeroDivisionError, match="no model") as caught:
        Parallel(batch_size=1)([*tasks, *tasks])
    cause = caught.value.__cause__
    assert isinstance(cause, RemoteError)
    assert "in fail" in cause.traceback
    assert Parallel()(delayed(abs)(-n) for n in range(10)) == list(range(10))
    assert {slave.pid for slave in two_slaves.slaves} == before, "a slave has been lost"


def test_a_ctrl_c_ends_the_tasks_and_the_slaves_go_on(scripts: Scripts, tmp_path: Path) -> None:
    script = scripts.start(
        """
        import joblib, imp_parallel_joblib
        from imp_parallel_core import LocalSlave, Manager

        def compute_for_ever(n):
            print("begun", flush=True)
            return sum(range(10**18))  # C code, which looks for no signal

        def setup():
            open("log", "a").write("set up\\n")

        with Manager() as manager:
            manager.add_slave(LocalSlave())
            manager.add_slave(LocalSlave())
            with joblib.parallel_config("imp_parallel", manager=manager):
                before = [slave.name for slave in manager.slaves]
                parallel = joblib.Parallel(batch_size=1)
                try:
                    parallel(joblib.delayed(compute_for_ever)(n) for n in range(10))
                except KeyboardInterrupt:
                    print("interrupted")
                print(parallel(joblib.delayed(abs)(-n) for n in range(10)))
                print([slave.name for slave in manager.slaves] == before)
        """
    )
    outputs = [tmp_path / f"slave{n}.output" for n in range(2)]
    wait_until(lambda: all(path.exists() and "begun" in path.read_text() for path in outputs))
    script.send_signal(signal.SIGINT)
    code, out, err = finish(script)
    assert (code, out) == (0, f"interrupted\n{list(range(10))}\nTrue\n"), err


def test_a_batch_that_comes_after_the_end_of_its_call_does_not_run(
    two_slaves: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that dispatches may have found that there was no error, just before there was."""
    late: list[Any] = []
    abort = ManagerBackend.abort_everything

    def abort_and_dispatch(backend: ManagerBackend, ensure_ready: bool = True) -> None:
        abort(backend, ensure_ready)
        late.append(backend.submit((tmp_path / "mark").touch))

    monkeypatch.setattr(ManagerBackend, "abort_everything", abort_and_dispatch)
    with pytest.raises(ValueError, match="'x'"):
        Parallel()([delayed(int)("x")])
    assert late[0].cancelled()
    assert Parallel()(delayed(abs)(-n) for n in range(10)) == list(range(10))
    assert not (tmp_path / "mark").exists()


def test_a_time_out_ends_the_tasks(two_slaves: Manager, tmp_path: Path) -> None:
    with pytest.raises(multiprocessing.TimeoutError):  # joblib's, with any backend
        Parallel(timeout=0.2, batch_size=1)([delayed(compute_for_ever)(tmp_path / "mark")] * 3)
    assert Parallel()(delayed(abs)(-n) for n in range(10)) == list(range(10))


@pytest.mark.parametrize("at", [0, 60], ids=["at once", "later"])
def test_what_can_not_be_pickled_is_named_and_nothing_hangs(two_slaves: Manager, at: int) -> None:
    items: list[Any] = list(range(80))
    items[at] = [threading.Lock()]
    with pytest.raises(PicklingError, match=r"items\[0\]\[1\]\[0\]\[0\]"):
        Parallel(batch_size=1)(delayed(str)(item) for item in items)
    assert Parallel()(delayed(abs)(-n) for n in range(10)) == list(range(10))


def test_an_iterable_that_raises_has_its_exception_raised(two_slaves: Manager) -> None:
    def tasks() -> Iterator[Any]:
        for n in range(50):
            yield delayed(abs)(n)
        raise ZeroDivisionError("no more")

    with pytest.raises(ZeroDivisionError, match="no more"):
        Parallel()(tasks())


def test_a_task_that_ends_its_process_each_time_is_lost_and_no_slave_is(
    two_slaves: Manager,
) -> None:
    with pytest.raises(TaskLostError) as caught:
        Parallel(batch_size=1)(delayed(os._exit)(3) for _ in range(2))
    assert len(caught.value.attempts) == 3
    assert Parallel()(delayed(abs)(-n) for n in range(10)) == list(range(10))


def test_without_a_slave_there_is_an_error_and_no_waiting(manager: Manager) -> None:
    with joblib.parallel_config("imp_parallel", manager=manager):
        with pytest.raises(NoMoreSlavesError, match="no slave that joblib could use"):
            Parallel()([delayed(abs)(-1)])
        manager.close()
        with pytest.raises(ClosedError):
            Parallel()([delayed(abs)(-1)])


def test_when_no_slave_is_left_there_is_an_error_and_a_new_slave_is_used() -> None:
    with Manager(max_relaunches=0) as manager:
        manager.add_slave(LocalSlave())
        with joblib.parallel_config("imp_parallel", manager=manager):
            with pytest.raises(NoMoreSlavesError):
                Parallel(batch_size=1)(
                    delayed(lambda: os.kill(os.getppid(), signal.SIGKILL))() for _ in range(20)
                )
            manager.add_slave(LocalSlave())
            assert Parallel()(delayed(abs)(-n) for n in range(10)) == list(range(10))


@pytest.mark.parametrize("wrong", [{}, {"manager": "slaves"}])
def test_a_backend_without_a_manager_says_how_to_name_one(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r'parallel_config\("imp_parallel", manager=manager\)'):
        joblib.parallel_config("imp_parallel", **wrong)
    if not wrong:
        with pytest.raises(TypeError, match="manager=None"):
            Parallel(backend="imp_parallel")


# ---- the set-up


def prepare(folder: Path) -> str:
    """Set up a process, as a module of the user's would."""
    with (folder / "log").open("a") as log:
        log.write(f"{os.getpid()}\n")
    return "dropped"


def test_a_set_up_runs_once_on_each_slave_for_all_that_joblib_runs(
    manager: Manager, tmp_path: Path
) -> None:
    namespace: dict[str, Any] = {"prepare": prepare, "tmp_path": tmp_path}
    source = """
def setup():
    global model
    model = prepare(tmp_path), 42

def use(n):
    return n + model[1]
"""
    exec(source, namespace)
    for _ in range(2):
        manager.add_slave(LocalSlave())
    with joblib.parallel_config("imp_parallel", manager=manager, startup=namespace["setup"]):
        for _ in range(3):
            found = Parallel()(delayed(namespace["use"])(n) for n in range(100))
            assert found == list(range(42, 142))
    logged = (tmp_path / "log").read_text().split()
    assert len(logged) == len(set(logged)) <= 2


def test_a_set_up_that_fails_is_the_error_and_options_are_those_of_a_context(
    manager: Manager, tmp_path: Path
) -> None:
    def set_up_badly() -> None:
        int("x")

    manager.add_slave(LocalSlave())
    with (
        joblib.parallel_config("imp_parallel", manager=manager, startup=set_up_badly),
        pytest.raises(SetupError, match=r"(?s)'x'.*the set-up of its context \(.*\.set_up_badly\)"),
    ):
        Parallel()([delayed(abs)(-1)])
    with (
        joblib.parallel_config("imp_parallel", manager=manager, task_timeout_s=0.2, max_attempts=1),
        pytest.raises(TaskLostError, match="overran its time limit"),
    ):
        Parallel()([delayed(compute_for_ever)(tmp_path / "mark")])


# ---- large arrays


def test_an_array_that_all_tasks_share_is_sent_to_each_slave_and_not_with_each_task(
    two_slaves: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent_bytes = 0
    send = two_slaves._engine._fleet.send

    def note(index: int, kind: int, head: bytes = b"", segments: Sequence[Any] = ()) -> None:
        nonlocal sent_bytes
        sent_bytes += sum(map(len, segments))
        send(index, kind, head, segments)

    monkeypatch.setattr(two_slaves._engine._fleet, "send", note)
    array = numpy.random.default_rng(1).random(MB)
    sums = Parallel(batch_size=1)(delayed(lambda a, n: a[n])(array, n) for n in range(100))
    assert sums == list(array[:100])
    # once to be kept by each, and with the first tasks, which may begin before a second is there
    assert sent_bytes < 4 * array.nbytes


@pytest.mark.parametrize("how", ["argument", "closure"])
def test_what_the_tasks_of_one_call_held_is_let_go_of_when_it_ends(
    two_slaves: Manager, how: str
) -> None:
    pass_over_what_is_held()
    array = numpy.ones(MB)
    task: Callable[..., Any]
    args: tuple[Any, ...]
    if how == "argument":
        task, args = (lambda n, a: a[n]), (array,)
    else:
        task, args = (lambda n: array[n]), ()
    assert Parallel()(delayed(task)(n, *args) for n in range(20)) == [1.0] * 20
    pids = [pid for slave in two_slaves.slaves for pid in (slave.pid, slave.runner_pid) if pid]

    def held() -> set[str]:
        gc.collect()
        return set().union(*map(shared_memory_of, ["self", *pids]))  # type: ignore[arg-type]  # of either type

    wait_until(lambda: not held())
