"""Slaves start on a system that runs functions, work, and wait for room."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from imp_parallel_core import Manager, NoMoreSlavesError
from imp_parallel_core.testing import LauncherCheck, launcher_checks
from tests.support.scripts import Scripts, finish
from tests.support.sent_suite.home import Home, changed, states
from tests.support.waiting import wait_until

__all__ = [
    "test_a_machine_with_another_python_is_named",
    "test_a_slave_has_the_threads_and_the_environment_of_its_description",
    "test_it_passes_the_kit_for_launchers",
    "test_output_that_goes_to_a_file_of_the_machine_reaches_the_masters_file",
    "test_slaves_for_which_there_is_no_room_wait_with_the_reason_and_are_withdrawn",
    "test_the_package_loads_nothing_of_the_system_and_names_what_is_missing",
    "test_the_script_of_the_readme_runs",
]


@pytest.mark.parametrize("check", launcher_checks())
def test_it_passes_the_kit_for_launchers(check: LauncherCheck, home: Home, tmp_path: Path) -> None:
    check(home.maker(), output_folder=tmp_path)


def test_a_slave_has_the_threads_and_the_environment_of_its_description(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)  # (the system itself sets others)
    given = {"WORDS": "a 'quoted' $word"}
    with Manager() as manager:
        manager.add_slave(home.array(threads=3, environment=given))
        context = manager.get_context()
        context.add_task(lambda: [os.environ[name] for name in ("NUMBA_NUM_THREADS", "WORDS")])
        assert list(context.get_results()) == [["3", given["WORDS"]]]


def test_the_script_of_the_readme_runs(home: Home, scripts: Scripts) -> None:
    text = (home.folder / "README.md").read_text()
    (shown,) = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    assert home.said_in_readme in shown
    script = scripts.start(shown.replace(home.said_in_readme, home.address))
    code, printed, errors = finish(script)
    assert (code, printed) == (0, "285\n"), errors


def test_slaves_for_which_there_is_no_room_wait_with_the_reason_and_are_withdrawn(
    home: Home, tmp_path: Path
) -> None:
    go_on = tmp_path / "go_on"

    def work(number: int) -> int:
        while not go_on.exists():
            time.sleep(0.01)
        return number

    def go_on_when_some_are_withdrawn() -> None:
        wait_until(lambda: states(manager).count("queued") <= 3, 60)
        wait_until(lambda: (home.queued() or 0) <= 5)
        go_on.touch()

    home.wait_until_empty()
    with Manager() as manager:
        manager.surplus_timeout = 0.5
        manager.add_slave(home.array(6))
        wait_until(lambda: sorted(states(manager)) == ["idle"] * 2 + ["queued"] * 4, 60)
        wait_until(lambda: sum(home.said_of_no_room in str(slave) for slave in manager.slaves) == 4)
        context = manager.get_context()
        for number in range(3):
            context.add_task(work, number)
        looking = Thread(target=go_on_when_some_are_withdrawn)
        looking.start()
        assert sorted(context.get_results_unordered()) == [0, 1, 2]
        looking.join()
        gone = [str(slave) for slave in manager.slaves if slave.state == "gone"]
        assert any("not needed" in text for text in gone), gone
    home.wait_until_empty()


def test_output_that_goes_to_a_file_of_the_machine_reaches_the_masters_file(home: Home) -> None:
    def send_elsewhere(arguments: list[Any]) -> None:
        path, _ = arguments[-1]
        arguments[-1] = (path, 0)  # no file has this inode number

    with changed(send_elsewhere), Manager() as manager:
        manager.add_slave(home.array())
        context = manager.get_context()
        context.add_task(lambda: print("hello from", os.getpid(), flush=True))
        list(context.get_results_unordered())
        wait_until(lambda: "hello from" in Path("slave0.output").read_text())
        context.add_task(lambda: print("b" * 200_000, "the end", flush=True))
        list(context.get_results_unordered())
    written = Path("slave0.output").read_text()
    assert written.endswith("b the end\n")
    assert len(written) > 200_000


def test_a_machine_with_another_python_is_named(home: Home) -> None:
    def for_another(arguments: list[Any]) -> None:
        condition = f"!= {sys.version_info[:2]}"
        (place,) = (
            place
            for place, argument in enumerate(arguments)
            if isinstance(argument, list) and condition in "".join(argument)
        )
        arguments[place] = [word.replace(condition, "!= (3, 99)") for word in arguments[place]]

    with changed(for_another), Manager() as manager:
        manager.add_slave(home.array())
        context = manager.get_context()
        context.add_task(os.getpid)
        version = "{}.{}".format(*sys.version_info)
        with pytest.raises(NoMoreSlavesError, match=re.escape(f"this is Python {version} (")):
            list(context.get_results_unordered())


def test_the_package_loads_nothing_of_the_system_and_names_what_is_missing(home: Home) -> None:
    package = type(home.array()).__module__
    program = (
        f"import sys, {package} as plugin, imp_parallel_core as core\n"
        "print(*sys.modules)\n"
        f"sys.modules[{home.modules[0]!r}] = None\n"
        f"try: core.Manager(output=None).add_slave(plugin.{home.array_in_vain})\n"
        "except core.LaunchError as error: print(error)\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    modules, missing = done.stdout.splitlines()
    assert package in modules.split()
    assert not {*home.modules} & {*modules.split()}
    assert missing.endswith(f"pip install {home.requirement}")
