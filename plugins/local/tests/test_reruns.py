"""A task that has failed can be run again in the script, or later by a command."""

from __future__ import annotations

import os
import pickle
import random
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from imp_parallel_core import Error, Manager, PicklingError, current_task
from imp_parallel_core._api import failed_call
from imp_parallel_core._api.failed_call import load
from tests.support.harness import RunScript

COMMAND = str(Path(sys.executable).with_name("imp-parallel"))


RAN_IN: list[threading.Thread] = []


def fail_elsewhere(*args: Any, **keywords: Any) -> Any:
    """Raise an exception in other processes than that of the number that is the last argument."""
    if os.getpid() != args[-1]:
        raise ValueError("on a slave")
    RAN_IN.append(threading.current_thread())
    return args, keywords


def failed(context: Any, *task: Any, **keywords: Any) -> Any:
    """Run a task that fails, and return its error."""
    context.add_task(*task, **keywords)
    (error,) = context.get_results(on_error="return")
    assert isinstance(error, Error)
    return error


def test_a_failed_task_runs_again_in_this_thread_behind_its_setup(one_slave: Manager) -> None:
    with one_slave.get_context(lambda: ("from", "setup")) as context:
        error = failed(context, fail_elsewhere, [1, 2], os.getpid(), scale=3)
    seen = ("from", "setup", [1, 2], os.getpid()), {"scale": 3}
    assert error.rerun() == seen  # of the closed context
    assert set(RAN_IN) == {threading.current_thread()}, "it was not the script's own function"
    one_slave.close()
    assert error.rerun() == seen


def test_what_the_setup_or_the_task_raises_is_raised_again(one_slave: Manager) -> None:
    with one_slave.get_context() as context:
        error = failed(context, int, "x", base=7)
    with pytest.raises(ValueError, match="base 7: 'x'"):
        error.rerun()
    with one_slave.get_context(lambda: int("no licence")) as context:
        error = failed(context, int)
    with pytest.raises(ValueError, match="no licence"):
        error.rerun()


def test_a_task_draws_the_random_numbers_again_that_it_has_drawn(one_slave: Manager) -> None:
    def setup() -> float:
        return random.random()

    def task(of_setup: float) -> None:
        here = current_task()
        assert here is not None
        raise ValueError(of_setup, random.random(), here.number, here.seed)

    def drawn(error: Any) -> tuple[Any, ...]:
        with pytest.raises(ValueError) as caught:
            error.rerun()
        return caught.value.args

    with one_slave.get_context(setup, seed=7) as context:
        context.add_task(lambda of_setup: of_setup)
        list(context.get_results())
        errors = [failed(context, task), failed(context, task)]
        errors += context.map(lambda value, _: task(value), [1], on_error="return")
    for error in errors:
        assert drawn(error) == error.exc.args
    assert len({drawn(error)[1] for error in errors}) == 3
    assert current_task() is None


def test_an_error_that_has_been_pickled_says_why_it_can_not_be_rerun(one_slave: Manager) -> None:
    with one_slave.get_context() as context:
        error = pickle.loads(pickle.dumps(failed(context, int, "x")))
    for again in (error.rerun, lambda: error.save("file")):
        with pytest.raises(Error, match="since it has been pickled"):
            again()


def test_the_command_runs_a_saved_task_of_a_script_again(
    start_script: RunScript, tmp_path: Path
) -> None:
    (tmp_path / "of_script.py").write_text("LIMIT = 5\n")
    script = start_script(
        """
        import of_script
        from imp_parallel_core import Manager, LocalSlave

        class Model:
            limit = of_script.LIMIT

        def check(model, value, *, factor):
            print("value", value * factor)
            if value * factor > model.limit:
                raise ValueError(f"{value * factor} is too large")

        with Manager(output=None) as manager:
            manager.add_slave(LocalSlave())
            context = manager.get_context(Model)
            context.add_task(check, 2, factor=3)
            (error,) = context.get_results(on_error="return")
            error.save("failed")
            context.add_task(check, 2, factor=3)
            (error,) = context.get_results(on_error="return")
            error.save("failed")  # in the place of the first
        """
    )
    _, problems = script.communicate(timeout=50)
    assert script.returncode == 0, problems
    path = tmp_path / "failed"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"This is a pickle" in path.read_bytes().splitlines()[0]
    assert [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".imp")] == []

    def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, *arguments], cwd="/", capture_output=True, text=True, timeout=50, **options
        )

    done = run("rerun", str(path))
    assert done.returncode == 1
    assert done.stdout == "value 6\n"
    assert "raised by task 1 on slave 0" in done.stderr
    assert done.stderr.rstrip().endswith("ValueError: 6 is too large")
    assert 'raise ValueError(f"{value * factor} is too large")' in done.stderr.partition("again")[2]
    debugged = run("rerun", "--pdb", str(path), input="p model.limit, value\nlist\n")
    assert "(5, 2)" in debugged.stdout
    assert "if value * factor > model.limit" in debugged.stdout, "pdb did not find the source"
    missing = run("rerun", str(tmp_path / "nothing"))
    assert missing.returncode == 2
    assert missing.stderr.startswith("imp-parallel: [Errno 2] No such file or directory")
    path.chmod(0o666)
    refused = run("rerun", str(path))
    assert refused.returncode == 2
    assert "everybody can write to" in refused.stderr


def test_a_file_that_others_may_have_written_is_not_opened(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> Any:
            return (tmp_path / "harm").touch, ()

    path = tmp_path / "file"
    path.write_bytes(pickle.dumps(Harm()))
    with pytest.raises(Error, match=r"was not written by the save\(\)"):
        load(str(path))
    path.chmod(0o622)
    with pytest.raises(Error, match="is not opened"):
        load(str(path))
    assert not (tmp_path / "harm").exists()


def test_the_command_fails_with_a_task_that_exits(
    one_slave: Manager, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with one_slave.get_context() as context:
        failed(context, sys.exit, 0).save(tmp_path / "file")
    done = subprocess.run([COMMAND, "rerun", str(tmp_path / "file")], check=False, timeout=50)
    assert done.returncode == 1
    assert capfd.readouterr().err.endswith("SystemExit: 0\n")


def test_a_file_of_another_python_says_so(
    one_slave: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with one_slave.get_context() as context:
        error = failed(context, int, "x")
    error.save(tmp_path / "file")
    monkeypatch.setattr(failed_call, "_PYTHON", "cpython-399")
    with pytest.raises(Error, match=r"another version of Python, cpython-3\d\d,"):
        load(str(tmp_path / "file"))


def test_what_can_not_be_saved_leaves_no_file(one_slave: Manager, tmp_path: Path) -> None:
    class Unwilling:
        is_sent = False

        def __reduce__(self) -> Any:
            if self.is_sent:
                raise TypeError("not twice")
            return Unwilling, ()

    def task(_: Unwilling) -> None:
        raise ValueError

    with one_slave.get_context() as context:
        error = failed(context, task, Unwilling())
    Unwilling.is_sent = True
    with pytest.raises(PicklingError, match="not twice"):
        error.save(tmp_path / "file")
    assert not (tmp_path / "file").exists()
    assert error.rerun.__doc__
