"""A Ctrl-C may strike the library anywhere, and the script (a notebook) may go on afterwards.

An interrupt is raised at each place, in turn, at which CPython would run a signal's handler: at the
start of a function, after a call, before a jump back.
"""

from __future__ import annotations

import dis
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import Context, Manager
from tests.support.harness import Processes

_CALLS = {
    dis.opmap[name] for name in ("CALL", "CALL_FUNCTION_EX", "JUMP_BACKWARD") if name in dis.opmap
}
LIMIT_S = 20.0
LOADED = "IMP_PARALLEL_TESTS_LOADED"
"""The variable that counts how often a result was loaded."""


class Interrupter:
    """A trace function that raises KeyboardInterrupt at the n-th place inside the library."""

    def __init__(self, n: int) -> None:
        self.places_left = n
        self.struck = ""
        self._previous: dict[int, int] = {}

    def __call__(self, frame: FrameType, event: str, arg: object) -> object:
        if "imp_parallel_core" not in frame.f_code.co_filename:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "call":
            self._arrive(frame)
        elif event == "opcode":
            if self._previous.get(id(frame)) in _CALLS:
                self._arrive(frame)
            self._previous[id(frame)] = frame.f_code.co_code[frame.f_lasti]
        return self

    def _arrive(self, frame: FrameType) -> None:
        self.places_left -= 1
        if self.places_left == 0:
            self.struck = f"{frame.f_code.co_name}:{frame.f_lineno}"
            sys.settrace(None)
            raise KeyboardInterrupt


def places(act: Callable[[Interrupter], None]) -> Iterator[str]:
    """Do something again and again, interrupted at one place after the other; yield each."""
    for n in range(1, 2000):
        interrupter = Interrupter(n)
        failure: list[BaseException] = []

        def run(
            interrupter: Interrupter = interrupter, failure: list[BaseException] = failure
        ) -> None:
            try:
                act(interrupter)
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(LIMIT_S)
        assert not thread.is_alive(), f"hangs after an interrupt in {interrupter.struck}"
        assert not failure, (interrupter.struck, failure)
        if not interrupter.struck:
            return
        yield interrupter.struck
    raise AssertionError("it never ends")


def interrupted(interrupter: Interrupter, act: Callable[[], object]) -> bool:
    """Do something under an interrupter; return whether it was interrupted."""
    sys.settrace(interrupter)  # type: ignore[arg-type]  # it returns itself
    try:
        act()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


def pair(a: int, b: int) -> tuple[int, int]:
    """Return what is given."""
    return a, b


def append_each(results: Iterator[Any], found: list[Any]) -> None:
    """Append one result after the other, so that an interrupt loses none of those before."""
    for result in results:
        found.append(result)


def test_an_interrupt_in_add_task_adds_the_task_or_not_and_nothing_hangs(
    one_slave: Manager,
) -> None:
    def act(interrupter: Interrupter) -> None:
        context = one_slave.get_context()
        context.add_task(lambda: "a")
        struck = interrupted(interrupter, lambda: context.add_task(lambda: "b"))
        context.add_task(lambda: "c")
        results = sorted(context.get_results_unordered())
        assert results == ["a", "b", "c"] or (struck and results == ["a", "c"])

    assert len(list(places(act))) > 20


@pytest.mark.filterwarnings("ignore::imp_parallel_core.UnreadResultsWarning")
@pytest.mark.parametrize("read", [Context.get_results_unordered, Context.get_results])
def test_an_interrupt_while_reading_loses_nothing_and_nothing_hangs(
    one_slave: Manager, read: Callable[[Context], Iterator[str]]
) -> None:
    lost = []

    def act(interrupter: Interrupter) -> None:
        context = one_slave.get_context()
        for name in ("a", "b"):
            context.add_task(lambda name=name: name)
        results: list[str] = []
        interrupted(interrupter, lambda: append_each(read(context), results))
        context.add_task(lambda: "c")
        append_each(read(context), results)
        assert len(results) == len(set(results))
        if read is Context.get_results:
            assert results == sorted(results), interrupter.struck
        if sorted(results) != ["a", "b", "c"]:
            lost.append(interrupter.struck)

    assert len(list(places(act))) > 20
    # one step can't be made safe: between the removal of a result and its way to the loop
    assert len(set(lost)) <= 1
    assert all(place.startswith("iterate:") for place in lost)


@pytest.mark.parametrize("map_", [Context.map_unordered, Context.map])
def test_an_interrupt_in_map_loses_no_item_and_no_result_and_nothing_hangs(
    one_slave: Manager, map_: Callable[..., Iterator[tuple[int, int]]]
) -> None:
    count, lost = 4, []

    def act(interrupter: Interrupter) -> None:
        context = one_slave.get_context()
        mapped = map_(context, pair, range(count), range(count), ahead=2)
        results: list[tuple[int, int]] = []
        interrupted(interrupter, lambda: append_each(mapped, results))
        append_each(mapped, results)
        assert len(results) == len(set(results))
        if map_ is Context.map:
            assert results == sorted(results), interrupter.struck
        if sorted(results) != [(number, number) for number in range(count)]:
            assert all(a == b for a, b in results), interrupter.struck
            lost.append(interrupter.struck)

    assert len(list(places(act))) > 100
    # the same step as above
    assert len(set(lost)) <= 1
    assert all(place.startswith("__next__") for place in lost)


def test_a_result_that_was_being_unpickled_at_a_ctrl_c_is_still_there(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupting:
        def __reduce__(self) -> tuple[Any, ...]:
            return _load_after_a_ctrl_c, ()

    with Manager() as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(Interrupting)
        monkeypatch.setenv(LOADED, "0")
        with pytest.raises(KeyboardInterrupt):
            list(context.get_results_unordered())
        assert os.environ[LOADED] == "1"
        assert list(context.get_results_unordered()) == ["loaded"]


def _load_after_a_ctrl_c() -> str:
    """Be interrupted when a master loads this for the first time."""
    count = int(os.environ[LOADED])
    os.environ[LOADED] = str(count + 1)
    if not count:
        signal.raise_signal(signal.SIGINT)
    return "loaded"
