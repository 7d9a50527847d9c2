"""What ``python=`` may be, and that a bad one is an error with all the evidence, at once."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import Error, Manager, NetworkError, NoSlaveStartedError
from tests.support import another_python
from tests.support.harness import Processes


def failure_of(python: str) -> str:
    """Return what the error says when slaves are started by this line."""
    with Manager(python=python) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(os.getpid)
        with pytest.raises(NoSlaveStartedError) as caught:
            list(context.get_results_unordered())
    assert isinstance(caught.value, NetworkError)
    assert len(caught.value.failures) == 1
    return str(caught.value)


def executable(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_a_python_that_does_not_exist(processes: Processes) -> None:
    text = failure_of("/nowhere/python3")
    assert "/nowhere/python3" in text
    assert "No such file" in text
    assert "python=" in text


def test_a_file_that_can_not_be_run(processes: Processes, tmp_path: Path) -> None:
    (tmp_path / "python").write_text("")
    text = failure_of(str(tmp_path / "python"))
    assert "Permission denied" in text


def test_something_that_is_no_python_and_says_so(processes: Processes, tmp_path: Path) -> None:
    text = failure_of(executable(tmp_path / "snake", "#!/bin/sh\necho I am a snake\nexit 9\n"))
    assert "I am a snake" in text
    assert "exit code 9" in text
    assert "snake" in text
    assert "slave0.output" in text


def test_something_that_ends_at_once_and_says_nothing(processes: Processes) -> None:
    text = failure_of("true")
    assert "exit code 0" in text
    assert "is empty" in text


def test_a_python_of_another_version_names_both(processes: Processes, tmp_path: Path) -> None:
    # a stand-in where no other Python is installed: this one, which calls itself 3.9
    lie = "import sys; sys.version_info = (3, 9, 1); exec(sys.argv.pop(2))"
    line = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(lie)} "$@"\n'
    text = failure_of(executable(tmp_path / "python3.9", line))
    assert "this is Python 3.9" in text
    assert "the master runs Python {}.{}".format(*sys.version_info) in text


@another_python.TIMEOUT
def test_a_python_that_is_really_of_another_version_names_both(
    processes: Processes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = another_python.another_python(tmp_path_factory)
    text = failure_of(str(other.path))
    assert "this is Python {}.{} ({})".format(*other.version, other.path) in text
    assert "the master runs Python {}.{}".format(*sys.version_info) in text


def test_a_manager_in_a_free_threaded_python_is_refused_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # a stand-in: no free-threaded Python can be had here
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    with pytest.raises(Error, match=r"works without the interpreter lock.*PYTHON_GIL=1"):
        Manager(output=None)


@pytest.mark.parametrize(
    ("line", "words", "code"),
    [
        ("nonsense_module load imp; {python}", "nonsense_module: command not found", 127),
        ("echo no module imp >&2; false; {python}", "no module imp", 1),
        ("cd /nowhere/at/all && {python}", "/nowhere/at/all", 1),
        ("{python} -c 'raise SystemExit(6)'; {python}", "", 6),
    ],
)
def test_a_shell_line_of_which_a_part_fails_ends_with_its_own_words(
    processes: Processes, line: str, words: str, code: int
) -> None:
    text = failure_of(line.format(python=shlex.quote(sys.executable)))
    assert words in text
    assert f"exit code {code}" in text
    assert "bash" in text


@pytest.mark.parametrize(
    "line",
    [
        "export COLOUR=blue; {python}",
        "COLOUR=blue {python}",
        "COLOUR=blue exec {python} -X dev",
        "export COLOUR='blue'; env {python} -W ignore",
    ],
)
def test_a_shell_line_may_prepare_the_environment(processes: Processes, line: str) -> None:
    with Manager(python=line.format(python=shlex.quote(sys.executable))) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(lambda: os.environ.get("COLOUR"))
        assert list(context.get_results_unordered()) == ["blue"]


def test_a_wrapper_that_waits_for_python_is_no_hindrance(
    processes: Processes, tmp_path: Path
) -> None:
    wrapper = executable(tmp_path / "wrap per.sh", '#!/bin/bash\n"$@"\nexit $?\n')
    line = f"{shlex.quote(wrapper)} {shlex.quote(sys.executable)}"
    with Manager(python=line) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(lambda: "wrapped")
        assert list(context.get_results_unordered()) == ["wrapped"]


@pytest.mark.parametrize("name", ["a b", "a'; echo foo", 'quote"s', "new\nline", "$HOME", "*"])
def test_folders_with_hostile_names_are_no_hindrance(
    processes: Processes, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "beside.py").write_text("def answer():\n    print(42)\n    return 42\n")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    import beside  # type: ignore[import-not-found]  # just written

    try:
        with Manager() as manager:
            manager.add_slave(LocalSlave())
            context = manager.get_context()
            context.add_task(beside.answer)
            context.add_task(os.getcwd)
            assert list(context.get_results()) == [42, str(folder)]
        assert (folder / "slave0.output").read_text() == "42\n"
    finally:
        del sys.modules["beside"]


def test_one_slave_that_can_not_start_does_not_stop_the_others(
    processes: Processes, tmp_path: Path
) -> None:
    once = tmp_path / "once"
    flip = executable(
        tmp_path / "flip",
        f"#!/bin/sh\nmkdir {shlex.quote(str(once))} 2>/dev/null && exit 3\n"
        f'exec {shlex.quote(sys.executable)} "$@"\n',
    )
    with Manager(python=flip) as manager:
        for _ in range(2):
            manager.add_slave(LocalSlave())
        context = manager.get_context()
        for _ in range(4):
            context.add_task(lambda: "fine")
        assert list(context.get_results_unordered()) == ["fine"] * 4
        states = sorted(slave.state for slave in manager.slaves)
    assert states == ["gone", "idle"]


def test_no_slave_at_all_is_said_at_once(manager: Manager) -> None:
    from imp_parallel_core import NoMoreSlavesError

    context = manager.get_context()
    context.add_task(os.getpid)
    with pytest.raises(NoMoreSlavesError, match="add_slave"):
        next(context.get_results_unordered())
    manager.add_slave(LocalSlave())
    assert len(list(context.get_results_unordered())) == 1
