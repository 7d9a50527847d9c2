"""What people see of a host: imp-parallel check, and what a slave prints, as it comes.

What a check says of slaves that can't start is tested beside what a script is told.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hosts import there
from imp_parallel_ssh import SSHSlave

from tests.support.checking import CHAIN, check
from tests.support.printing import check_that_what_a_slave_prints_comes_while_it_works
from tests.support.sshd import Sshd

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
