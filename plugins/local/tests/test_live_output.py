"""Manager(output="-") prints what slaves print; Manager(output=function) hands the lines over."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from imp_parallel_local import LocalSlave
from jupyter_client.manager import start_new_kernel

from imp_parallel_core import LaunchError, Manager, OutputLine, TaskLostError
from imp_parallel_core._api import live_output
from imp_parallel_core.private_folders import MARK
from tests.support.harness import RunScript
from tests.support.waiting import wait_until


def setup() -> int:
    print("reading")
    return 1


def speak(value: int, number: int) -> int:
    """Print by Python, by a program, and without an end of line."""
    print("hello", number, flush=True)
    subprocess.run(["echo", f"echo {number}"], check=True)
    print("bye", number, end="", file=sys.stderr)
    return number


class Heard:
    """A function for the lines."""

    def __init__(self) -> None:
        self.lines: list[OutputLine] = []

    def __call__(self, line: OutputLine) -> None:
        self.lines.append(line)

    def of(self, task: int | None) -> list[str]:
        return [line.text for line in self.lines if line.task == task and line.context is not None]


def test_a_function_gets_each_line_with_the_numbers_of_slave_and_task(tmp_path: Path) -> None:
    heard = Heard()
    with Manager(output=heard) as manager:
        for _ in range(2):
            manager.add_slave(LocalSlave())
        context = manager.get_context(setup)
        for number in range(6):
            context.add_task(speak, number=number)
        assert sorted(context.get_results()) == list(range(6))
    for number in range(6):
        assert heard.of(number) == [f"hello {number}", f"echo {number}", f"bye {number}"]
    assert set(heard.of(None)) == {"reading"}
    assert {line.slave for line in heard.lines} <= {0, 1}
    assert {line.context for line in heard.lines} == {1}
    assert list(tmp_path.iterdir()) == [], "the folder of the files is left"


def test_lines_come_while_the_task_runs(tmp_path: Path) -> None:
    def wait_for(gate: Path) -> None:
        print("waiting")
        while not gate.exists():
            time.sleep(0.01)

    heard = Heard()
    with Manager(output=heard) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(wait_for, tmp_path / "gate")
        wait_until(lambda: heard.of(0) == ["waiting"], what="the line")
        (tmp_path / "gate").touch()
        list(context.get_results())


PRINTS = """
from imp_parallel_core import Manager
from imp_parallel_local import LocalSlave

with Manager(output="-") as manager:
    manager.add_slave(LocalSlave())
    context = manager.get_context()
    context.add_task(print, "from a task")
    list(context.get_results())
    print("from the script")
"""


def test_a_dash_prints_where_the_script_prints(start_script: RunScript) -> None:
    script = start_script(PRINTS)
    out, err = script.communicate(timeout=50)
    assert sorted(out.splitlines()) == ["[slave 0, task 0] from a task", "from the script"]
    assert err == ""


@pytest.fixture
def run_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """Return a function that runs a cell in a notebook, and returns what the cell shows."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    kernel, client = start_new_kernel(kernel_name="python3")

    def run(code: str) -> list[dict[str, Any]]:
        id, shown = client.execute(code), []
        while True:
            message = client.get_iopub_msg(timeout=50)
            if message["parent_header"].get("msg_id") == id:
                content = message["content"]
                assert message["msg_type"] != "error", content
                if message["msg_type"] in ("stream", "execute_result"):
                    shown.append(content)
                if content.get("execution_state") == "idle":
                    return shown

    yield run
    client.stop_channels()
    kernel.shutdown_kernel(now=True)


