"""Whatever a task, an argument, a result or an exception does: one outcome each, and no more."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import (
    Context,
    Error,
    Manager,
    PicklingError,
    RemoteError,
    SetupError,
    TaskLostError,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("traced_slaves")


class NoWayThere:
    """Can't be unpickled on a slave."""

    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("1/0",)


class NoWayOut:
    """Can't be pickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise OSError("I stay here")


class OnlyOnTheMaster:
    """Can't be unpickled on the master: makes something only a slave may load."""

    def __init__(self, master: int) -> None:
        self.master = master

    def __reduce__(self) -> tuple[Any, ...]:
        return _refuse, (self.master,)


def _refuse(pid: int) -> str:
    if os.getpid() == pid:
        raise KeyError("not here")
    return "elsewhere"


class OwnInterrupt(BaseException):
    """An exception of the user's that no ``except Exception`` catches."""

    def __str__(self) -> str:
        raise SystemExit


class Explosive:
    """Raises something whenever the master unpickles it or shows it."""

    def __init__(self, kind: type[BaseException], master: int) -> None:
        self.kind = kind
        self.master = master

    def __repr__(self) -> str:
        raise self.kind

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ = state
        if self.master == os.getpid():
            raise self.kind


MEAN = [SystemExit, GeneratorExit, asyncio.CancelledError, OwnInterrupt]


class OddError(Exception):
    """Pickles, but can't be unpickled."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} is not {second}")

    def __reduce__(self) -> Any:
        return int, self.args


class LockedError(Exception):
    """Can't be pickled."""

    def __init__(self) -> None:
        super().__init__("locked")
        self.lock = threading.Lock()


class MuteError(Exception):
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class GoodError(Exception):
    """An ordinary exception of the user's."""

    def __init__(self, detail: str) -> None:
        super().__init__(f"bad luck: {detail}")
        self.detail = detail


def throw(make: Callable[[], BaseException]) -> None:
    raise make()


def recurse(depth: int = 0) -> int:
    return recurse(depth + 1) + 1


def only_error(context: Context) -> Error:
    """Return the one error among the results; the rest must be those of two good tasks."""
    context.add_task(lambda *_: "good")
    results = list(context.get_results_unordered(on_error="return"))
    (error,) = (r for r in results if r != "good")
    assert results.count("good") == len(results) - 1
    assert isinstance(error, Error)
    return error


def test_an_exception_is_raised_where_the_result_would_have_been(one_slave: Manager) -> None:
    context = one_slave.get_context()
    context.add_task(lambda: throw(lambda: GoodError("rain")))
    context.add_task(lambda: 7)
    results = []
    errors = []
    for _ in range(2):
        try:
            results += list(context.get_results_unordered())
        except RemoteError as error:
            errors.append(error)
    assert results == [7]
    (caught,) = errors
    assert isinstance(caught.exc, GoodError)
    assert caught.__cause__ is caught.exc
    assert caught.exc.detail == "rain"
    assert "bad luck: rain" in str(caught)
    assert "in throw" in caught.traceback
    assert "_slave/runner.py" not in caught.traceback
    assert caught.slave == "slave 0"
    assert caught.host == os.uname().nodename
    assert callable(caught.task)


class Distance:
    """A task with no repr of its own."""

    def __init__(self, distance: float) -> None:
        self.distance = distance

    def __call__(self, *_: object) -> float:
        return 1 / self.distance


