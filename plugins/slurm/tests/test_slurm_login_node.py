"""An array is submitted on a login node, by a script on a machine that knows nothing of Slurm."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import sshd as openssh
from tests.support.packages import need
from tests.support.scripts import Scripts, finish
from tests.support.slurm import Slurm
from tests.support.sshd import Daemons, Person, Sshd
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def login(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sshd]:
    """Start sshd on a login node, where a login shell finds Slurm and no other does."""
    need("through a login node", openssh.install)
    person = Person(tmp_path / "home")
    monkeypatch.setenv("HOME", str(person.home))
    with tempfile.TemporaryDirectory(prefix="imp_parallel-sshd-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        daemons = Daemons(Path(folder), person)
        try:
            sshd = daemons.start()
            lines = [f"export {name}={value}\n" for name, value in slurm.environment.items()]
            (sshd.home / ".bash_profile").write_text("".join(lines))
            person.name(sshd, "login")
            yield sshd
            wait_until(lambda: not sshd.started(), 15.0, "the end of the relay")
            assert not list(sshd.home.glob(".imp_parallel*"))
        finally:
            daemons.stop()


def test_slaves_beyond_a_login_node_work_and_nothing_is_left_there(
    login: Sshd, slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_CONF")
    folder = tmp_path / "laptop"
    folder.mkdir()
    with Scripts({}, folder) as scripts:
        script = scripts.start("""
            import os
            from imp_parallel_core import Manager
            from imp_parallel_slurm import SlurmSlaveArray
            from imp_parallel_ssh import SSHHost

            def task(number):
                print("task", number, flush=True)
                return number, os.environ["SLURM_ARRAY_TASK_ID"], os.getcwd()

            with Manager() as manager:
                manager.add_slave(SlurmSlaveArray(2, "--mem=10M", via=SSHHost("login")))
                context = manager.get_context()
                for number in range(40):
                    context.add_task(task, number)
                results = sorted(context.get_results_unordered())
            print(len(results), *sorted({cwd for _, _, cwd in results}))
        """)
        code, out, err = finish(script, 120.0)
    assert (code, err) == (0, "")
    assert out == f"40 {login.home}\n"
    said = "".join(path.read_text() for path in folder.glob("slave*.output"))
    assert sorted(int(line.split()[1]) for line in said.splitlines()) == list(range(40))
