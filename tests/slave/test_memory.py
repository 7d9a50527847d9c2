"""How much memory a slave's processes hold."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import pytest

from imp_parallel_core._slave import memory
from imp_parallel_core._slave.memory import MemoryWatch, Usage, descendants_of, usage_of

NEVER = float("inf")
LIMIT = 1000_000_000


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Usage]:
    """Return a list of what the system is to say next."""
    given: list[Usage] = []
    monkeypatch.setattr(memory, "usage_of", lambda pids, limit_bytes: given.pop(0))
    monkeypatch.setattr(memory, "time", SimpleNamespace(monotonic=lambda: 1.0))  # it takes no time
    return given


@pytest.fixture
def start() -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Return a function that starts a process with some code, which says when it is there."""
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", f"{code}; print(flush=True); input()"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_nothing_is_looked_at_unless_something_with_a_limit_runs() -> None:
    watch = MemoryWatch(1)
    assert watch.look_at == NEVER
    watch.begin(5.0)
    assert 5.0 < watch.look_at < 5.1
    watch.end()
    assert watch.look_at == NEVER


def test_a_slave_says_once_that_it_can_not_see_to_a_limit(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(memory, "_CAN_LOOK", False)
    watch = MemoryWatch(1)
    watch.begin(5.0)
    watch.begin(6.0)
    assert watch.look_at == NEVER
    assert "".join(capfd.readouterr()).count("nobody sees to task_memory_bytes here") == 1


def test_the_next_look_comes_the_sooner_the_nearer_the_limit_is(answers: list[Usage]) -> None:
    watch = MemoryWatch(1)
    waits = []
    for used in (0, 500_000_000, 900_000_000, 999_000_000):
        answers.append(Usage(used, 1))
        assert watch.look(5, LIMIT, 7.0) == ""
        waits.append(watch.look_at - 7.0)
    assert waits == sorted(waits, reverse=True)
    assert waits[0] <= 0.5
    assert waits[-1] >= 0.009


def test_looking_at_what_many_processes_share_takes_a_bounded_part_of_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []

    def share_bytes(pid: int) -> int:
        time.sleep(0.05)
        asked.append(pid)
        return 1

    monkeypatch.setattr(memory, "_resident_bytes", lambda pid: LIMIT)
    monkeypatch.setattr(memory, "_share_bytes", share_bytes)
    monkeypatch.setattr(memory, "descendants_of", lambda pid, but: range(2, 1000))
    monkeypatch.setattr(memory, "_ASK_S", 0.2)
    watch = MemoryWatch(1)
    assert watch.look(5, LIMIT, 7.0) == ""
    assert 1 < len(asked) < 10
    assert watch.look_at > 9.0


def test_an_item_without_a_limit_is_not_looked_at(answers: list[Usage]) -> None:
    watch = MemoryWatch(1)
    assert watch.look(5, 0, 7.0) == ""
    assert 7.0 < watch.look_at < NEVER  # the next item may have one
    assert not answers


def test_processes_that_end_meanwhile_are_looked_at_again_but_not_for_ever(
    answers: list[Usage],
) -> None:
    watch = MemoryWatch(1)
    doubtful = Usage(LIMIT + 1, 3, is_certain=False)
    answers += [doubtful, Usage(5, 2), *[doubtful] * 5]
    *seen, why = [watch.look(5, LIMIT, 7.0) for _ in range(7)]
    assert not any(seen)
    assert why.startswith("held 1,000.000001 MB of memory with 2 processes that it has started, ")
    assert watch.exceeded == (5, LIMIT + 1)
    assert watch.look_at == NEVER


def test_a_usage_is_told_with_the_processes_that_were_started() -> None:
    alone = Usage(2_345_678_901, 1).described(10**9)
    assert alone == "2,346 MB of memory, more than the 1,000 MB"
    assert "MB of memory with 1 process that it has started," in Usage(5, 2).described(1)
    assert "MB of memory with 3 processes that it has started," in Usage(5, 4).described(1)


@pytest.mark.parametrize(
    ("held", "shown"), [(1, "200.000001"), (4_096, "200.004"), (49_000, "200.05"), (10**6, "201")]
)
def test_a_usage_is_shown_with_as_many_digits_as_tell_it_from_the_limit(
    held: int, shown: str
) -> None:
    words = Usage(200_000_000 + held, 1).described(200_000_000)
    decimals = len(shown.partition(".")[2])
    assert words == f"{shown} MB of memory, more than the {200:.{decimals}f} MB"


def test_children_of_all_threads_and_their_children_are_descendants(
    start: Callable[[str], subprocess.Popen[bytes]],
) -> None:
    code = (
        "import subprocess, threading;"
        "run = lambda: made.append(subprocess.Popen(['sh', '-c', 'sleep 60 & wait']));"
        "made = []; gate = threading.Event();"
        "thread = threading.Thread(target=lambda: (run(), gate.wait()), daemon=True);"
        "thread.start(); import time\nwhile not made: time.sleep(0.01)\n"
        "while len(open(f'/proc/{made[0].pid}/task/{made[0].pid}/children').read()) < 2:"
        " time.sleep(0.01)\nprint(made[0].pid, flush=True)"
    )
    process = start(f"exec({code!r})")
    found = descendants_of(process.pid)
    try:
        assert len(found) == 2
        assert descendants_of(os.getpid(), but=process.pid)[-2:] == found
        assert process.pid in descendants_of(os.getpid())
    finally:
        for pid in found:
            os.kill(pid, 9)


def test_what_a_process_holds_is_its_resident_memory(
    start: Callable[[str], subprocess.Popen[bytes]],
) -> None:
    process = start("held = b'x' * 100_000_000")
    total_bytes, count, is_certain = usage_of([process.pid], 0)
    assert 100_000_000 < total_bytes < 200_000_000
    assert (count, is_certain) == (1, True)


def test_what_processes_share_after_a_fork_counts_once(
    start: Callable[[str], subprocess.Popen[bytes]],
) -> None:
    process = start(
        "import os; held = b'x' * 100_000_000; pid = os.fork(); pid or __import__('signal').pause()"
    )
    pids = [process.pid, *descendants_of(process.pid)]
    try:
        assert len(pids) == 2
        exact = usage_of(pids, 0)
        assert 100_000_000 < exact.total_bytes < 200_000_000
        assert exact.is_certain
        assert usage_of(pids, 10**12).total_bytes > 200_000_000  # an upper bound will do
    finally:
        os.kill(pids[-1], 9)


def test_a_process_that_has_gone_holds_nothing() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert usage_of([process.pid], 0) == Usage(0, 0)
    assert descendants_of(process.pid) == []