def kill_runner(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("ordered", [False, True])
def test_an_error_says_which_task_it_was_and_with_what_arguments(
    one_slave: Manager, ordered: bool
) -> None:
    context = one_slave.get_context(max_attempts=1)
    context.add_task(len, "good")
    context.add_task(int, "an\nx", 10)
    context.add_task(Distance(0.0))
    context.add_task(kill_runner, "x" * 100_000, {"key": [1] * 1000})
    context.add_task(lambda number=0, *, scale=2: scale / number)
    read = context.get_results if ordered else context.get_results_unordered
    results = list(read(on_error="return"))
    found = [r for r in results if isinstance(r, RemoteError | TaskLostError)]
    errors = sorted(found, key=lambda error: error.number or 0)
    assert len(results) == len(errors) + 1
    assert [error.number for error in errors] == [1, 2, 3, 4]
    assert [len(error.args_of_task) for error in errors] == [2, 0, 2, 0]
    assert errors[0].args_of_task == ("'an\\nx'", "10")
    assert "with: 'an\\nx', 10\n" in str(errors[0])
    assert "the task: Distance(distance=0.0)\n" in str(errors[1])
    assert isinstance(errors[2], TaskLostError)
    assert all(len(shown) < 300 for shown in errors[2].args_of_task)
    assert len(str(errors[2])) < 3000
    assert "xxxxx" in str(errors[2])
    assert "(number=0, scale=2)\n" in str(errors[3])
    for error in errors[:3]:  # the last one's task is a lambda, which plain pickle can't take
        copy = pickle.loads(pickle.dumps(error))
        assert (copy.number, copy.args_of_task) == (error.number, error.args_of_task)


def test_an_error_of_map_says_which_item_it_was(one_slave: Manager) -> None:
    context = one_slave.get_context()
    context.add_task(int, "1")
    rows = context.map(lambda a, b: a / b, [0, 2, 4], [1, 0, 2], on_error="return")
    first, error, last = rows
    assert (first, last) == (0.0, 2.0)
    assert (error.number, error.args_of_task) == (1, ("2", "0"))


def test_the_arguments_may_have_any_repr(one_slave: Manager) -> None:
    class Odd:
        def __repr__(self) -> str:
            return "a\x1b[31m\n  b"

    class Unshowable:
        def __repr__(self) -> str:
            raise KeyError

    context = one_slave.get_context()
    context.add_task(lambda *_: 1 / 0, Odd(), Unshowable())
    (error,) = context.get_results(on_error="return")
    assert error.args_of_task[0] == r"a\x1b[31m b"
    assert "Unshowable" in error.args_of_task[1]
    assert "\x1b" not in str(error)


def test_a_remote_error_survives_pickling(one_slave: Manager) -> None:
    context = one_slave.get_context()
    context.add_task(int, "x")
    (error,) = context.get_results_unordered(on_error="return")
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error)
    assert (copy.slave, copy.host, copy.traceback) == (error.slave, error.host, error.traceback)
    assert isinstance(copy.exc, ValueError)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        (lambda: sys.exit(3), "SystemExit: 3"),
        (lambda: throw(KeyboardInterrupt), "KeyboardInterrupt"),
        (lambda: throw(GeneratorExit), "GeneratorExit"),
        (recurse, "RecursionError"),
        (lambda: NoWayOut(), "I stay here"),
        (lambda: threading.Lock(), "lock"),
        (lambda: (i for i in range(3)), "generator"),
        (lambda: throw(lambda: OddError(1, 2)), "1 is not 2"),
        (lambda: throw(LockedError), "LockedError: locked"),
        (lambda: throw(MuteError), "MuteError"),
        (lambda: throw(lambda: GoodError("\udcff\x00 ☃")), "☃"),
        (lambda: throw(lambda: ExceptionGroup("several", [ValueError("one")])), "one"),
        (lambda: (os.kill(os.getpid(), signal.SIGINT), time.sleep(5)), "KeyboardInterrupt"),  # type: ignore[func-returns-value]  # both return None
        (lambda: bytearray(1 << 62), "MemoryError"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_whatever_a_task_raises_or_returns_fails_that_task_alone(
    one_slave: Manager, task: Callable[[], object], words: str
) -> None:
    context = one_slave.get_context(max_attempts=1)
    context.add_task(lambda: "good")
    context.add_task(task)
    error = only_error(context)
    assert isinstance(error, RemoteError)
    assert words in str(error)
    assert one_slave.slaves[0].runner_pid is not None


def test_an_exception_that_can_not_be_unpickled_still_has_its_text(one_slave: Manager) -> None:
    context = one_slave.get_context()
    context.add_task(lambda: throw(lambda: OddError(1, 2)))
    error = only_error(context)
    assert isinstance(error, RemoteError)
    assert error.exc is None
    assert "OddError: 1 is not 2" in str(error)


def test_a_task_that_can_not_be_unpickled_on_the_slave_fails_alone(one_slave: Manager) -> None:
    context = one_slave.get_context()
    context.add_task(int, NoWayThere())
    error = only_error(context)
    assert isinstance(error, RemoteError)
    assert isinstance(error.exc, ZeroDivisionError)
    assert "while the task was unpickled on the slave" in str(error)


def test_a_value_that_can_not_be_unpickled_on_the_master_fails_alone(one_slave: Manager) -> None:
    context = one_slave.get_context()
    master = os.getpid()
    context.add_task(lambda: OnlyOnTheMaster(master))
    context.add_task(lambda *_: OnlyOnTheMaster(master), 17, "x" * 1000)
    error, other = (error for error in context.get_results(on_error="return"))
    for each in error, other:
        assert isinstance(each, RemoteError)
        assert "can't be unpickled on the master" in str(each)
        assert "not here" in str(each)
        assert isinstance(each.exc, KeyError)
    assert callable(error.task)
    assert error.args_of_task == ()
    context.add_task(OnlyOnTheMaster, master)
    (error,) = context.get_results(on_error="return")
    assert (error.task, error.args_of_task) == (OnlyOnTheMaster, (str(master),))
    assert f"called with: {master}" in str(error)


@pytest.mark.parametrize("kind", MEAN)
def test_whatever_a_value_raises_when_it_is_unpickled_is_the_error_of_its_task(
    one_slave: Manager, kind: type[BaseException]
) -> None:
    context = one_slave.get_context()
    context.add_task(Explosive, kind, os.getpid())
    error = only_error(context)
    assert isinstance(error, RemoteError)
    assert isinstance(error.exc, kind)
    assert f"can't be unpickled on the master: {kind.__name__}" in str(error)


@pytest.mark.parametrize("kind", MEAN)
def test_whatever_an_argument_raises_when_it_is_shown_takes_nothing_from_the_error(
    one_slave: Manager, kind: type[BaseException]
) -> None:
    context = one_slave.get_context()
    context.add_task(lambda argument: 1 / 0, Explosive(kind, 0))
    error = only_error(context)
    assert isinstance(error, RemoteError)
    assert isinstance(error.exc, ZeroDivisionError)
    assert error.args_of_task == ("an instance of Explosive",)


@pytest.mark.parametrize("kind", MEAN)
def test_a_task_that_can_not_be_rebuilt_on_the_master_still_has_its_error(
    one_slave: Manager, kind: type[BaseException]
) -> None:
    context = one_slave.get_context()
    context.add_task(lambda argument: 1 / 0, Explosive(kind, os.getpid()))
    error = only_error(context)
    assert isinstance(error, RemoteError)
    assert isinstance(error.exc, ZeroDivisionError)
    assert error.task is None


@pytest.mark.parametrize("kind", MEAN)
def test_whatever_an_exception_raises_when_it_is_unpickled_its_error_has_its_text(
    one_slave: Manager, kind: type[BaseException]
) -> None:
    class Bursting(Exception):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)
            self.explosive = Explosive(kind, master)

    master = os.getpid()
    context = one_slave.get_context()
    context.add_task(lambda: throw(Bursting))
    error = only_error(context)
    assert isinstance(error, RemoteError)
    assert error.exc is None
    assert f"it can't be unpickled on the master: {kind.__name__}" in error.exc_problem