def test_in_a_notebook_lines_come_in_the_cell_that_runs_and_slaves_are_a_table(
    run_cell: Callable[[str], list[dict[str, Any]]],
) -> None:
    run_cell(
        "from imp_parallel_core import Manager, LocalSlave\nfrom threading import Event\n"
        "manager = Manager(output='-'); manager.add_slave(LocalSlave())\n"
        "context = manager.get_context(name='notes')"
    )
    for number in range(2):
        cell = f"context.add_task(print, 'in cell {number}'); list(context.get_results())"
        shown = run_cell(f"{cell}; Event().wait(2)")
        text = "".join(each.get("text", "") for each in shown)
        assert text == f"[slave 0, task {number}] in cell {number}\n"
    (slaves,) = run_cell("manager.slaves")
    assert slaves["data"]["text/html"].startswith("<table>")
    (context,) = run_cell("context")
    assert context["data"]["text/plain"] == "<Context notes: 2 of 2 done>"
    run_cell("manager.close()")


def print_lines(count: int) -> None:
    """Print lines of 10 bytes."""
    for number in range(count):
        print(f"{number:09}")


def test_what_is_left_at_the_end_is_shown_as_long_as_lines_are_taken(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_output, "_STUCK_S", 2.0)
    heard = Heard()

    def take(line: OutputLine) -> None:
        time.sleep(0.04)
        heard(line)

    with Manager(output=take) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(print_lines, 100)
        list(context.get_results())
    assert heard.of(0) == [f"{number:09}" for number in range(100)]
    assert not caplog.records


@pytest.mark.parametrize("hangs", [True, False])
def test_a_warning_says_how_much_is_not_shown_in_the_time_that_there_is(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, *, hangs: bool
) -> None:
    monkeypatch.setattr(live_output, "_STUCK_S", 1.0 if hangs else 60.0)
    monkeypatch.setattr(live_output, "_LAST_S", 60.0 if hangs else 1.0)
    came, may_go = threading.Event(), threading.Event()

    def take(line: OutputLine) -> None:
        came.set()
        may_go.wait(60.0 if hangs else 0.5)

    try:
        with Manager(output=take) as manager:
            manager.add_slave(LocalSlave())
            context = manager.get_context()
            context.add_task(print_lines, 200)
            list(context.get_results())
            assert came.wait(30)
            began_at = time.monotonic()
        assert time.monotonic() - began_at < 20
    finally:
        may_go.set()
    (record,) = caplog.records
    found = re.search(r"not shown: about ([\d,]+) bytes of slave 0\.", record.getMessage())
    assert found is not None, record.getMessage()
    assert 1000 < int(found[1].replace(",", "")) <= 2100
    assert "close waited 1 s for the rest" in record.getMessage()


def test_after_an_interrupt_of_the_script_nobody_waits_long_for_lines(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_output, "_STUCK_S", 0.5)

    def interrupt() -> None:
        with Manager(output=lambda line: time.sleep(0.1)) as manager:
            manager.add_slave(LocalSlave())
            context = manager.get_context()
            context.add_task(print_lines, 2000)
            list(context.get_results())
            raise KeyboardInterrupt

    began_at = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert time.monotonic() - began_at < 20
    (record,) = caplog.records
    assert "not shown" in record.getMessage()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt])
