"""Tasks import what the script could import when they were added."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imp_parallel_core import Manager

pytestmark = pytest.mark.usefixtures("traced_slaves")


@pytest.fixture(autouse=True)
def _own_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", sys.path.copy())
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("user_"):
            del sys.modules[name]


def write_module(folder: Path, name: str, value: object) -> Any:
    """Write a module with a function ``get``."""
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.py").write_text(f"def get(*args):\n    return {value!r}\n")
    importlib.invalidate_caches()


def has_worked(manager: Manager) -> bool:
    """Have a slave run something, so that its path is what it was started with."""
    context = manager.get_context()
    context.add_task(int)
    return list(context.get_results()) == [0]


@pytest.mark.parametrize("at", [0, None], ids=["in front", "at the end"])
def test_a_folder_that_the_path_got_after_a_slave_had_started(
    one_slave: Manager, tmp_path: Path, at: int | None
) -> None:
    assert has_worked(one_slave)
    context = one_slave.get_context()
    write_module(tmp_path / "lib", "user_module", "from the new folder")
    sys.path.insert(len(sys.path) if at is None else at, str(tmp_path / "lib"))
    user_module = importlib.import_module("user_module")

    def import_it() -> str:
        import user_module  # type: ignore[import-not-found]  # it is made below

        result: str = user_module.get()
        return result

    context.add_task(user_module.get)
    context.add_task(import_it)
    context.add_task(lambda: user_module.get())
    assert list(context.get_results()) == ["from the new folder"] * 3
    other = one_slave.get_context(user_module.get)
    other.add_task(lambda value: value)
    assert list(other.get_results()) == ["from the new folder"]


def test_a_folder_between_two_tasks_of_a_kind_that_was_sent_before(
    one_slave: Manager, tmp_path: Path
) -> None:
    def import_it(name: str) -> str:
        try:
            result: str = importlib.import_module(name).get()
        except ImportError:
            return "not there"
        return result

    context = one_slave.get_context()
    for number in range(3):
        write_module(tmp_path / f"lib{number}", f"user_module{number}", number)
        context.add_task(import_it, f"user_module{number}")
        sys.path.append(str(tmp_path / f"lib{number}"))
        context.add_task(import_it, f"user_module{number}")
    assert list(context.get_results()) == ["not there", 0, "not there", 1, "not there", 2]


def test_what_is_in_front_on_the_master_is_in_front_on_slaves(
    one_slave: Manager, tmp_path: Path
) -> None:
    for number in range(3):
        write_module(tmp_path / f"lib{number}", "user_shadowed", number)
    sys.path.append(str(tmp_path / "lib0"))
    assert has_worked(one_slave)
    sys.path.insert(0, str(tmp_path / "lib1"))
    sys.path.append(str(tmp_path / "lib2"))
    context = one_slave.get_context()
    context.add_task(lambda: importlib.import_module("user_shadowed").get())
    assert list(context.get_results()) == [1]


def test_a_runner_that_replaces_a_dead_one_imports_from_there_too(
    one_slave: Manager, tmp_path: Path
) -> None:
    assert has_worked(one_slave)
    write_module(tmp_path / "lib", "user_module", 1)
    sys.path.append(str(tmp_path / "lib"))

    def die_once() -> int:
        if not (tmp_path / "tried").exists():
            (tmp_path / "tried").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        result: int = importlib.import_module("user_module").get()
        return result

    context = one_slave.get_context()
    context.add_task(die_once)
    context.add_task(die_once)
    assert list(context.get_results()) == [1, 1]


def test_what_a_set_up_has_put_on_the_path_stays_there(one_slave: Manager, tmp_path: Path) -> None:
    write_module(tmp_path / "own", "user_own", "the set-up's")
    write_module(tmp_path / "lib", "user_module", "the master's")

    def set_up() -> None:
        sys.path.insert(0, str(tmp_path / "own"))

    def import_both() -> list[str]:
        return [importlib.import_module(name).get() for name in ("user_own", "user_module")]

    context = one_slave.get_context(set_up)
    context.add_task(int)
    assert list(context.get_results()) == [0]
    sys.path.insert(0, str(tmp_path / "lib"))
    context.add_task(import_both)
    assert list(context.get_results()) == [["the set-up's", "the master's"]]


def test_the_current_folder_where_it_is_on_the_path(tmp_path: Path) -> None:
    """As it is in a console, a notebook and under ``python -c``."""
    for number in range(3):
        write_module(tmp_path / f"project{number}", f"user_of_{number}", number)
        write_module(tmp_path / f"project{number}", "user_common", f"common {number}")
    program = """
        import importlib, os
        from imp_parallel_core import Manager
        from imp_parallel_local import LocalSlave

        def get(*names):
            return [importlib.import_module(name).get() for name in names]

        with Manager(output=None) as manager:
            manager.add_slave(LocalSlave())
            context = manager.get_context()
            context.add_task(get, "user_of_0")
            print(list(context.get_results()))
            os.chdir("../project1")
            context.add_task(get, "user_of_1")
            os.chdir("../project2")
            context.add_task(get, "user_of_2", "user_common")
            os.chdir("../project0")
            context.add_task(get, "user_of_0", "user_of_1")
            print(list(context.get_results()))
            import user_common
            other = manager.get_context(user_common.get)
            other.add_task(lambda value: value)
            print(list(other.get_results()))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=tmp_path / "project0",
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "[[0]]",
        "[[1], [2, 'common 2'], [0, 1]]",
        # imported already in this runner, as README.md says
        "['common 2']",
    ]


def test_entries_that_are_no_texts_are_no_hindrance(one_slave: Manager, tmp_path: Path) -> None:
    sys.path += [tmp_path, None, b"bytes"]  # type: ignore[list-item]  # that's the point
    assert has_worked(one_slave)


def test_a_script_in_a_folder_to_which_everybody_can_add_imports_what_is_beside_it(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "shared"
    write_module(folder, "user_beside", "from beside the script")
    folder.chmod(0o1777)
    script = """
    import os
    import user_beside
    from imp_parallel_core import LocalSlave, Manager

    with Manager(output=None) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(user_beside.get)
        context.add_task(os.getcwd)
        print(list(context.get_results()))
    """
    (folder / "script.py").write_text(textwrap.dedent(script))
    command = [sys.executable, "script.py"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == f"{['from beside the script', str(folder)]}\n", done.stderr
