"""imp-parallel check of a stranger's plugin that hangs or has a mistake, or whose slaves wait.

The stranger's slaves are named by what their plugin does.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import Processes
from tests.support.strangers import install_stranger

pytestmark = pytest.mark.timeout(120)

PLUGIN = r'''
import threading
import time

from imp_parallel_core import LaunchPhase, LaunchState, Slave, SlaveArray, hookimpl, start_processes


def wait_for_ever():
    time.sleep(3600)


def hold_on():
    while True:
        try:
            time.sleep(3600)
        except BaseException:
            pass


class Odd(Slave):
    def __init__(self, how):
        self.how = how
        if how == "hangs when it is made":
            wait_for_ever()
        if how == "fails when it is made":
            {}["nothing"]

    def check(self):
        if self.how == "hangs in check":
            wait_for_ever()
        if self.how == "holds on in check":
            hold_on()
        if self.how == "leaves a thread":
            threading.Thread(target=hold_on).start()
            wait_for_ever()
        if self.how == "divides":
            self.count = 1 / 0
        if self.how == "reads a number":
            int("seven")
        if self.how == "refuses":
            raise ValueError("there is no such partition")


class OddArray(SlaveArray):
    def __init__(self, phase):
        super().__init__(3)
        self.phase = LaunchPhase[phase]


class Waits:
    command = ("start",)

    def __init__(self, phase):
        self._phase = phase

    def poll(self):
        return {0: LaunchState(self._phase, "by its owner")}

    def log_tail(self, index):
        return ""

    def cancel(self, grace_s):
        pass


class Part(Waits):
    """A launch of which two slaves are well; the third one is not started at all."""

    def __init__(self, phase, launch):
        self._state = LaunchState(phase, "the third machine is on fire")
        self._launch = launch

    def poll(self):
        return {**self._launch.poll(), 2: self._state}

    def cancel(self, grace_s):
        self._launch.cancel(grace_s)


@hookimpl
def imp_parallel_launch(slaves, bootstraps, accept):
    if isinstance(slaves, OddArray):
        return Part(slaves.phase, start_processes(bootstraps[:2], accept))
    if not isinstance(slaves, Odd):
        return None
    if slaves.how == "hangs in its launch":
        wait_for_ever()
    return Waits(LaunchPhase.SUSPENDED)


@hookimpl
def imp_parallel_slave_types():
    return {"Odd": Odd, "OddArray": OddArray}
'''


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: Processes) -> Path:
    """Have the stranger's distribution installed; work in a folder of one's own."""
    install_stranger(tmp_path / "place", PLUGIN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "place"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def line_of(text: str) -> int:
    """Return the number of the line of the plugin that is a text, and the only one."""
    (number,) = [n for n, line in enumerate(PLUGIN.splitlines(), 1) if line.strip() == text]
    return number


class Done:
    """A check that has ended.

    Attributes:
        code: its exit code.
        out: what it has printed.
        took_s: how long it took, all in all.
    """

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "imp_parallel_core", "check", *arguments]
        begun = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, timeout=100.0)
        self.took_s = time.monotonic() - begun
        self.code, self.out = done.returncode, done.stdout
        assert done.stderr == ""

    def failed(self, name: str) -> dict[str, Any]:
        """Return the one step that has failed, which has a name, of a check with ``--json``."""
        found = json.loads(self.out)
        assert (self.code, found["works"], found["failed"]) == (1, False, [name]), self.out
        (step,) = [step for step in found["steps"] if step["status"] == "failed"]
        assert isinstance(step, dict)
        return step


@pytest.mark.parametrize(
    ("how", "step", "called", "line"),
    [
        ("hangs in check", "checked", "Odd.check()", "wait_for_ever"),
        ("hangs when it is made", "plugin", "Odd.__init__()", "wait_for_ever"),
        ("holds on in check", "checked", "Odd.check()", "hold_on"),
        ("leaves a thread", "checked", "Odd.check()", "wait_for_ever"),
    ],
)
def test_a_method_that_hangs_is_ended_at_the_limit_and_named_with_its_plugin_and_line(
    how: str, step: str, called: str, line: str
) -> None:
    done = Done(f"Odd({how!r})", "--limit", "2", "--json")
    failed = done.failed(step)
    said = f"plugin odd: {called} has not returned within the 2 s of --limit (odd_plugin.py, line "
    assert failed["text"].startswith(said)
    assert f", in {line})" in failed["text"]
    assert "imp-parallel explain plugin-hangs" in failed["text"]
    assert "authors of the plugin" in failed["advice"]
    assert 2.0 <= failed["at_s"] < 10.0
    assert done.took_s < 40.0


def test_a_plugin_that_hangs_when_it_is_imported_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_stranger(folder / "second", "import time\ntime.sleep(3600)\n", "slow")
    monkeypatch.setenv("PYTHONPATH", f"{folder / 'second'}:{folder / 'place'}")
    failed = Done("Odd('is well')", "--limit", "2", "--json").failed("plugin")
    assert "plugin slow: its import has not returned within the 2 s" in failed["text"]
    assert "(slow_plugin.py, line 2, in <module>)" in failed["text"]


def test_a_launch_that_hangs_is_named_with_its_plugin_and_line() -> None:
    done = Done("Odd('hangs in its launch')", "--limit", "2")
    assert done.code == 1
    said = "plugin odd: the launch has not come to an end within the 2 s of --limit"
    assert f"FAILED   submitted    {said} (odd_plugin.py, line " in done.out
    assert "in wait_for_ever)" in done.out
    assert "is given 3 s for its last words" in done.out  # no job can be left
    assert "has not come to its end for " in done.out.partition("FAILED   gone")[2]


@pytest.mark.parametrize(
    ("how", "step", "called", "what", "line"),
    [
        (
            *("divides", "checked", "Odd.check()", "ZeroDivisionError: division by zero"),
            "self.count = 1 / 0",
        ),
        (
            *("reads a number", "checked", "Odd.check()", "ValueError: invalid literal"),
            'int("seven")',
        ),
        (
            *("fails when it is made", "expression", "Odd.__init__()", "KeyError: 'nothing'"),
            '{}["nothing"]',
        ),
    ],
)
def test_a_mistake_in_a_plugin_is_told_with_its_plugin_file_and_line(
    how: str, step: str, called: str, what: str, line: str
) -> None:
    text = Done(f"Odd({how!r})", "--json").failed(step)["text"]
    assert f"plugin odd failed in {called}: {what}" in text
    assert f"(odd_plugin.py, line {line_of(line)}, in " in text
    assert "imp-parallel explain plugin-fails" in text


def test_what_a_plugin_refuses_is_told_as_it_says_it() -> None:
    assert (
        Done("Odd('refuses')", "--json").failed("checked")["text"] == "there is no such partition"
    )


def test_a_suspended_slave_is_told_of_at_the_limit_with_what_to_do() -> None:
    done = Done("Odd('is suspended')", "--limit", "4", "--json")
    failed = done.failed("connected")
    assert "is suspended: it has not connected within the 4 s of --limit" in failed["text"]
    assert "suspended: by its owner" in failed["text"]
    assert "have it resumed" in failed["advice"]
    assert "slow start" not in failed["advice"]
    assert failed["at_s"] < 4.0 + 3.0


def test_a_slave_of_an_array_that_is_lost_fails_the_check_with_how_it_was_lost() -> None:
    done = Done("OddArray('ENDED')", "--json")
    failed = done.failed("others")
    assert failed["text"].startswith("1 of 3 slaves was lost\n")
    assert "the third machine is on fire" in failed["text"]
    assert failed["facts"] == {"slaves": 3, "lost": 1, "late": 0, "queued": 0}
    assert "The chain works with the others" in failed["advice"]
    names = [step["name"] for step in json.loads(done.out)["steps"] if step["status"] == "ok"]
    assert names[-2:] == ["environment", "gone"]


def test_nobody_reads_that_all_works_where_a_slave_was_lost() -> None:
    done = Done("OddArray('ENDED')")
    assert done.code == 1
    assert "All of it works" not in done.out
    assert done.out.splitlines()[-1] == "It does not work: others FAILED, see above."


def test_slaves_of_an_array_that_wait_in_a_queue_are_not_waited_for() -> None:
    done = Done("OddArray('QUEUED')")
    assert done.code == 0
    assert "2 of 3 slaves have come, and the others wait in the queue" in done.out
    assert done.out.splitlines()[-1] == "All of it works: OddArray('QUEUED')"


def test_a_slave_of_an_array_that_has_not_come_by_the_limit_fails_the_check() -> None:
    failed = Done("OddArray('SUSPENDED')", "--limit", "4", "--json").failed("others")
    assert "1 of 3 slaves have not come within 4 s (--limit): " in failed["text"]
    assert "suspended: the third machine is on fire" in failed["text"]
