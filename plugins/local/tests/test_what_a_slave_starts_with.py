"""A slave has what the script had when the slave was added, also after its process has died."""

from __future__ import annotations

import errno
import os
import resource
import shlex
import signal
import sys
from pathlib import Path

import imp_parallel_local
import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import Bootstrap, LaunchError, Manager, start_failure
from tests.support.harness import Processes, RunScript
from tests.support.waiting import wait_until


def all_of(manager: Manager, name: str) -> dict[int, str | None]:
    """Return an environment variable's value in each slave, by the supervisor's pid."""
    found: dict[int, str | None] = {}
    context = manager.get_context()
    while len(found) < sum(slave.state != "gone" for slave in manager.slaves):
        context.add_task(lambda: (os.getppid(), os.environ.get(name)))
        found.update(context.get_results_unordered())
    return found


def values_by_slave(manager: Manager, name: str) -> list[str | None]:
    values = all_of(manager, name)
    return [values[slave.pid] for slave in manager.slaves if slave.pid is not None]


def wait_until_idle(manager: Manager) -> None:
    wait_until(lambda: all(slave.state == "idle" for slave in manager.slaves))


@pytest.fixture
def four_devices(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> Manager:
    """Return a Manager with four slaves, each added with another value in the environment."""
    for device in range(4):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", str(device))
        manager.add_slave(LocalSlave())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    wait_until_idle(manager)
    return manager


def test_a_local_slaves_environment_is_that_of_add_slave(
    processes: Processes, four_devices: Manager
) -> None:
    assert values_by_slave(four_devices, "CUDA_VISIBLE_DEVICES") == ["0", "1", "2", "3"]


def test_a_slave_that_is_launched_again_has_the_same_environment(
    processes: Processes, four_devices: Manager
) -> None:
    before = {slave.pid for slave in four_devices.slaves}
    for pid in before:
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not before & {slave.pid for slave in four_devices.slaves})
    wait_until_idle(four_devices)
    assert values_by_slave(four_devices, "CUDA_VISIBLE_DEVICES") == ["0", "1", "2", "3"]


def test_a_later_runner_has_the_same_environment(
    processes: Processes, four_devices: Manager
) -> None:
    before = {slave.runner_pid for slave in four_devices.slaves}
    for pid in before:
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not before & {slave.runner_pid for slave in four_devices.slaves})
    wait_until_idle(four_devices)
    assert values_by_slave(four_devices, "CUDA_VISIBLE_DEVICES") == ["0", "1", "2", "3"]


def test_a_variable_that_the_script_sets_or_removes_later_is_not_seen(
    processes: Processes, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THERE_BEFORE", "yes")
    monkeypatch.setenv("NOT_TEXT", os.fsdecode(b"\xff\n"))
    manager.add_slave(LocalSlave())
    monkeypatch.delenv("THERE_BEFORE")
    monkeypatch.setenv("SET_LATER", "yes")
    assert values_by_slave(manager, "THERE_BEFORE") == ["yes"]
    assert values_by_slave(manager, "SET_LATER") == [None]
    assert values_by_slave(manager, "NOT_TEXT") == [os.fsdecode(b"\xff\n")]


def test_a_slave_that_is_launched_again_works_in_the_same_folder(
    processes: Processes, manager: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager.add_slave(LocalSlave())
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    context = manager.get_context()
    for _ in range(2):
        context.add_task(lambda: (str(Path.cwd()), os.getppid()))
        ((folder, pid),) = context.get_results()
        assert folder == str(tmp_path)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda pid=pid: manager.slaves[0].pid not in (None, pid))  # type: ignore[misc]  # bound here


def test_the_masters_environment_is_in_no_document_and_no_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment = {"TOKEN": "hidden treasure"}
    bootstrap = Bootstrap(0, "python3", "/", None, [], masters_environment=environment)
    assert bootstrap.local_environment() == environment
    for shown in (repr(bootstrap), bootstrap.document().decode(), str(bootstrap.command("stdin"))):
        assert "treasure" not in shown


SAYS_WHAT_TASKS_FIND = """
        import os, signal, sys
        from imp_parallel_core import Manager
        from imp_parallel_local import LocalSlave

        def look():
            flags = [getattr(sys.flags, n) for n in ("optimize", "bytes_warning", "dev_mode")]
            flags += [sys.flags.ignore_environment, sys.flags.dont_write_bytecode]
            return sys.argv, flags, sys.warnoptions, sorted(sys._xoptions), __debug__

        def kill():
            os.kill(os.getpid(), signal.SIGKILL)

        with Manager() as manager:
            manager.add_slave(LocalSlave())
            context = manager.get_context(max_attempts=1)
            for task in (look, kill, look):
                context.add_task(task)
            first, _, later = context.get_results(on_error="return")
        assert first == later, (first, later)
        assert first == look(), (first, look())
        print("same", len(sys.argv))
    """


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-O"],
        ["-OO", "-W", "ignore::UserWarning", "-B"],
        ["-E", "-X", "dev", "-X", "importtime"],
        ["-bb", "-W", "error", "-X", "faulthandler"],
        ["-X", "int_max_str_digits=640", "-X", "no_debug_ranges"],
        ["-I"],
    ],
    ids=" ".join,
)
def test_tasks_find_the_scripts_arguments_and_pythons_options(
    processes: Processes, start_script: RunScript, options: list[str]
) -> None:
    words = ["--temperature=300", "", "two words", "-c", os.fsdecode(b"\xff"), "\n", "ä"]
    script = start_script(SAYS_WHAT_TASKS_FIND, *words, python=[sys.executable, *options])
    out, err = script.communicate()
    assert (script.returncode, out) == (0, "same 8\n"), err
    if "importtime" not in options:
        assert not Path("slave0.output").exists(), Path("slave0.output").read_text()