@pytest.mark.parametrize(
    ("args", "culprit"),
    [
        ((1, threading.Lock()), "args[1]"),
        (({"a": [threading.Lock()]},), "args[0]['a'][0]"),
        ((NoWayOut(),), "args[0]"),
    ],
)
def test_what_can_not_be_pickled_fails_in_add_task_and_is_named(
    one_slave: Manager, args: tuple[object, ...], culprit: str
) -> None:
    context = one_slave.get_context()
    with pytest.raises(PicklingError) as caught:
        context.add_task(print, *args)
    assert culprit in caught.value.culprit
    context.add_task(lambda: "good")
    assert list(context.get_results_unordered()) == ["good"]


def test_the_managers_own_things_can_not_be_in_a_task_and_the_error_says_what_to_do(
    one_slave: Manager,
) -> None:
    context = one_slave.get_context()
    for thing in one_slave, context, context.map(abs, []):
        name = type(thing).__name__
        with pytest.raises(PicklingError) as caught:
            context.add_task(lambda thing=thing: thing)
        assert f"a {name} belongs to the script's process, and can't be used" in str(caught.value)
        assert "Let the task return what further tasks need" in str(caught.value)
        assert caught.value.culprit.endswith(f"(of type {name})")
        assert "_lock" not in str(caught.value)


