"""imp-parallel check, with slaves of this machine: each link of the chain, and how it breaks."""

from __future__ import annotations

import os
import pty
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from imp_parallel_core import __version__
from imp_parallel_core._threads import VARIABLES
from tests.support.checking import CHAIN, check
from tests.support.harness import Processes
from tests.support.waiting import wait_until

COMMAND = str(Path(sys.executable).with_name("imp-parallel"))
PYTHON = shlex.quote(sys.executable)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: Processes) -> Path:
    """Work in a folder of one's own; no process may be left."""
    monkeypatch.chdir(tmp_path)
    for name in VARIABLES:  # Dask and Ray, whose tests may run in this process, set some
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_slave_that_works_goes_through_the_whole_chain_and_leaves_nothing(
    folder: Path, processes: Processes
) -> None:
    checked = check("LocalSlave()")
    assert checked.exit_code == 0
    assert checked.names("ok") == [*CHAIN, "gone"]
    assert checked.named("plugin")["text"] == f"LocalSlave is of imp-parallel-local {__version__}"
    assert checked.named("started")["facts"]["host"] == os.uname().nodename
    assert checked.named("versions")["facts"]["here"]["imp-parallel-core"] == __version__
    assert "at both ends" in checked.named("versions")["text"]
    assert checked.named("environment")["facts"]["environment"]["OMP_NUM_THREADS"] == "1"
    assert "no process of it is left" in checked.named("gone")["text"]
    assert checked.named("payload")["facts"]["back_bytes_per_s"] > 1e6
    assert list(folder.iterdir()) == []


def test_a_check_leaves_its_process_as_it_was() -> None:
    main, path = dict(vars(sys.modules["__main__"])), list(sys.path)
    assert check("LocalSlave()").exit_code == 0
    assert (dict(vars(sys.modules["__main__"])), sys.path) == (main, path)


def test_each_step_is_printed_as_it_happens_for_people() -> None:
    done = subprocess.run(
        [COMMAND, "check", "LocalSlave(threads=3)"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    steps = [*CHAIN, "gone"]
    assert len(lines) == len(steps) + 1
    for line, step in zip(lines, steps, strict=False):
        assert f" s  ok       {step} " in line
    assert "libraries start 3 threads each" in done.stdout
    assert lines[-1] == "All of it works: LocalSlave(threads=3)"


def test_an_array_is_launched_as_it_is_written_and_one_slave_must_come() -> None:
    checked = check("LocalSlaves(2)")
    assert checked.exit_code == 0
    assert "2 slaves, of which one must come" in checked.named("checked")["text"]


def test_modules_of_the_folder_are_imported_in_a_task_as_a_script_there_would(
    folder: Path,
) -> None:
    (folder / "mymodel.py").write_text("__version__ = '4.2'")
    checked = check("LocalSlave()", "--module", "mymodel", "--module", "json")
    assert checked.exit_code == 0
    text = checked.named("modules")["text"]
    assert f"mymodel 4.2 ({folder / 'mymodel.py'})" in text
    assert "json" in text
    assert str(folder) not in sys.path


def test_a_module_that_is_missing_there_is_named_with_the_path_and_what_to_do() -> None:
    checked = check("LocalSlave()", "--module", "no_such_module", "--module", "json")
    text = checked.failure("modules")
    assert "No module named 'no_such_module'" in text
    assert "sys.path of the slave" in text
    assert f"Install what is missing for {sys.executable}" in text


def test_a_module_that_breaks_there_is_not_said_to_be_missing(folder: Path) -> None:
    (folder / "broken.py").write_text("raise ValueError('mine')")
    text = check("LocalSlave()", "--module", "broken").failure("modules")
    assert "ValueError: mine" in text
    assert "Install" not in text
    assert f"Import it by that Python itself: {sys.executable}" in text


@pytest.mark.parametrize(
    ("line", "step", "words"),
    [
        (f"nonsense_module load imp; {PYTHON}", "started", "nonsense_module: command not found"),
        (f"{PYTHON} -c 'raise SystemExit(100)'", "started", "exit code 100"),
        ("/nowhere/at/all/python3", "submitted", "Give Manager a python= that exists"),
    ],
)
def test_a_python_that_can_not_be_started_fails_with_its_own_words(
    line: str, step: str, words: str
) -> None:
    text = check("LocalSlave()", "--python", line).failure(step)
    assert words in text
    assert line.split()[0] in text


def test_an_array_whose_slaves_all_fail_alike_has_left_nothing_behind() -> None:
    checked = check("LocalSlaves(2)", "--python", f"{PYTHON} -c 'raise SystemExit(100)'")
    assert "2 slaves (0-1), all alike" in checked.failure("started")
    assert checked.named("gone")["status"] == "ok"


def test_a_slave_that_never_connects_fails_at_the_limit_with_what_it_has_printed(
    folder: Path,
) -> None:
    line = f"echo loading the moon; exec sleep 60; {PYTHON}"
    checked = check("LocalSlave()", "--python", line, "--limit", "3")
    text = checked.failure("started")
    assert "did not connect within 2 s" in text
    assert "loading the moon" in text
    kept = folder / "imp-parallel-check0.output"
    assert kept.read_text() == "loading the moon\n"
    assert str(kept) in checked.named("gone")["text"]


def test_a_folder_that_can_not_be_written_to_is_told_with_what_a_check_can_do(
    folder: Path,
) -> None:
    (folder / "locked").mkdir(mode=0o555)
    os.chdir(folder / "locked")
    text = check("LocalSlave()").failure("checked")
    assert "can't be written" in text
    assert "Check in a folder that can be written to (cd)" in text
    assert "Give Manager" not in text


def test_what_is_known_at_once_to_be_wrong_fails_before_anything_is_launched() -> None:
    text = check('LocalSlave(environment={"A B": "x"})').failure("checked")
    assert "no shell can set a variable 'A B'" in text


def test_a_folder_that_has_been_removed_is_said_with_what_to_do(folder: Path) -> None:
    (folder / "inside").mkdir()
    os.chdir(folder / "inside")
    (folder / "inside").rmdir()
    checked = check("LocalSlave()")
    assert checked.exit_code == 1
    assert checked.names("failed") == ["folder"]
    assert "has been removed" in checked.named("folder")["text"]
    assert "cd" in checked.named("folder")["advice"]


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("LocalSlave(", "no expression"),
        ("LocalSlave", "makes no slave"),
        ("[LocalSlave()]", "makes no slave"),
        ("SSHHost('anna')", "describes no slave"),
        ("open('x')", "no installed plugin brings 'open'"),
        ("__import__('os').system('touch x')", "can't be called here"),
        ("LocalSlave.check(LocalSlave())", "can't be called here"),
        ("LocalSlave.__subclasshook__(int)", "can't be called here"),
        ("LocalSlaves(1 if True else 2)", "no literal"),
        ("LocalSlaves(number)", "no literal"),
        ("LocalSlaves(*[1])", "write out the arguments"),
        ("LocalSlaves(**{'count': 1})", "write out the arguments"),
        ("LocalSlave(environment={**{'A': 'x'}})", "no literal"),
        ("LocalSlave(threads=open('x', 'w'))", "no installed plugin brings 'open'"),
        ("LocalSlaves(-1)", "at least one"),
        ("LocalSlaves(1, 2, 3, 4, 5, 6)", "TypeError"),
        ("LocalSlave(environment={[1]: 'x'})", "unhashable type: 'list'"),
        ("local_slave()", "'local_slave'; did you mean LocalSlave?"),
        ("LocalSlav()", "'LocalSlav'; did you mean LocalSlave?"),
        ("manager.add_slave(LocalSlave())", "can't be called here"),
        ("json.LocalSlave()", "no installed plugin brings 'json'"),
        ("[" * 5000, "too many nested parentheses"),
        ("", "no expression"),
        ("SSHSlave(1)", "the host 1 must be a text"),
        ("MissingSlave()", "no installed plugin brings 'MissingSlave'"),
    ],
)
def test_nothing_but_slaves_classes_with_literals_is_evaluated(
    folder: Path, expression: str, words: str
) -> None:
    checked = check(expression)
    assert checked.exit_code == 1
    assert checked.names("failed") == ["expression"]
    assert words in checked.named("expression")["text"]
    assert list(folder.iterdir()) == []


