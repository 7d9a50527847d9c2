"""The output of slaves destroys nobody's file: the rule, with real Managers and scripts."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import resource
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from imp_parallel_local import LocalSlave, LocalSlaves

from imp_parallel_core import LaunchError, Manager, open_output, read_tail
from tests.support.as_root import can_be_root, run_as_root
from tests.support.harness import Processes, RunScript
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("traced_slaves")


def run(manager: Manager, task: Callable[[], object]) -> object:
    context = manager.get_context()
    context.add_task(task)
    (result,) = context.get_results()
    return result


def output_names(manager: Manager) -> list[str]:
    return [Path(slave.output_path).name for slave in manager.slaves]


def wait_until_idle(manager: Manager) -> None:
    """Wait until slaves have nothing more to say by themselves."""
    wait_until(lambda: all(slave.state == "idle" for slave in manager.slaves))


@pytest.fixture
def another() -> Iterator[Manager]:
    with Manager() as made:
        yield made


def test_two_managers_in_one_folder_keep_each_others_output(
    processes: Processes, manager: Manager, another: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    manager.add_slave(LocalSlave())
    run(manager, lambda: print("the first one's words"))
    for _ in range(2):
        another.add_slave(LocalSlave())
    wait_until_idle(another)
    run(another, lambda: print("the second one's words"))
    assert output_names(manager) == ["slave0.output"]
    assert output_names(another) == ["slave0-run2.output", "slave1-run2.output"]
    assert Path("slave0.output").read_text() == "the first one's words\n"
    said = [path.read_text() for path in Path().glob("slave?-run2.output")]
    assert sorted(said) == ["", "the second one's words\n"]
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "slave0.output" in warnings[0]
    assert "another run" in warnings[0]
    assert "slave0-run2.output" in warnings[0]


def test_two_scripts_in_one_folder_keep_each_others_output(
    processes: Processes, manager: Manager, start_script: RunScript
) -> None:
    manager.add_slave(LocalSlave())
    run(manager, lambda: print("kept"))
    script = start_script("""
        from imp_parallel_core import Manager
        from imp_parallel_local import LocalSlave
        with Manager() as manager:
            manager.add_slave(LocalSlave())
            context = manager.get_context()
            context.add_task(lambda: print("of the script"))
            list(context.get_results())
    """)
    _, errors = script.communicate()
    assert script.returncode == 0, errors
    assert "slave0-run2.output" in errors
    assert Path("slave0.output").read_text() == "kept\n"
    assert Path("slave0-run2.output").read_text() == "of the script\n"


def test_a_manager_inside_a_task_keeps_the_output_of_the_tasks_slave(
    processes: Processes, one_slave: Manager
) -> None:
    def task() -> list[str]:
        print("before", flush=True)
        with Manager() as inner:
            inner.add_slave(LocalSlave())
            run(inner, lambda: print("inside"))
            return output_names(inner)

    assert run(one_slave, task) == ["slave0-run2.output"]
    assert Path("slave0.output").read_text().startswith("before\n")
    assert Path("slave0-run2.output").read_text() == "inside\n"


def test_the_file_of_a_run_that_has_ended_is_replaced(processes: Processes) -> None:
    for words in ("old and long", "new"):
        with Manager() as manager:
            manager.add_slave(LocalSlave())
            run(manager, lambda words=words: print(words))  # type: ignore[misc]  # bound here
    assert Path("slave0.output").read_text() == "new\n"
    assert [path.name for path in Path().glob("slave*")] == ["slave0.output"]


def test_the_file_of_a_script_that_was_killed_is_replaced(
    processes: Processes, start_script: RunScript, manager: Manager
) -> None:
    script = start_script("""
        import time
        from imp_parallel_core import Manager
        from imp_parallel_local import LocalSlave
        manager = Manager()
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(lambda: print("of the one that was killed"))
        list(context.get_results())
        print("ready", flush=True)
        time.sleep(60)
    """)
    assert script.stdout is not None
    assert script.stdout.readline() == "ready\n"
    script.send_signal(signal.SIGKILL)
    script.communicate()
    assert not processes.gone_within(10.0)  # its slave has said its last words
    manager.add_slave(LocalSlave())
    run(manager, lambda: print("new"))
    assert output_names(manager) == ["slave0.output"]
    assert Path("slave0.output").read_text() == "new\n"


def test_a_forked_child_that_outlives_its_run_does_not_keep_its_names(
    processes: Processes, another: Manager
) -> None:
    reading, writing = os.pipe()
    with Manager() as manager:
        manager.add_slave(LocalSlave())
        run(manager, os.getpid)
        child = os.fork()
        if not child:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
    try:
        another.add_slave(LocalSlave())
        assert output_names(another) == ["slave0.output"]
    finally:
        os.close(writing)
        os.waitpid(child, 0)
        os.close(reading)


def test_files_that_are_empty_do_not_stay(processes: Processes) -> None:
    with Manager() as manager:
        for _ in range(3):
            manager.add_slave(LocalSlave())
        wait_until_idle(manager)
        speaker = run(manager, lambda: print("something") or os.getppid())
        (said,) = [s.output_path for s in manager.slaves if s.pid == speaker]
        assert len(list(Path().glob("slave*.output"))) == 3
    assert [str(path.absolute()) for path in Path().glob("slave*.output")] == [said]


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_slaves_that_still_start_when_the_run_ends_leave_no_file(
    processes: Processes, count: int
) -> None:
    for _ in range(3):
        with Manager() as manager:
            manager.add_slave(LocalSlaves(4))
            wait_until(lambda: sum(slave.state == "idle" for slave in manager.slaves) >= count)
        assert [path.read_text() for path in Path().glob("slave*.output")] == []


def test_a_file_that_somebody_put_in_the_place_of_an_empty_one_stays(
    processes: Processes,
) -> None:
    with Manager() as manager:
        manager.add_slave(LocalSlave())
        run(manager, os.getpid)
        Path("mine").touch()
        Path("mine").rename("slave0.output")
    assert Path("slave0.output").exists()


def test_a_link_is_not_followed(
    processes: Processes, manager: Manager, caplog: pytest.LogCaptureFixture
) -> None:
    Path("private").write_text("precious")
    Path("slave0.output").symlink_to("private")
    Path("slave1.output").symlink_to("nowhere")
    Path("hard").write_text("precious too")
    os.link("hard", "slave2.output")
    for _ in range(4):
        manager.add_slave(LocalSlave())
    assert output_names(manager) == [f"slave{n}-run2.output" for n in range(4)]
    assert run(manager, lambda: "done") == "done"
    assert "slave0.output is a symbolic link" in caplog.text
    assert Path("private").read_text() == "precious"
    assert Path("hard").read_text() == "precious too"
    assert not Path("nowhere").exists()


def test_a_file_that_has_another_name_is_not_written_to(
    processes: Processes, manager: Manager
) -> None:
    Path("precious").write_text("precious")
    os.link("precious", "slave0.output")
    manager.add_slave(LocalSlave())
    assert output_names(manager) == ["slave0-run2.output"]
    assert Path("precious").read_text() == "precious"
    with pytest.raises(LaunchError, match="hard links"):
        open_output("slave0.output")


def test_a_file_that_another_run_removes_at_its_end_is_made_again(
    processes: Processes, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("slave0.output").touch()
    lock = fcntl.flock
    removed: list[int] = []

    def remove_first(descriptor: int, operation: int) -> None:
        if not removed:
            removed.append(descriptor)
            Path("slave0.output").unlink()  # as the run does that has had it, when it closes
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    manager.add_slave(LocalSlave())
    assert removed
    assert output_names(manager) == ["slave0.output"]
    assert run(manager, lambda: print("here", flush=True)) is None
    assert Path("slave0.output").read_text() == "here\n"


@pytest.mark.timeout(20)
def test_a_fifo_holds_nobody_up(processes: Processes, manager: Manager) -> None:
    os.mkfifo("slave1.output")
    for _ in range(2):
        manager.add_slave(LocalSlave())
    assert output_names(manager) == ["slave0.output", "slave1-run2.output"]
    assert run(manager, lambda: "done") == "done"
    assert read_tail("slave1.output") == ""


@pytest.mark.skipif(not can_be_root(), reason="only root can make a file of somebody else's")
def test_the_file_of_another_user_is_left_as_it_is(processes: Processes, manager: Manager) -> None:
    Path("slave0.output").write_text("theirs")
    run_as_root("chown", "65534:65534", "slave0.output")
    manager.add_slave(LocalSlave())
    assert output_names(manager) == ["slave0-run2.output"]
    assert Path("slave0.output").read_text() == "theirs"


def test_a_name_taken_for_one_slave_alone_is_not_taken_by_another_run(
    processes: Processes, manager: Manager, another: Manager
) -> None:
    Path("slave1.output").mkdir()
    for _ in range(2):
        manager.add_slave(LocalSlave())
    assert output_names(manager) == ["slave0.output", "slave1-run2.output"]
    for _ in range(2):
        another.add_slave(LocalSlave())
    assert output_names(another) == ["slave0-run2.output", "slave1-run3.output"]


def test_where_files_can_not_be_locked_all_that_are_there_are_kept(
    processes: Processes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A stand-in: a network file system without its lock daemon can't be had here."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    for words in ("first", "second"):
        with Manager() as manager:
            for _ in range(2):
                manager.add_slave(LocalSlave())
            wait_until_idle(manager)
            run(manager, lambda words=words: print(words))  # type: ignore[misc]  # bound here
    said = sorted(path.read_text() for path in Path().glob("slave*"))
    assert said == ["first\n", "second\n"]
    if "run2" in caplog.text:  # unless the two tasks went to different slaves
        assert "can't be locked" in caplog.text


def test_a_percent_sign_in_a_folders_name_is_no_hindrance(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "100%done %d %s"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with Manager() as manager:
        manager.add_slave(LocalSlave())
        run(manager, lambda: print("here"))
    assert (folder / "slave0.output").read_text() == "here\n"


def test_a_folder_that_was_removed_is_a_clear_error(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with Manager() as manager:
        folder.rmdir()
        with pytest.raises(LaunchError, match=r"has been removed.*os\.chdir"):
            manager.add_slave(LocalSlave())
        with pytest.raises(LaunchError, match="has been removed"):
            Manager()
        monkeypatch.chdir(tmp_path)
        with pytest.raises(LaunchError, match="output="):
            manager.add_slave(LocalSlave())  # its output was to go to that folder
    with Manager() as manager:
        manager.add_slave(LocalSlave())
        assert run(manager, os.getcwd) == str(tmp_path)


def test_a_link_that_takes_the_place_of_a_running_slaves_file_is_not_followed(
    processes: Processes, one_slave: Manager
) -> None:
    """A slave that is launched again opens its file again."""
    pid = run(one_slave, os.getppid)
    Path("private").write_text("precious")
    Path("slave0.output").unlink()
    Path("slave0.output").symlink_to("private")
    assert isinstance(pid, int)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: one_slave.slaves[0].state == "gone")
    assert "symbolic link" in one_slave.slaves[0].detail
    assert Path("private").read_text() == "precious"


def test_a_launcher_is_told_that_an_output_file_can_not_be_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(LaunchError, match="fifo"):
        open_output(str(tmp_path / "fifo"))
    with pytest.raises(LaunchError, match="output="):
        open_output(str(tmp_path / "missing" / "file"))
    with open_output(str(tmp_path / "file")) as file:
        file.write(b"made again")
    assert (tmp_path / "file").read_bytes() == b"made again"


def test_a_process_out_of_descriptors_is_told_so_in_its_words(
    processes: Processes, manager: Manager
) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(LaunchError, match=r"Too many open files.*ulimit -n"):
            manager.add_slave(LocalSlave())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    manager.add_slave(LocalSlave())
    assert run(manager, lambda: "done") == "done"