def test_a_task_that_can_not_be_called_is_refused(one_slave: Manager) -> None:
    context = one_slave.get_context()
    with pytest.raises(TypeError, match="callable"):
        context.add_task(3)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(TypeError, match="callable"):
        one_slave.get_context(3)  # type: ignore[arg-type]  # likewise


def test_bad_arguments_are_refused_where_they_are_given(manager: Manager, tmp_path: Path) -> None:
    for bad in ({"max_attempts": 0}, {"task_timeout_s": 0}, {"setup_timeout_s": -1.0}):
        with pytest.raises(ValueError, match="must be"):
            manager.get_context(**bad)  # that is the point
    with pytest.raises(ValueError, match="on_error"):
        manager.get_context().get_results_unordered(on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="describes no slave"):
        manager.add_slave("localhost")  # type: ignore[arg-type]  # likewise
    for output in ("slave.output", "%s%s", "%q"):
        with pytest.raises(ValueError, match="%d"):
            Manager(output=output)


def raise_error() -> None:
    raise GoodError("in the set-up")


def exit_quietly() -> None:
    os._exit(0)


def hang() -> None:
    time.sleep(600)


@pytest.mark.parametrize(
    ("setup", "words"),
    [
        (raise_error, "bad luck: in the set-up"),
        (exit_quietly, "exited with code 0"),
        (lambda: sys.exit("enough"), "enough"),
        (hang, "overran its time limit of 3 s"),
    ],
    ids=["raises", "exits", "sys.exit", "hangs"],
)
def test_a_setup_that_fails_fails_its_tasks_and_no_other_context(
    two_slaves: Manager, setup: Callable[[], None], words: str
) -> None:
    limit_s = 3.0 if setup is hang else None
    bad = two_slaves.get_context(setup, setup_timeout_s=limit_s)
    good = two_slaves.get_context(lambda: 5)
    for _ in range(4):
        bad.add_task(lambda: 1)
        good.add_task(lambda five: five)
    assert list(good.get_results_unordered()) == [5] * 4
    errors = list(bad.get_results_unordered(on_error="return"))
    assert len(errors) == 4
    for error in errors:
        assert isinstance(error, SetupError)
        assert words in str(error)
    bad.add_task(lambda: 1)
    with pytest.raises(SetupError):
        list(bad.get_results_unordered())


def test_a_setup_that_fails_on_one_slave_only_is_done_by_the_others(
    two_slaves: Manager, tmp_path: Path
) -> None:
    first = tmp_path / "first"

    def setup() -> str:
        try:
            first.touch(exist_ok=False)
        except FileExistsError:
            return "fine"
        raise OSError("no licence left")

    context = two_slaves.get_context(setup)
    for _ in range(6):
        context.add_task(lambda value: value)
    assert list(context.get_results_unordered()) == ["fine"] * 6


def test_the_values_of_a_setup_may_be_odd(one_slave: Manager) -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError("do not compare me")

        __hash__ = None  # type: ignore[assignment]  # that is the point

        def __bool__(self) -> bool:
            raise RuntimeError("do not ask me")

        def __iter__(self) -> object:
            raise RuntimeError("do not spread me")

    context = one_slave.get_context(Odd)
    context.add_task(lambda odd: type(odd).__name__)
    assert list(context.get_results_unordered()) == ["Odd"]


