"""Hosts as they are: every login shell, noise, no Python or another one, no room."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hosts import MakeSlave, client, make_slave, there, why_no_common_python
from imp_parallel_ssh import SSHSlave

from imp_parallel_core import Manager
from tests.support.as_root import as_root, can_be_root
from tests.support.checking import check, errors_of
from tests.support.packages import CanNotBeHad, need
from tests.support.sshd import Daemons, LoginUser, Person, Sshd

__all__ = ["client", "make_slave", "there"]  # fixtures

NOISE = "echo a banner; printf 'and no end of line'; echo errors >&2\n"
PROFILES = {
    "bash": {".bashrc": NOISE, ".profile": NOISE},
    "csh": {".cshrc": "echo a banner\nprintf 'and no end of line'\nset echo\n"},
    "fish": {".config/fish/config.fish": NOISE},
}

needs_common_python = pytest.mark.skipif(
    bool(why_no_common_python()), reason=f"NOT TESTED as another user: {why_no_common_python()}"
)


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "script"
    folder.mkdir()
    monkeypatch.chdir(folder)


def log_in_as(user: LoginUser, person: Person, sshd: Sshd, *more: str) -> str:
    person.name(sshd, user.name, *more, user=user.name)
    return user.name


def result_of(slave: SSHSlave) -> object:
    with Manager() as manager:
        manager.add_slave(slave)
        context = manager.get_context(lambda: "set up")
        context.add_task(lambda said: (said, str(Path.cwd()), bytes(300_000)))
        (result,) = context.get_results_unordered()
        return result


@needs_common_python
@pytest.mark.parametrize("shell", PROFILES)
def test_noise_of_a_login_shell_disturbs_nothing(
    person: Person, daemons: Daemons, there: Sshd, make_slave: MakeSlave, shell: str
) -> None:
    user = daemons.add_user(shell, PROFILES[shell])
    result = result_of(make_slave(log_in_as(user, person, there)))
    assert result == ("set up", str(user.home), bytes(300_000))
    assert f"this slave works in {user.home}" in Path("slave0.output").read_text()


@needs_common_python
@pytest.mark.parametrize("shell", PROFILES)
def test_a_line_that_starts_python_is_run_by_bash_whatever_the_login_shell(
    person: Person, daemons: Daemons, there: Sshd, make_slave: MakeSlave, shell: str
) -> None:
    user = daemons.add_user(shell, PROFILES[shell])
    python = "python{}.{}".format(*sys.version_info)
    line = f"""what="that's it"; echo "$what: \\$5!" >&2; export WHAT="$what"; {python}"""
    with Manager() as manager:
        manager.add_slave(make_slave(log_in_as(user, person, there), python=line))
        context = manager.get_context()
        context.add_task(lambda: os.environ["WHAT"])
        assert list(context.get_results_unordered()) == ["that's it"]
    assert "that's it: $5!" in Path("slave0.output").read_text()


@needs_common_python
def test_modules_that_lie_in_the_home_folder_are_not_run(
    person: Person, daemons: Daemons, there: Sshd, make_slave: MakeSlave
) -> None:
    own = "open(__file__ + '.was-run', 'w').close(); raise ImportError(__file__)\n"
    names = ("socket", "select", "struct", "threading", "signal", "hashlib", "shutil", "zipfile")
    user = daemons.add_user("bash", {f"{name}.py": own for name in names})
    result = result_of(make_slave(log_in_as(user, person, there)))
    assert result == ("set up", str(user.home), bytes(300_000))
    assert list(user.home.glob("*.was-run")) == []


@needs_common_python
@pytest.mark.parametrize("line", ["exec bash", "read x"])
def test_a_login_shell_that_reads_instead_gets_no_program_and_is_told_of(
    person: Person,
    daemons: Daemons,
    there: Sshd,
    make_slave: MakeSlave,
    line: str,
) -> None:
    user = daemons.add_user("bash", {".bashrc": f"echo welcome\n{line}\n"})
    slave = make_slave(log_in_as(user, person, there))
    checked = check(repr(slave), "--limit", "9")
    assert "Python has not begun yet" in checked.said
    for text in (checked.said, checked.failure("started")):
        assert "start-up files" in text
        assert "'welcome'" in text
    output = Path("imp-parallel-check0.output")
    assert not output.exists() or "not found" not in output.read_text()


@pytest.mark.parametrize("output", ["slave%d.output", None])
def test_a_line_that_prints_and_fails_ends_with_its_own_words(
    there: Sshd, make_slave: MakeSlave, output: str | None
) -> None:
    slave = make_slave(python="echo no licence left; false; python3")
    for error in errors_of(slave, output=output):
        assert "no licence left" in error
        assert "exit code 1" in error


@pytest.mark.parametrize("shell", PROFILES)
def test_a_host_without_python_says_where_it_was_looked_for(
    person: Person, daemons: Daemons, make_slave: MakeSlave, shell: str
) -> None:
    sshd = daemons.start(prefix=in_mounts(f"mount -t tmpfs t {sys.prefix}"))
    no_path = {
        "bash": {".bashrc": "PATH=/nowhere\n"},
        "csh": {".cshrc": "setenv PATH /nowhere\n"},
        "fish": {".config/fish/config.fish": "set -x PATH /nowhere\n"},
    }
    user = daemons.add_user(shell, no_path[shell])
    for error in errors_of(make_slave(log_in_as(user, person, sshd))):
        assert "no Python here" in error
        assert "python3" in error
        assert "exit code 127" in error


def test_another_version_of_python_is_refused_before_anything_is_sent(
    there: Sshd, make_slave: MakeSlave, tmp_path: Path
) -> None:
    liar = tmp_path / "python"
    lie = "import sys; sys.version_info = (3, 9, 1, 'final', 0); exec(sys.argv[1])"
    liar.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{lie}" "$2"\n')
    liar.chmod(0o755)
    for error in errors_of(make_slave(python=str(liar))):
        assert "the Python there is 3.9" in error
        assert "python=" in error


def in_mounts(*mounts: str) -> list[str]:
    """Return the beginning of a command that root runs, and that sees such mounts."""
    need("with other mounts", check_that_mounts_can_be_made)
    return as_root("unshare", "-m", "sh", "-c", " && ".join((*mounts, 'exec "$@"')), "sh")


def check_that_mounts_can_be_made() -> None:
    if not can_be_root():
        raise CanNotBeHad("only root can mount")


@needs_common_python
def test_a_host_with_no_room_anywhere_says_so_for_each_place(
    person: Person, daemons: Daemons, make_slave: MakeSlave
) -> None:
    mounts = in_mounts("mount -t tmpfs -o ro t /tmp", "mount -t tmpfs -o ro t /dev/shm")
    sshd = daemons.start(prefix=mounts, temporary="/tmp")
    user = daemons.add_user("bash")
    user.allow("500")
    for error in errors_of(make_slave(log_in_as(user, person, sshd))):
        assert "/tmp: Read-only file system" in error
        assert f"{user.home}: Permission denied" in error
        assert "/dev/shm: Read-only file system" in error


@needs_common_python
def test_a_full_disk_is_passed_over_for_another(
    person: Person, daemons: Daemons, make_slave: MakeSlave
) -> None:
    mounts = in_mounts("mount -t tmpfs -o size=32k,mode=1777 t /tmp")
    sshd = daemons.start(prefix=mounts, temporary="/tmp")
    user = daemons.add_user("bash")
    result = result_of(make_slave(log_in_as(user, person, sshd)))
    assert result == ("set up", str(user.home), bytes(300_000))
    assert list(user.home.glob(".imp_parallel*")) == []


SCRIPT = """\
import sys
from imp_parallel_core import Manager
from imp_parallel_ssh import SSHSlave
import tasks
with Manager() as manager:
    manager.add_slave(SSHSlave({host!r}, client={client!r}, **{options!r}))
    context = manager.get_context()
    context.add_task(tasks.Where(6))
    for result in context.get_results_unordered():
        print(*result)
