"""Which kinds of output there are, and how the last lines of one are cut."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from imp_parallel_core._slave import flushing, outlet, runner_output
from imp_parallel_core._slave.outlet import BEGIN, FILE, ITEM, LIMIT_BYTES, PIPE, UNKNOWN, Register

PROGRAM = """
import os, sys
from imp_parallel_core._slave.outlet import kind_of_outlet
kind = kind_of_outlet()
os.write(1, b"one"); os.write(1, b"two"); os.write(2, b"three")
open(sys.argv[1], "w").write(f"{kind} {os.lseek(1, 0, 1) if kind == 0 else 0}")
"""


@pytest.mark.parametrize(
    ("redirection", "kind", "position"),
    [
        (">>out 2>&1", FILE, 11),
        (">>out 2>>out", FILE, 11),
        (">out 2>&1", PIPE, 0),
        ("2>&1 | cat >out", PIPE, 0),
        (">/dev/null 2>&1", PIPE, 0),
        (">/dev/null 2>/dev/null", PIPE, 0),
        (">>out 2>>err", UNKNOWN, 0),
        (">>out 2>/dev/null", UNKNOWN, 0),
        ("2>&1 >/dev/null | cat >err", UNKNOWN, 0),
    ],
)
def test_where_output_goes_is_recognised(
    tmp_path: Path, redirection: str, kind: int, position: int
) -> None:
    line = f'"$0" -c "$1" found {redirection}'
    command = ["bash", "-c", line, sys.executable, PROGRAM]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    assert (tmp_path / "found").read_text() == f"{kind} {position}"
    if ">>out 2>&1" in redirection or ">>out 2>>out" in redirection:
        assert (tmp_path / "out").read_text() == "onetwothree"


def test_a_runner_starts_where_the_c_library_can_not_be_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "imp_parallel_core._slave.c_library", None)
    flushing.output_flusher()()
    memory = outlet.memory_to_share()
    supervisors = Register(memory)
    Register.of_runner(memory).words[ITEM] = 7
    assert supervisors.words[ITEM] == 7


def test_the_last_lines_are_whole_if_they_can_be() -> None:
    line = b"x" * 99 + b"\n"
    kept = outlet.last_lines([line * 1000])
    assert kept == line * (LIMIT_BYTES // 100)
    assert outlet.last_lines([b"y", line * 2]) == b"y" + line * 2
    # a line that ends just where the limit begins is left out, and the next one is whole
    exact = b"z" * (LIMIT_BYTES - 1) + b"\n"
    assert outlet.last_lines([line, exact]) == exact
    long = b"a" * 20_000
    assert outlet.last_lines([long]) == long[:LIMIT_BYTES]
    assert outlet.last_lines([long, b"\n"]) == long[: LIMIT_BYTES - 1] + b"\n"


def test_a_supervisor_does_not_wait_for_a_file_system_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import threading

    gate = threading.Event()

    def hang(descriptor: int, begin: int, end: int) -> bytes:
        gate.wait(60)
        return b"late"

    monkeypatch.setattr(runner_output, "read_file", hang)
    monkeypatch.setattr(runner_output, "_READ_S", 0.05)
    register = Register()
    register.words[ITEM], register.words[BEGIN] = 7, 0
    output = runner_output.OutputInFile(register.words)
    assert output.of_item(7) is None
    gate.set()


def test_an_item_that_was_killed_before_it_began_has_printed_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runner_output, "read_file", lambda *place: b"of the item before")
    register = Register()
    register.words[ITEM] = 6
    assert runner_output.OutputInFile(register.words).of_item(7) == b""
