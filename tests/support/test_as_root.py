"""What fixtures have root do is done as if they did it themselves; the tests are no root's."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.as_root import HELPER, as_me, as_root, run_as_root
from tests.support.waiting import is_alive, wait_until

pytestmark = pytest.mark.skipif(
    HELPER not in os.environ, reason="NOT TESTED with a helper: root has not started ./test"
)


def test_the_tests_run_as_an_ordinary_user_who_has_root_run_commands() -> None:
    assert os.getuid() != 0
    assert run_as_root("id", "-u") == "0\n"
    done = subprocess.run(as_root(*as_me("id", "-u")), capture_output=True, text=True)
    assert done.stdout == f"{os.getuid()}\n"


def test_a_command_has_the_callers_input_folder_and_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORD", "a b'\n")
    said = run_as_root("sh", "-c", 'cat; pwd; printf %s "$WORD"', input="given\n")
    assert said == f"given\n{tmp_path}\na b'\n"


@pytest.mark.parametrize(("line", "code"), [("exit 7", 7), ("kill -9 $$", -9), ("kill $$", -15)])
def test_a_command_ends_its_caller_as_it_ends(line: str, code: int) -> None:
    assert subprocess.run(as_root("sh", "-c", line), check=False).returncode == code


def test_a_program_that_is_not_there_is_named() -> None:
    done = subprocess.run(as_root("no-such-program"), capture_output=True, text=True)
    assert done.returncode == 127
    assert "no-such-program" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_command_ends_with_its_caller(number: signal.Signals) -> None:
    with subprocess.Popen(
        as_root("sh", "-c", "echo $$; exec sleep 600"), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.send_signal(number)
        assert process.wait() == -number
    wait_until(lambda: not is_alive(pid))
