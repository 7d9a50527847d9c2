"""The pipe of a runner's output: all is passed on, and each failed item's part is found."""

from __future__ import annotations

import fcntl
import os
import selectors
import threading
from collections.abc import Iterator

import pytest

from imp_parallel_core._slave import output_pipe
from imp_parallel_core._slave.item_output import SPAN, ItemOutput
from imp_parallel_core._slave.outlet import ANNOUNCED, BEGIN, ITEM, PIPE, TAKEN, Register
from imp_parallel_core._slave.output_pipe import OutputPipe, Sink
from imp_parallel_core._wire import heads, protocol
from imp_parallel_core._wire.protocol import Message


class Ends:
    """Both ends of a runner's pipe, and the pipe that the slave's output goes to."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.register = Register()
        self.reader, self.slave = os.pipe()
        fcntl.fcntl(self.slave, fcntl.F_SETPIPE_SZ, 4096)
        os.set_blocking(self.reader, False)
        read, self.written = os.pipe()
        os.set_blocking(self.written, False)
        self.runner = ItemOutput(PIPE, self.register, self.written)
        self.sink = Sink(self.selector, self.slave)
        self.told: list[bytes] = []  # what the runner has sent, and the supervisor has not read
        self.found: list[bytes] = []
        self.pipe = OutputPipe(read, self.register.words, self.selector, self.sink, self._catch_up)

    def begin(self, item: int) -> None:
        self.register.words[BEGIN] = self.runner.position()
        self.register.words[ITEM] = item

    def print(self, data: bytes) -> None:
        assert os.write(self.written, data) == len(data)

    def fail(self) -> None:
        self.told.append(self.runner.of_failed())

    def _catch_up(self) -> None:
        while self.told:
            parts = [b"traceback", b"line", b"facts", self.told.pop(0), b"pickle"]
            outcome = self.pipe.completed(Message(protocol.OUTCOME, b"head", parts))
            self.found.append(bytes(outcome.segments[heads.OUTPUT_SEGMENT]))  # type: ignore[arg-type]  # it is not shared

    def turn(self, wait_s: float = 10.0) -> bool:
        ready = self.selector.select(wait_s)
        for key, events in ready:
            key.data(events)
        return bool(ready)

    def passed_on(self) -> bytes:
        data = b""
        try:
            while piece := os.read(self.reader, 1 << 16):
                data += piece
                self.turn(0)
        except BlockingIOError:
            return data
        return data

    def close(self) -> None:
        self.selector.close()
        for descriptor in (self.reader, self.slave, self.written):
            os.close(descriptor)


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    yield made
    made.close()


def test_what_a_failed_item_printed_is_found_behind_and_before_that_of_others(ends: Ends) -> None:
    ends.begin(1)
    ends.print(b"before")
    ends.turn()
    ends.begin(2)
    ends.print(b"it")
    ends.fail()
    ends.begin(3)
    ends.print(b"after")
    ends.turn()
    ends.turn(0)
    assert ends.found == [b"it"]
    assert ends.passed_on() == b"beforeitafter"


def test_what_a_failed_item_printed_is_found_before_a_flood_of_the_next_one(ends: Ends) -> None:
    fcntl.fcntl(ends.slave, fcntl.F_SETPIPE_SZ, 1 << 20)
    ends.begin(1)
    ends.print(b"it\n" * 5000)
    ends.fail()
    ends.begin(2)
    for _ in range(20):
        ends.print(b"x" * 30_000)
        ends.turn()
    assert ends.found == [(b"it\n" * 5000)[-8190:]]
    assert ends.passed_on() == b"it\n" * 5000 + b"x" * 600_000


def test_output_that_nobody_takes_waits_in_the_pipe(ends: Ends) -> None:
    ends.begin(1)
    ends.print(b"a" * 30_000)
    ends.turn()  # more than there is room for
    assert ends.sink.waiting_bytes == 30_000 - 4096
    ends.print(b"b" * 30_000)
    assert not ends.turn(0)
    assert ends.register.words[TAKEN] == 30_000
    ends.fail()
    ends._catch_up()  # which needs what waits in the pipe
    assert ends.found == [b"b" * 8192]
    assert ends.passed_on() == b"a" * 30_000 + b"b" * 30_000
    ends.print(b"c")
    ends.turn()
    assert ends.passed_on() == b"c"


def test_the_supervisor_holds_only_so_much_that_nobody_takes(ends: Ends) -> None:
    for number in range(100):
        ends.begin(number)
        if os.write(ends.written, b"x" * 60_000) < 60_000:
            break
        ends.fail()
        ends._catch_up()
    assert (1 << 20) <= ends.sink.waiting_bytes < (1 << 20) + 60_000


def test_the_last_output_is_passed_on_to_who_takes_it_late(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output_pipe, "_LAST_S", 60.0)
    ends.print(b"x" * 50_000)
    ends.turn()
    assert ends.sink.waiting_bytes
    os.set_blocking(ends.reader, True)
    taken: list[bytes] = []

    def take() -> None:
        while sum(map(len, taken)) < 50_000:
            taken.append(os.read(ends.reader, 1 << 16))

    reader = threading.Thread(target=take)
    reader.start()
    ends.sink.finish()
    assert not ends.sink.waiting_bytes
    reader.join()
    assert b"".join(taken) == b"x" * 50_000


def test_an_output_that_has_no_reader_any_more_costs_nothing(ends: Ends) -> None:
    reader, ends.reader = ends.reader, os.open(os.devnull, os.O_RDONLY)
    os.close(reader)
    for _ in range(100):
        ends.print(b"x" * 10_000)
        ends.turn()
    assert ends.sink.waiting_bytes == 0


def test_the_item_that_ended_the_runner_is_known_with_its_output(ends: Ends) -> None:
    ends.begin(1)
    ends.print(b"before")
    ends.begin(2)
    ends.print(b"it")
    assert ends.pipe.of_item(2) == b"it"
    assert ends.pipe.of_item(3) == b""  # it had not begun
    ends.print(b" and the rest")
    ends.pipe.close()
    assert ends.passed_on() == b"beforeit and the rest"


def test_an_outcome_that_a_task_has_forged_is_passed_on(ends: Ends) -> None:
    for parts in ([], [b""] * 5, [b"", b"", b"", SPAN.pack(1 << 60, 1 << 61), b""]):
        outcome = ends.pipe.completed(Message(protocol.OUTCOME, b"head", parts))
        assert len(outcome.segments) == len(parts)


def test_a_runner_waits_while_the_supervisor_is_about_to_take_what_it_counts(ends: Ends) -> None:
    ends.print(b"x" * 10)
    words = ends.register.words
    words[ANNOUNCED] = 10
    assert os.read(ends.pipe._descriptor, 10) == b"x" * 10
    counted: list[int] = []
    runner = threading.Thread(target=lambda: counted.append(ends.runner.position()))
    runner.start()
    runner.join(0.1)
    assert runner.is_alive()
    words[TAKEN] = 10
    runner.join()
    assert counted == [10]


def test_a_runner_counts_what_was_written_while_the_supervisor_reads(ends: Ends) -> None:
    is_over = threading.Event()
    os.set_blocking(ends.written, True)

    def supervise() -> None:
        while not is_over.is_set():
            ends.turn(0.01)
            ends.passed_on()

    supervisor = threading.Thread(target=supervise)
    supervisor.start()
    try:
        written = 0
        for number in range(3000):
            data = b"x" * (number % 97)
            ends.print(data)
            written += len(data)
            assert ends.runner.position() == written
    finally:
        is_over.set()
        supervisor.join()