def test_a_function_that_would_end_its_thread_is_reported_once_and_not_called_again(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[OutputLine] = []

    def leave(line: OutputLine) -> None:
        calls.append(line)
        raise kind

    with Manager(output=leave) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(print_lines, 20)
        list(context.get_results())
    assert len(calls) == 1
    (record,) = caplog.records
    assert "is not called again" in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[0] is kind


NEVER_CLOSED = """
import os
from imp_parallel_core import Manager
from imp_parallel_local import LocalSlave

manager = Manager(output="-")
manager.add_slave(LocalSlave())
context = manager.get_context()
context.add_task(int)
list(context.get_results())
print("here", flush=True)
input()
"""


def folders_in(folder: Path) -> set[str]:
    """Return the names of the private folders for output."""
    return {path.name for path in folder.iterdir() if path.name.startswith(".imp_parallel-output")}


def test_the_folder_that_a_killed_script_leaves_is_removed_by_a_later_run_there(
    tmp_path: Path, start_script: RunScript
) -> None:
    scripts, folders = [], list[set[str]]()
    for _ in range(3):
        before = folders_in(tmp_path)
        script = start_script(NEVER_CLOSED, stdin=subprocess.PIPE)
        assert script.stdout is not None
        assert script.stdout.readline() == "here\n"
        scripts.append(script)
        folders.append(folders_in(tmp_path) - before)
    in_use, killed, elsewhere = folders
    for script in scripts[1:]:
        script.kill()
        script.communicate()
    (name,) = elsewhere
    mark = tmp_path / name / MARK
    mark.write_text(f"{name}\nanother-machine\n")
    assert folders_in(tmp_path) == in_use | killed | elsewhere
    with Manager(output=Heard()) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(int)
        list(context.get_results())
    assert folders_in(tmp_path) == in_use | elsewhere
    scripts[0].communicate("go on\n", timeout=50)
    assert folders_in(tmp_path) == elsewhere


def test_a_function_that_hangs_or_fails_costs_nothing_but_lines(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, came = threading.Event(), threading.Event()

    def hang(line: OutputLine) -> None:
        came.set()
        gate.wait()
        raise ValueError("no more")

    monkeypatch.setattr(live_output, "_LAST_S", 0.2)
    with Manager(output=hang) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        for number in range(200):
            context.add_task(print, number)
        assert came.wait(30)
        assert len(list(context.get_results())) == 200
        gate.set()
        wait_until(lambda: "is not called again" in caplog.text, what="the report")
        context.add_task(print, "more")
        assert len(list(context.get_results())) == 1
    assert caplog.text.count("is not called again") == 1


def test_who_is_far_behind_is_told_how_much_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live_output, "_BEHIND_BYTES", 100_000)
    monkeypatch.setattr(live_output, "_SHOWN_BYTES", 1_000)
    gate, heard = threading.Event(), Heard()

    def wait_then_hear(line: OutputLine) -> None:
        gate.wait()
        heard(line)

    with Manager(output=wait_then_hear) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(print, "first")
        list(context.get_results())
        for number in range(3000):
            context.add_task(print, f"{number:099}")
        list(context.get_results())
        gate.set()
        wait_until(lambda: heard.lines and heard.lines[-1].text == f"{2999:099}", what="the end")
    assert any("bytes are left out" in line.text for line in heard.lines)
    assert len(heard.lines) < 2500


def test_errors_name_the_task_and_quote_its_output_without_the_marks() -> None:
    def die() -> None:
        print("my last words", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

    def fail(number: int, *, base: int) -> None:
        raise ValueError(number, base)

    with Manager(output=Heard()) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context(setup, max_attempts=1)
        context.add_task(fail, base=7)
        context.add_task(lambda _: die())
        failed, lost = context.get_results(on_error="return")
    assert "fail\n" in str(failed)
    assert failed.args_of_task == ("base=7",)
    with pytest.raises(ValueError, match=r"\(1, 7\)"):
        failed.rerun()
    assert isinstance(lost, TaskLostError)
    assert "imp_parallel:" not in str(lost)
    assert "\\x02" not in str(lost)


def test_a_folder_that_can_not_be_written_to_is_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    monkeypatch.chdir(tmp_path / "closed")
    (tmp_path / "closed").chmod(0o500)
    with pytest.raises(LaunchError, match="can't be kept in"):
        Manager(output="-")


def test_a_script_that_asks_for_no_output_loads_nothing_of_this() -> None:
    script = (
        "import sys; from imp_parallel_core import Manager; Manager(output=None).get_context(); "
        "print(*{'imp_parallel_core._api.live_output', 'imp_parallel_core._slave.announced'} & "
        "{*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout.split(), done.stderr) == ([], "")


def test_what_can_be_no_output_is_refused_with_what_can() -> None:
    for output in (1, sys.stdout, Path("slave%d.output")):
        with pytest.raises(TypeError, match="a path as text with %d for the slave's number, '-'"):
            Manager(output=output)  # type: ignore[arg-type]  # as a script without types may
