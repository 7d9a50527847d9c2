"""What people see of a host: imp-parallel check, and what a slave prints, as it comes.

What a check says of slaves that can't start is tested beside what a script is told.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hosts import there
from imp_parallel_ssh import SSHSlave

from tests.support.checking import CHAIN, check
from tests.support.printing import check_that_what_a_slave_prints_comes_while_it_works
from tests.support.sshd import Daemons, Person, Sshd
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
    check_that_what_a_slave_prints_comes_while_it_works(SSHSlave("there"), tmp_path)
    assert list((tmp_path / "work").iterdir()) == []


def test_an_array_of_which_a_host_can_not_be_reached_fails_with_that_hosts_reason(
    there: Sshd, person: Person, daemons: Daemons
) -> None:
    closed = daemons.start()
    person.name(closed, "closed")
    closed.stop()
    checked = check('SSHSlaveArray(["there", "closed"], slaves_per_host=2)')
    text = checked.failure("others")
    assert text.startswith("2 of 4 slaves were lost\n")
    assert "closed" in text
    assert "refused" in text or "nothing listens" in text
    assert checked.names("ok") == [*CHAIN, "gone"]


def test_a_check_that_is_terminated_leaves_nothing_on_the_host(there: Sshd, tmp_path: Path) -> None:
    text = f"import time\nopen({str(tmp_path / 'is_here')!r}, 'w').close()\ntime.sleep(600)\n"
    (tmp_path / "work" / "slow_module.py").write_text(text)
    command = [sys.executable, "-m", "imp_parallel_core", "check", 'SSHSlave("there")']
    checking = subprocess.Popen(
        [*command, "--module", "slow_module"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until((tmp_path / "is_here").exists, 60.0, "the task")
    checking.send_signal(signal.SIGTERM)
    out, err = checking.communicate(timeout=60)
    assert (checking.returncode, err) == (143, "")
    assert "interrupted by SIGTERM" in out
    assert "ok       gone " in out  # the fixture looks for processes on the host
