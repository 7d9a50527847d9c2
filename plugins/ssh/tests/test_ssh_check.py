"""What people see of a host: imp-parallel check, and what a slave prints, as it comes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hosts import there
from imp_parallel_ssh import SSHSlave

from imp_parallel_core import Manager, OutputLine
from tests.support.checking import CHAIN, check
from tests.support.sshd import Person, Sshd, make_key
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


def test_an_unknown_host_key_fails_with_fingerprint_and_commands(
    person: Person, sshd: Sshd
) -> None:
    text = check(f'SSHSlave("127.0.0.1:{sshd.port}")').failure("started")
    assert sshd.fingerprint in text
    assert "host key is not known" in text
    assert "ssh-keygen -lf" in text


def test_a_host_whose_name_is_unknown_fails_with_how_far_it_came(person: Person) -> None:
    text = check('SSHSlave("nowhere.invalid")').failure("started")
    assert "its name is not known" in text
    assert "it came as far as: looking up the name" in text


def test_refused_keys_fail_with_the_list_of_them(person: Person, there: Sshd) -> None:
    there.authorize(Path(f"{make_key(person.home / 'stranger')}.pub"))
    text = check('SSHSlave("there")').failure("started")
    assert f"{person.key}: refused" in text
    assert "ssh-copy-id" in text


def test_a_python_that_is_missing_there_fails_with_the_hosts_words(there: Sshd) -> None:
    checked = check('SSHSlave("there", python="/nowhere/at/all/python3")')
    assert "/nowhere/at/all/python3" in checked.failure("started")


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