def test_a_script_with_very_many_arguments_has_them_all(
    processes: Processes, start_script: RunScript
) -> None:
    files = [f"data/structure-number-{number:06}.pdb" for number in range(20_000)]
    script = start_script(SAYS_WHAT_TASKS_FIND, *files)
    out, err = script.communicate()
    assert (script.returncode, out) == (0, "same 20001\n"), err


def test_what_a_script_made_of_its_arguments_hinders_no_slave(
    processes: Processes, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [Path("script.py"), 7, "nul\0", "\ud800"])
    manager.add_slave(LocalSlave())
    context = manager.get_context()
    context.add_task(lambda: sys.argv)
    assert list(context.get_results()) == [["script.py", "7", "'nul\\x00'", "'\\ud800'"]]
    monkeypatch.delattr(sys, "argv")
    manager.add_slave(LocalSlave())
    wait_until_idle(manager)


def test_the_options_of_the_script_are_not_those_of_another_python() -> None:
    assert sys.flags.hash_randomization  # (which has an option that is never handed on)
    bootstrap = Bootstrap(0, "/opt/python3", "/", None, [])
    assert bootstrap.command("stdin")[:2] == ["/opt/python3", "-c"]


@pytest.mark.parametrize("name", ["gone", "a 'gone' $x"])
def test_a_slave_whose_folder_has_gone_says_where_it_works_instead(
    processes: Processes,
    manager: Manager,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(folder)
    manager.add_slave(LocalSlave())
    monkeypatch.chdir(tmp_path)
    context = manager.get_context()
    context.add_task(lambda: (str(Path.cwd()), os.getppid()))
    ((before, pid),) = context.get_results()
    assert before == str(folder)
    folder.rmdir()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: manager.slaves[0].pid not in (None, pid))
    context.add_task(lambda: str(Path.cwd()))
    assert list(context.get_results()) == [str(tmp_path)]
    said = Path(manager.slaves[0].output_path).read_text()
    sentence = f"can't work in {folder} (No such file or directory), so this slave works in"
    assert f"imp_parallel: {sentence} {tmp_path}\n" in said


def test_a_slave_works_in_the_scripts_folder_whatever_its_python_line_does(
    processes: Processes, tmp_path: Path
) -> None:
    with Manager(python=f"cd /; exec {shlex.quote(sys.executable)}") as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context(max_attempts=1)
        for task in (Path.cwd, lambda: os.kill(os.getpid(), 9), Path.cwd):
            context.add_task(task)
        first, _, later = context.get_results(on_error="return")
    assert first == later == tmp_path


def failure_of_a_start(**parts: object) -> str:
    bootstrap = Bootstrap(**{"index": 0, "cwd": "/", "output_path": None, "sys_path": [], **parts})  # type: ignore[arg-type]  # as a caller gives them
    with pytest.raises(LaunchError) as caught:
        imp_parallel_local.imp_parallel_launch(LocalSlave(), [bootstrap], lambda *_: None)
    return str(caught.value)


def test_each_reason_for_which_a_process_can_not_be_started_is_told_in_its_own_words(
    tmp_path: Path,
) -> None:
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, descriptors[1]))
    try:
        text = failure_of_a_start(python=sys.executable)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, descriptors)
    assert "Too many open files" in text
    assert "ulimit -n" in text
    assert "python=" not in text
    text = failure_of_a_start(python=sys.executable, environment={"LARGE": "x" * (1 << 20)})
    assert "Argument list too long" in text
    assert "environment" in text
    assert "python=" not in text
    (tmp_path / "python").write_text("#!/no/such/interpreter\n")
    (tmp_path / "python").chmod(0o755)
    text = failure_of_a_start(python=str(tmp_path / "python"))
    assert "the interpreter that the first line" in text
    assert "python=" in failure_of_a_start(python="/no/such/python")
    no_process = OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    assert "ulimit -u" in str(start_failure(no_process, ["python"]))
