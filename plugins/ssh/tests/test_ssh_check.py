"""What people see of a host: imp-parallel check, and what a slave prints, as it comes.

What a check says of slaves that can't start is tested beside what a script is told.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hosts import there
from imp_parallel_ssh import SSHSlave

from imp_parallel_core import Manager, OutputLine
from tests.support.checking import CHAIN, check
from tests.support.sshd import Sshd
from tests.support.waiting import wait_until

__all__ = ["there"]  # a fixture

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of one's own."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def test_a_host_goes_through_the_whole_chain(there: Sshd, tmp_path: Path) -> None:
    (tmp_path / "work" / "mymodel.py").write_text("__version__ = '4.2'")
    checked = check('SSHSlave("there")', "--module", "mymodel")
    assert checked.exit_code == 0, checked.steps
    assert checked.names("ok") == [*CHAIN, "modules", "gone"]
    assert checked.named("plugin")["facts"]["plugin"] == "imp-parallel-ssh"
    assert "ssh there" in checked.named("submitted")["text"]
    assert "mymodel 4.2" in checked.named("modules")["text"]
    assert list((tmp_path / "work").glob("*.output*")) == []


def test_what_a_slave_prints_comes_to_the_script_while_it_works(
    there: Sshd, tmp_path: Path
) -> None:
    def speak(gate: Path) -> None:
        print("hello")
        while not gate.exists():
            time.sleep(0.05)

    heard: list[OutputLine] = []
    with Manager(output=heard.append) as manager:
        manager.add_slave(SSHSlave("there"))
        context = manager.get_context()
        context.add_task(speak, tmp_path / "gate")
        wait_until(lambda: (0, "hello") in [(line.task, line.text) for line in heard])
        (tmp_path / "gate").touch()
        list(context.get_results())
    assert list((tmp_path / "work").iterdir()) == []