"""
TASKS = """\
import helpers.deep
class Where:
    def __init__(self, number):
        self.number = number
    def __call__(self):
        return helpers.deep.seven * self.number, helpers.deep.read()
"""


@needs_common_python
@pytest.mark.parametrize("options", [{}, {"ship_modules": ["tasks", "helpers"]}])
def test_the_modules_beside_the_script_are_sent_along(
    person: Person,
    daemons: Daemons,
    there: Sshd,
    client: str,
    tmp_path: Path,
    options: dict[str, object],
) -> None:
    folder = tmp_path / "script"
    (folder / "helpers").mkdir()
    (folder / "helpers/__init__.py").touch()
    (folder / "helpers/data.txt").write_text("data")
    (folder / "helpers/deep.py").write_text(
        "from pathlib import Path\nseven = 7\n"
        "def read(): return Path(__file__).with_name('data.txt').read_text()\n"
    )
    (folder / "tasks.py").write_text(TASKS)
    host = log_in_as(daemons.add_user("bash"), person, there)
    script = folder / "script.py"
    script.write_text(textwrap.dedent(SCRIPT.format(host=host, client=client, options=options)))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=50, check=False
    )
    assert (done.stdout, done.stderr) == ("42 data\n", "")


@needs_common_python
def test_what_was_not_sent_is_not_there(
    person: Person, daemons: Daemons, there: Sshd, client: str, tmp_path: Path
) -> None:
    folder = tmp_path / "script"
    (folder / "tasks.py").write_text(TASKS.replace("import helpers.deep", ""))
    host = log_in_as(daemons.add_user("bash"), person, there)
    script = folder / "script.py"
    script.write_text(SCRIPT.format(host=host, client=client, options={"ship_modules": []}))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=50, check=False
    )
    assert "No module named 'tasks'" in done.stderr