def test_a_flood_of_output_breaks_nothing(one_slave: Manager) -> None:
    def flood() -> str:
        block = "x" * (1 << 20)
        for _ in range(200):
            print(block)
        return "done"

    context = one_slave.get_context()
    context.add_task(flood)
    context.add_task(lambda: "next")
    assert sorted(context.get_results_unordered()) == ["done", "next"]


def _close_stdout() -> None:
    sys.stdout.close()
    os.close(1)


def _replace_stdout() -> None:
    sys.stdout = sys.stderr = None  # tasks do that


def _replace_stdout_by_one_that_raises() -> None:
    class Broken:
        def flush(self) -> None:
            raise RuntimeError("no more")

    sys.stdout = Broken()  # tasks do that


def _replace_handlers() -> None:
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass


def _start_threads() -> None:
    for _ in range(3):
        threading.Thread(target=time.sleep, args=(600,)).start()


def _change_the_world() -> None:
    os.chdir("/")
    os.environ.clear()
    os.umask(0o777)
    sys.path.clear()
    sys.modules.pop("json", None)
    sys.setrecursionlimit(200)


@pytest.mark.parametrize(
    "mischief",
    [
        _close_stdout,
        _replace_stdout,
        _replace_stdout_by_one_that_raises,
        _replace_handlers,
        _start_threads,
        _change_the_world,
    ],
)
def test_what_a_task_does_to_its_process_breaks_nothing_for_the_next(
    one_slave: Manager, mischief: Callable[[], None]
) -> None:
    context = one_slave.get_context()
    context.add_task(mischief)
    assert list(context.get_results_unordered()) == [None]
    for number in range(3):
        context.add_task(lambda number=number: number)
    assert sorted(context.get_results_unordered()) == [0, 1, 2]


def test_an_alarm_that_a_task_left_behind_costs_no_task_an_attempt(one_slave: Manager) -> None:
    context = one_slave.get_context(max_attempts=1)
    context.add_task(lambda: signal.setitimer(signal.ITIMER_REAL, 0.05) and None)
    assert list(context.get_results_unordered()) == [None]
    pid = one_slave.slaves[0].runner_pid
    wait_until(lambda: one_slave.slaves[0].runner_pid not in (None, pid))
    context.add_task(lambda: "fine")
    assert list(context.get_results_unordered()) == ["fine"]


@pytest.mark.parametrize("memory_limit", [1 << 29])
def test_a_task_over_its_memory_limit_fails_alone(one_slave: Manager, memory_limit: int) -> None:
    def eat() -> int:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_limit, memory_limit))
        return len(bytearray(memory_limit * 2))

    context = one_slave.get_context()
    context.add_task(eat)
    error = only_error(context)
    assert isinstance(error, RemoteError)
    assert isinstance(error.exc, MemoryError)


def test_a_missing_or_closed_output_folder_is_an_error_of_add_slave(
    processes: object, tmp_path: Path
) -> None:
    with Manager(output=str(tmp_path / "missing" / "slave%d.output")) as manager:
        with pytest.raises(Error, match=r"missing.*No such file") as caught:
            manager.add_slave(LocalSlave())
        assert "output=" in str(caught.value)


def test_a_full_disk_under_the_output_breaks_nothing(processes: object) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    link = Path("full0")
    link.symlink_to("/dev/full")
    with Manager(output="full%d") as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context(max_attempts=1)
        context.add_task(lambda: print("x" * 100_000))
        context.add_task(lambda: "next")
        results = list(context.get_results_unordered(on_error="return"))
    assert "next" in results
    assert not any(isinstance(result, TaskLostError) for result in results)


def test_output_may_go_nowhere(processes: object) -> None:
    with Manager(output=None) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(print, "hello")
        assert list(context.get_results_unordered()) == [None]
    assert not list(Path().glob("slave*"))
