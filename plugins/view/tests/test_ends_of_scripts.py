"""However a script ends, its terminal is its own again, and nobody can look for its run."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from imp_parallel_view._reading import RecordReader
from view_screens import Terminal

from imp_parallel_core import RunEnded

SCRIPT = """
    import os, signal, sys, time
    from imp_parallel_core import Manager, RunEnded, Slave, hookimpl
    from imp_parallel_local import LocalSlave
    from imp_parallel_view import Live, ProgressBar, Record

    class Slow(Slave):
        pass

    class Launch:
        command = ["slow"]
        def poll(self):
            return {}
        def cancel(self, indices):
            os.kill(os.getpid(), signal.SIGINT)  # while the Manager waits for this
            time.sleep(3.0)
        def log_tail(self, index):
            return ""

    class Plugin:
        @hookimpl
        def imp_parallel_launch(self, slaves, bootstraps, accept):
            return Launch() if isinstance(slaves, Slow) else None

    class Impatient:
        @hookimpl
        def imp_parallel_observe(self, events):
            if "twice" in sys.argv and any(type(event) is RunEnded for event in events):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(60.0)

    try:
        plugins = [Plugin(), ProgressBar(), Live("runs"), Record("run.jsonl"), Impatient()]
        with Manager(output=None, plugins=plugins) as manager:
            manager.add_slave(LocalSlave())
            manager.add_slave(Slow())
            context = manager.get_context(name="scoring")
            for number in range(60):
                context.add_task(abs, number)
            count = len(list(context.get_results()))
            if "wait" in sys.argv:
                print("ready")
                time.sleep(60.0)
    except KeyboardInterrupt:
        print(count, "results saved")
        if "raise" in sys.argv:
            raise
    print("the end")
"""


def finished(command: list[str]) -> tuple[Terminal, str]:
    """Return the terminal of a command that has ended, and its text."""
    terminal = Terminal(command)
    try:
        return terminal, terminal.finish()
    finally:
        terminal.end()


def test_observers_are_told_the_end_although_a_ctrl_c_cuts_the_closing_short(
    write_script: Callable[[str], list[str]], tmp_path: Path
) -> None:
    terminal, text = finished([*write_script(SCRIPT)])
    assert terminal.process.returncode == 0, text
    *_, last = RecordReader(tmp_path / "run.jsonl")
    assert type(last) is RunEnded


@pytest.mark.parametrize("times", ["once", "twice"])
def test_a_ctrl_c_while_a_manager_closes_loses_nothing_that_the_script_says(
    times: str, write_script: Callable[[str], list[str]], tmp_path: Path
) -> None:
    terminal, text = finished([*write_script(SCRIPT), times])
    assert terminal.process.returncode == 0, text
    assert re.search(r"^60 results saved$", text, re.MULTILINE), text
    assert re.search(r"^the end$", text, re.MULTILINE), text
    assert terminal.shows_cursor()
    assert not list((tmp_path / "runs").iterdir())


def test_the_traceback_of_a_ctrl_c_while_a_manager_closes_is_seen(
    write_script: Callable[[str], list[str]],
) -> None:
    terminal, text = finished([*write_script(SCRIPT), "raise"])
    assert terminal.process.returncode == -signal.SIGINT, text
    assert re.search(r"^60 results saved\nTraceback", text, re.MULTILINE), text
    assert text.endswith("KeyboardInterrupt")
    assert re.search(r"^tasks +60 done(, [\d.,]+/\w+)?$", text, re.MULTILINE), text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_the_cursor_is_there_after_a_signal_that_ends_the_script_at_once(
    number: signal.Signals, write_script: Callable[[str], list[str]]
) -> None:
    terminal = Terminal([*write_script(SCRIPT), "wait"])
    try:
        terminal.wait_for(lambda text: "ready" in text and " 100 %" in text)
        drawn = len(terminal.raw)
        deadline = time.monotonic() + 20.0
        while b"\x1b[?25h" not in terminal.raw[drawn:]:  # the block has been drawn once more
            assert time.monotonic() < deadline
            time.sleep(0.02)
        terminal.process.send_signal(number)
        terminal.finish()
    finally:
        terminal.end()
    assert terminal.process.returncode == -number
    assert terminal.shows_cursor()