def test_what_is_written_around_a_slave_is_said_to_be_left_out() -> None:
    step = check("manager.add_slave(LocalSlave())").named("expression")
    assert "what is between its brackets" in step["advice"]


@pytest.mark.parametrize("package", ["imp_parallel_local", "imp_parallel_core"])
def test_a_class_may_be_written_with_its_package(package: str) -> None:
    checked = check(f"{package}.LocalSlave()")
    assert checked.exit_code == 0
    assert checked.named("plugin")["facts"]["class"] == "LocalSlave"


def test_a_number_of_slaves_that_nobody_means_is_refused_at_once() -> None:
    text = check("LocalSlaves(5_000_000_000)").failure("checked")
    assert "describes 5,000,000,000 slaves, and 100,000 are the most" in text


@pytest.mark.parametrize("name", ["", "../x", "os;import json", "a..b", "a b"])
def test_a_module_that_has_no_name_of_one_is_refused(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        check("LocalSlave()", f"--module={name}")
    assert ended.value.code == 2
    assert f"{name!r}: it must be the name of a module" in capsys.readouterr().err


@pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_are_left_out_where_nobody_wants_them(plain: dict[str, str]) -> None:
    for variables, expected in ((plain, False), ({}, True)):
        environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "", **variables}
        ours, theirs = pty.openpty()
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            done = subprocess.run([COMMAND, "check", "x"], stdout=theirs, env=environment)
            os.close(theirs)
            said = terminal.read(1000)
        assert done.returncode == 1
        assert (b"\x1b[" in said) == expected


@pytest.mark.parametrize("redirected", [">&-", ">/dev/full", "| true"])
def test_an_output_that_takes_nothing_costs_no_traceback_and_leaves_no_slave(
    redirected: str, processes: Processes
) -> None:
    line = f"{shlex.quote(COMMAND)} check 'LocalSlave()' {redirected}"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1
    assert processes.gone_within(2.0) == {}


def test_a_ctrl_c_ends_the_check_and_its_slave(processes: Processes) -> None:
    command = [COMMAND, "check", "LocalSlave()", "--python", f"exec sleep 60; {PYTHON}"]
    checking = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_until(lambda: "sleep\0" + "60\0" in processes.alive().values(), what="a start")
    checking.send_signal(signal.SIGINT)
    _, said = checking.communicate(timeout=30)
    assert checking.returncode == 130
    assert said == b""
    assert processes.gone_within(10.0) == {}
