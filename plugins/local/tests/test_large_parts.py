"""Something large that many tasks hold: it is sent once, and each task finds it as it was."""

from __future__ import annotations

import functools
import gc
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import Manager, RemoteError
from imp_parallel_core._wire import protocol, shared_memory
from tests.support.large_blocks import Block, pass_over_what_is_held, shared_memory_of
from tests.support.waiting import wait_until

MB = 1 << 20


class Sent:
    """What a Manager has sent to its slaves: the kinds of messages, and how many bytes."""

    def __init__(self, manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kinds: list[int] = []
        self.size_bytes = 0
        send = manager._engine._fleet.send

        def note(index: int, kind: int, head: bytes = b"", segments: Sequence[Any] = ()) -> None:
            self.kinds.append(kind)
            self.size_bytes += sum(map(len, segments))
            send(index, kind, head, segments)

        monkeypatch.setattr(manager._engine._fleet, "send", note)


def shared_memory_of_all(manager: Manager) -> int:
    """Return how many pieces of shared memory this process and its slaves hold."""
    gc.collect()
    pids = [pid for slave in manager.slaves for pid in (slave.pid, slave.runner_pid) if pid]
    holders: list[int | str] = ["self", *pids]
    return len(set().union(*map(shared_memory_of, holders)))


@pytest.fixture(autouse=True)
def _count_from_here() -> None:
    pass_over_what_is_held()


def test_what_many_tasks_hold_is_sent_to_each_slave_once(
    two_slaves: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    block = Block(os.urandom(8 * MB))
    context = two_slaves.get_context()
    sent = Sent(two_slaves, monkeypatch)
    for number in range(100):
        context.add_task(block.at, number)
    assert list(context.get_results()) == list(block.data[:100])
    assert sent.kinds.count(protocol.KEEP) <= 2
    # once to be kept by each, and with the first tasks, which may begin before a second is there
    assert sent.size_bytes < 4 * 8 * MB
    before = sent.size_bytes
    assert list(context.map(functools.partial(Block.at, block), range(100))) == list(
        block.data[:100]
    )
    assert sent.size_bytes < before + MB


def test_the_master_holds_a_large_part_once_while_tasks_wait(manager: Manager) -> None:
    block = Block(os.urandom(8 * MB))
    context = manager.get_context()
    for number in range(50):
        context.add_task(block.at, number)
    assert shared_memory_of_all(manager) == 1


def test_a_task_that_writes_to_its_argument_changes_nothing_for_the_others(
    one_slave: Manager,
) -> None:
    block = Block(bytearray(2 * MB))

    def spoil(block: Block, number: int) -> int:
        found = int(max(block.data))
        block.data[number] = 1
        return found

    context = one_slave.get_context()
    for number in range(20):
        context.add_task(spoil, block, number)
    assert set(context.get_results()) == {0}


def _arrays() -> dict[str, Any]:
    """Return arrays of 2 MiB and more that numpy pickles as bytes: they are not contiguous."""
    square = numpy.ones((600, 600))
    masked = numpy.ma.array(square[:, 1:], mask=numpy.zeros((600, 599), bool))
    return {
        "a part of each row": square[:, 1:],
        "a column": numpy.ones((300_000, 2))[:, 0],
        "a row of a transposed array": numpy.ones((300_000, 2)).T[0],
        "backwards": numpy.ones(300_000)[::-1],
        "masked": masked,
        "contiguous": square,
    }


@pytest.mark.parametrize("name", _arrays())
@pytest.mark.parametrize("by_descriptor", [True, False], ids=["shared memory", "plain bytes"])
def test_a_task_that_writes_to_an_array_changes_nothing_for_the_others(
    manager: Manager, name: str, by_descriptor: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not by_descriptor:
        monkeypatch.setattr(shared_memory, "IS_AVAILABLE", False)
    array = _arrays()[name]

    def total_and_spoil(array: Any) -> float:
        total = float(array.sum())
        array *= 2
        return total

    manager.add_slave(LocalSlave())
    context = manager.get_context()
    assert list(context.map(total_and_spoil, [array] * 6)) == [float(array.size)] * 6


@pytest.mark.parametrize("name", _arrays())
def test_arrays_that_are_equal_are_two_in_a_task(one_slave: Manager, name: str) -> None:
    def spoil_one(one: Any, other: Any) -> float:
        one += 1
        return float(other.max())

    context = one_slave.get_context()
    for _ in range(4):
        context.add_task(spoil_one, _arrays()[name], _arrays()[name])
    assert list(context.get_results()) == [1.0] * 4


def test_arrays_that_are_equal_are_two_globals(one_slave: Manager) -> None:
    context = one_slave.get_context()
    namespace = {"one": _arrays()["a column"], "other": _arrays()["a column"]}
    source = "def spoil():\n    global one\n    one += 1\n    return float(other.max())"
    exec(source, namespace)
    for _ in range(4):
        context.add_task(namespace["spoil"])
    assert list(context.get_results()) == [1.0] * 4


def test_the_task_of_an_error_can_be_written_to_without_changing_what_waits(
    one_slave: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_memory, "IS_AVAILABLE", False)
    array = _arrays()["a part of each row"]

    class Sum:
        def __init__(self, array: Any) -> None:
            self.array = array

        def __call__(self, divisor: int) -> float:
            return float(self.array.max()) / divisor

    context = one_slave.get_context()
    results = context.map(Sum(array), [0, 1, 1], on_error="return")
    error = next(results)
    assert isinstance(error, RemoteError)
    error.task.array *= 2
    context.add_task(Sum(array), 1)
    assert list(results) == [1.0, 1.0]
    assert list(context.get_results()) == [1.0]


def test_what_is_changed_in_place_between_two_tasks_is_seen_by_the_second(
    two_slaves: Manager,
) -> None:
    block = Block(bytearray(3 * MB))
    context = two_slaves.get_context()
    for number in range(30):
        block.data[2 * MB + 99] = number
        context.add_task(block.at, 2 * MB + 99)
        context.add_task(block.at, 2 * MB + 99)
    assert list(context.get_results()) == [number // 2 for number in range(60)]


def test_bytes_and_texts_that_many_tasks_hold_arrive_as_what_they_are(one_slave: Manager) -> None:
    things = os.urandom(2 * MB), "Sequenz \N{SNOWMAN} " * MB, bytearray(os.urandom(2 * MB))
    context = one_slave.get_context()
    for number in range(10):
        context.add_task(lambda *args: (list(map(hash, args[:2])), list(map(type, args))), *things)
        context.add_task(lambda *args: args[2][-1 - args[3]], *things, number)
    results = list(context.get_results())
    assert {str(types) for _, types in results[::2]} == {
        "[<class 'bytes'>, <class 'str'>, <class 'bytearray'>]"
    }
    assert results[1::2] == [things[2][-1 - number] for number in range(10)]


def test_a_bytearray_that_a_task_has_changed_is_new_for_the_next(one_slave: Manager) -> None:
    shared = bytearray(2 * MB)

    def spoil(data: bytearray) -> int:
        found = len(data) + data[0]
        data[0] = 7
        data.append(1)
        return found

    context = one_slave.get_context()
    for _ in range(5):
        context.add_task(spoil, shared)
    assert list(context.get_results()) == [2 * MB] * 5


def test_a_large_part_is_forgotten_when_no_task_needs_it(one_slave: Manager) -> None:
    context = one_slave.get_context()
    blocks = [Block(os.urandom(2 * MB)) for _ in range(3)]
    for block in blocks:
        for number in range(5):
            context.add_task(block.at, number)
    results = context.get_results()
    for _ in range(15):
        next(results)
    # what the task that was added last refers to is held for the next
    wait_until(lambda: shared_memory_of_all(one_slave) <= 1)
    context.add_task(len, b"")
    assert list(context.get_results()) == [0]
    del results
    context.add_task(len, b"")  # the engine learns by it that nothing refers to it
    assert list(context.get_results()) == [0]


def test_closing_the_context_forgets_it(one_slave: Manager) -> None:
    context = one_slave.get_context()
    block = Block(os.urandom(2 * MB))
    for number in range(5):
        context.add_task(block.at, number)
    assert list(context.get_results()) == list(block.data[:5])
    assert shared_memory_of_all(one_slave) == 1
    context.close()
    wait_until(lambda: shared_memory_of_all(one_slave) == 0)


def test_closing_the_context_lets_go_of_what_its_functions_have_captured(
    one_slave: Manager,
) -> None:
    array = numpy.ones(2 * MB)
    context = one_slave.get_context()

    def first(number: int) -> Any:
        return array[number]  # which is pickled as numpy says

    for number in range(5):
        context.add_task(first, number)
    assert list(context.get_results()) == [1.0] * 5
    assert shared_memory_of_all(one_slave) == 1
    context.close()
    wait_until(lambda: shared_memory_of_all(one_slave) == 0)


def test_a_runner_that_replaces_a_dead_one_gets_the_large_part_again(
    one_slave: Manager, tmp_path: Path
) -> None:
    block = Block(os.urandom(4 * MB))

    def die_once(block: Block, number: int) -> int:
        if number % 5 == 2 and not (tmp_path / str(number)).exists():
            (tmp_path / str(number)).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return block.at(number)

    context = one_slave.get_context()
    for number in range(15):
        context.add_task(die_once, block, number)
    assert list(context.get_results()) == list(block.data[:15])


def test_an_error_still_tells_of_the_task_that_held_it(one_slave: Manager) -> None:
    block = Block(bytes(2 * MB))
    context = one_slave.get_context()
    for number in (1, 3 * MB):
        context.add_task(block.at, number)
    results = context.get_results()
    assert next(results) == 0
    with pytest.raises(RemoteError, match="IndexError") as caught:
        next(results)
    assert caught.value.task.__self__.data == block.data


def memory_bytes() -> int:
    """Return how much memory this process has of its own."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024


def test_errors_of_many_tasks_that_hold_it_take_little_memory(one_slave: Manager) -> None:
    class Model:
        def __init__(self) -> None:
            self.weights = numpy.ones(MB)

        def __setstate__(self, state: dict[str, Any]) -> None:
            self.__dict__.update(state)
            self.weights *= 2

        def loss(self, number: int) -> float:
            raise ValueError(number)

    context = one_slave.get_context()
    before, descriptors = memory_bytes(), len(list(Path("/proc/self/fd").iterdir()))
    errors = list(context.map(Model().loss, range(50), on_error="return"))
    assert memory_bytes() < before + 10 * 8 * MB  # of 50 of them
    assert len(list(Path("/proc/self/fd").iterdir())) < descriptors + 10
    assert shared_memory_of_all(one_slave) == 1
    context.close()
    error = errors[7]
    assert isinstance(error, RemoteError)
    assert error.args_of_task == ("7",)
    assert "Model.loss" in str(error)
    assert error.task.__self__.weights.sum() == 2 * MB
    assert error.task is not error.task


@pytest.mark.parametrize("count", [1, 3])
def test_tasks_one_after_the_other_find_it_where_it_was(
    one_slave: Manager, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    block = Block(os.urandom(4 * MB))
    context = one_slave.get_context()
    sent = Sent(one_slave, monkeypatch)
    for number in range(10):
        for _ in range(count):
            context.add_task(block.at, number)
        assert list(context.get_results()) == [block.data[number]] * count
    assert sent.kinds.count(protocol.KEEP) == 1
    assert sent.size_bytes < 3 * 4 * MB
