"""``imp-parallel top`` shows the runs of its own user, and of nobody else, as they go on."""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imp_parallel_view import Live
from imp_parallel_view._live.calls import Scripts, snapshots
from imp_parallel_view._live.drawing import list_of_runs, whole_run
from imp_parallel_view._live.folder import LiveError
from imp_parallel_view._live.snapshot import snapshot
from imp_parallel_view._model import RunModel
from rich.cells import cell_len
from rich.console import Console
from view_screens import Terminal

from imp_parallel_core import ContextOpened, Manager, RunBegan, SlaveChanged, TasksAdded, TasksDone
from tests.support.waiting import wait_until

TOP = [sys.executable, "-m", "imp_parallel_core", "top", "--folder"]
SCRIPT = """
    import sys
    from imp_parallel_core import Manager
    from imp_parallel_local import LocalSlave
    from imp_parallel_view import Live

    with Manager(output=None, plugins=[Live("runs")]) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context(name="scoring")
        for number in range(20):
            context.add_task(divmod, 100, number)
        list(context.get_results_unordered(on_error="return"))
        print("read", flush=True)
        sys.stdin.readline()
"""
ALL_TASKS = {"added": 20, "done": 19, "failed": 1, "dropped": 0, "running": 0, "left": 0}


@pytest.fixture
def script(
    write_script: Callable[[str], list[str]],
    started: list[subprocess.Popen[str]],
    tmp_path: Path,
) -> subprocess.Popen[str]:
    """Return a script that has read its results, and keeps its Manager until it reads a line."""
    process = subprocess.Popen(
        write_script(SCRIPT), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    started.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == "read\n"
    wait_until(lambda: [run["tasks"] for run in snapshots(tmp_path / "runs")] == [ALL_TASKS])
    return process


def end(script: subprocess.Popen[str]) -> None:
    """Let the script end."""
    script.communicate("\n", timeout=30)
    assert script.returncode == 0


def wait_until_seen(folder: Path, runs: int = 1) -> None:
    """Wait until so many runs of this process can be asked: observers have threads of their own."""
    wait_until(lambda: len(list(folder.glob(f"{os.getpid()}-*.sock"))) == runs)


def top(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run ``imp-parallel top``."""
    return subprocess.run(
        [*TOP, folder, *arguments], capture_output=True, text=True, check=False, timeout=50
    )


def test_top_shows_a_run_of_another_process_until_that_ends(
    script: subprocess.Popen[str], tmp_path: Path
) -> None:
    done = top(tmp_path / "runs", "--json")
    (run,) = json.loads(done.stdout)
    assert (run["pid"], run["script"]) == (script.pid, str(tmp_path / "script.py"))
    assert run["tasks"] == ALL_TASKS
    assert [each["name"] for each in run["contexts"]] == ["scoring"]
    assert [(each["slave"], each["doing"]) for each in run["slaves"]] == [("slave 0", "idle")]
    assert "ZeroDivisionError" in run["errors"][-1]["error"]
    text = top(tmp_path / "runs", "--once", str(script.pid)).stdout
    assert "20 of 20" in text
    assert "ZeroDivisionError" in text
    end(script)
    done = top(tmp_path / "runs", "--once")
    assert done.returncode == 1
    assert "no script of yours on this machine can be seen now" in done.stderr
    assert list((tmp_path / "runs").iterdir()) == []


def test_only_the_user_can_reach_the_socket(script: subprocess.Popen[str], tmp_path: Path) -> None:
    (path,) = (tmp_path / "runs").iterdir()
    assert stat.S_IMODE((tmp_path / "runs").stat().st_mode) == 0o700
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    end(script)


def test_a_script_that_was_killed_is_not_shown_and_leaves_nothing(
    script: subprocess.Popen[str], tmp_path: Path
) -> None:
    script.kill()
    script.communicate()
    assert len(list((tmp_path / "runs").iterdir())) == 1
    assert top(tmp_path / "runs").returncode == 1
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_socket_of_another_program_is_left_alone_although_nobody_listens_there(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "runs"
    folder.mkdir(mode=0o700)
    for name in ("agent.sock", "1a-2.sock"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
            other.bind(str(folder / name))
    assert snapshots(folder) == []
    assert sorted(path.name for path in folder.iterdir()) == ["1a-2.sock", "agent.sock"]


def test_a_script_that_does_not_answer_is_not_said_to_have_ended(
    script: subprocess.Popen[str], tmp_path: Path
) -> None:
    terminal = Terminal([*TOP, str(tmp_path / "runs"), "--interval", "0.1"])
    try:
        terminal.wait_for(lambda text: "20 of 20" in text)
        script.send_signal(signal.SIGSTOP)
        try:
            run = top(tmp_path / "runs", str(script.pid), "--once")
        finally:
            script.send_signal(signal.SIGCONT)
        assert run.returncode == 1
        assert f"process {script.pid} does not answer within 5 s: it has been stopped" in run.stderr
        assert terminal.process.poll() is None
        end(script)
        text = terminal.finish()
    finally:
        terminal.end()
    assert text.endswith("The last run has ended.")


@pytest.fixture
def stopped(tmp_path: Path) -> Iterator[list[int]]:
    """Have six scripts that do not answer; return their processes."""
    (tmp_path / "runs").mkdir(mode=0o700, exist_ok=True)
    pids = [(1 << 22) + number for number in range(6)]  # larger than any process's
    with ExitStack() as open_now:
        for pid in pids:
            listener = open_now.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            listener.bind(str(tmp_path / "runs" / f"{pid}-1.sock"))
            listener.listen()
        yield pids


def test_scripts_that_do_not_answer_are_waited_for_at_once_and_named(
    stopped: list[int], script: subprocess.Popen[str], tmp_path: Path
) -> None:
    begun_at = time.monotonic()
    done = top(tmp_path / "runs", "--json")
    assert time.monotonic() - begun_at < 20.0  # one after another, they would take 30
    assert [run["pid"] for run in json.loads(done.stdout)] == [script.pid]
    first = ", ".join(map(str, stopped[:5]))
    assert f"processes {first} and others do not answer now: they have been stopped" in done.stderr
    text = top(tmp_path / "runs", "--once").stdout
    assert "20 of 20" in text
    assert f"{stopped[0]}, " in text
    end(script)
    done = top(tmp_path / "runs", "--once")
    assert done.returncode == 1
    assert "do not answer within 5 s" in done.stderr


def test_a_script_that_does_not_answer_delays_the_others_once(
    stopped: list[int], tmp_path: Path
) -> None:
    with Manager(output=None, plugins=[Live(tmp_path / "runs")]):
        wait_until_seen(tmp_path / "runs")
        scripts = Scripts(tmp_path / "runs")
        assert scripts.ask().silent == stopped
        begun_at = time.monotonic()
        for _ in range(12):
            answers = scripts.ask(others_s=60.0)
            assert ([run["pid"] for run in answers.runs], answers.silent) == (
                [os.getpid()],
                stopped,
            )
        assert time.monotonic() - begun_at < 30.0  # five seconds for each, if they were waited for


def test_a_script_of_another_version_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "runs" / f"{1 << 22}-1.sock"))
        listener.listen()

        def answer() -> None:
            for _ in range(2):
                with listener.accept()[0] as caller:
                    caller.sendall(b'{"format": "of the future"}')

        answering = threading.Thread(target=answer)
        answering.start()
        with Manager(output=None, plugins=[Live(tmp_path / "runs")]):
            wait_until_seen(tmp_path / "runs")
            assert [run["pid"] for run in snapshots(tmp_path / "runs")] == [os.getpid()]
        with pytest.raises(LiveError, match="another version of imp-parallel-view"):
            snapshots(tmp_path / "runs")
        answering.join()


def test_top_on_a_terminal_follows_a_run_to_its_end(
    script: subprocess.Popen[str], tmp_path: Path
) -> None:
    terminal = Terminal([*TOP, str(tmp_path / "runs"), "--interval", "0.2"])
    try:
        terminal.wait_for(lambda text: "20 of 20" in text and "slave 0" in text)
        end(script)
        text = terminal.finish()
    finally:
        terminal.end()
    assert terminal.process.returncode == 0
    assert text.endswith("The last run has ended.")


@pytest.mark.parametrize(
    ("end_it", "code"),
    [
        (lambda terminal: terminal.type("q"), 0),
        (lambda terminal: terminal.process.send_signal(signal.SIGINT), 130),
        (lambda terminal: terminal.process.send_signal(signal.SIGTERM), 143),
        (lambda terminal: terminal.process.send_signal(signal.SIGHUP), 129),
    ],
    ids=["q", "Ctrl-C", "SIGTERM", "SIGHUP"],
)
def test_top_leaves_the_terminal_as_it_was_however_it_is_ended(
    end_it: Callable[[Terminal], None],
    code: int,
    script: subprocess.Popen[str],
    tmp_path: Path,
) -> None:
    terminal = Terminal([*TOP, str(tmp_path / "runs"), "--interval", "3600"])
    try:
        before = terminal.modes
        terminal.wait_for(lambda text: "20 of 20" in text)
        assert terminal.modes != before
        end_it(terminal)
        terminal.finish()
        assert terminal.process.returncode == code
        assert terminal.modes == before
        assert terminal.shows_cursor()
        assert terminal.raw.rfind(b"\x1b[?1049l") > terminal.raw.rfind(b"\x1b[?1049h")
    finally:
        terminal.end()
    end(script)


def test_top_goes_on_where_nobody_can_type(script: subprocess.Popen[str], tmp_path: Path) -> None:
    shell = f"{shlex.join([*TOP, str(tmp_path / 'runs')])} --interval 0.1 < /dev/null"
    terminal = Terminal(["sh", "-c", shell])
    try:
        terminal.wait_for(lambda text: "20 of 20" in text)
        end(script)
        assert terminal.finish().endswith("The last run has ended.")
    finally:
        terminal.end()


def test_several_runs_are_listed_and_one_can_be_chosen(tmp_path: Path) -> None:
    with (
        Manager(output=None, plugins=[Live(tmp_path / "runs")]),
        Manager(output=None, plugins=[Live(tmp_path / "runs")]),
    ):
        deadline = time.monotonic() + 20.0
        while len(runs := snapshots(tmp_path / "runs")) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert shown(list_of_runs(runs)).count(f"\n{os.getpid():>6}") == 2
        assert len(snapshots(tmp_path / "runs", os.getpid())) == 2
        assert snapshots(tmp_path / "runs", 1 << 22) == []
    assert snapshots(tmp_path / "runs") == []


def test_a_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir(mode=0o755)
    with pytest.raises(LiveError, match=r"others can enter .*: chmod 700"):
        Live(tmp_path / "runs")
    with pytest.raises(LiveError, match=r"others can enter"):
        snapshots(tmp_path / "runs")


def test_a_folder_whose_path_is_too_long_for_a_socket_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(LiveError, match="too long for a socket"):
        Live(tmp_path / ("x" * 100))


def test_a_link_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir(mode=0o700)
    (tmp_path / "runs").symlink_to("mine")
    with pytest.raises(LiveError, match=r"is no folder"):
        Live(tmp_path / "runs")


def test_who_may_not_see_a_run_is_told_whose_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Live(tmp_path / "runs")
    mine = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: mine + 1)
    with pytest.raises(LiveError, match=r"runs belongs to .*: only that user can see these runs"):
        snapshots(tmp_path / "runs")
    with pytest.raises(LiveError, match=rf"process {os.getpid()} is .*'s: only .* can see its run"):
        snapshots(tmp_path / "runs", os.getpid())


def some_run(slaves: int, contexts: int, failures: int, text: str = "Resources") -> dict[str, Any]:
    """Return a run as a script would answer."""
    model = RunModel()
    model.tell([RunBegan(0.0, 1.7e9)])
    for number in range(1, contexts + 1):
        model.tell([ContextOpened(0.0, number, f"{text} {number}"), TasksAdded(0.0, number, 9, 9)])
    for number in range(slaves):
        state = ("working", "queued", "gone")[number % 3]
        model.tell([SlaveChanged(0.0, f"slave {number}", state, text, text, 1)])
    for number in range(failures):
        columns = ([number], [1], [1.0], [1], [0])
        model.tell([TasksDone(1.0, 1, "slave 0", "raised", f"ValueError: {text}", *columns)])
    return snapshot(model, {"pid": 7, "script": text, "folder": text, "host": text}, 10.0)


def shown(drawn: Any, width: int = 100) -> str:
    """Return what a terminal shows."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_terminal=True)
    with console.capture() as captured:
        console.print(drawn)
    return captured.get()


@given(st.integers(0, 40), st.integers(0, 12), st.integers(0, 9), st.integers(24, 60))
def test_a_run_fits_the_terminal_whatever_it_has(
    slaves: int, contexts: int, failures: int, height: int
) -> None:
    run = some_run(slaves, contexts, failures)
    assert len(shown(whole_run(run, height)).splitlines()) <= height
    assert json.loads(json.dumps(run)) == run


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="queud"), max_size=300),
    st.integers(80, 250),
    st.integers(1, 9),
)
def test_names_of_any_length_leave_the_other_columns_their_room(
    text: str, width: int, failures: int
) -> None:
    run = some_run(7, 5, failures, text)
    whole = shown(whole_run(run, 30, width), width).splitlines()
    listed = shown(list_of_runs([run, run], width), width).splitlines()
    assert len(whole) <= 30
    assert max(map(cell_len, [*whole, *listed])) <= width
    assert any(
        line.split() == ["slave", "host", "is", "for", "tasks", "deaths", "at"] for line in whole
    )
    assert sum(" working " in line for line in whole) == 3
    assert listed[0].split()[-1] == "slaves"
    assert sum("queued" in line for line in listed) == 2


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "inf", "soon"])
def test_an_interval_that_is_none_is_refused(interval: str, tmp_path: Path) -> None:
    done = top(tmp_path, f"--interval={interval}")
    assert done.returncode == 2
    assert f"'{interval}': it must be a number of seconds, from 0.1 to 86400" in done.stderr


def test_text_of_others_can_not_control_the_terminal_of_top() -> None:
    run = some_run(3, 2, 2, "\x1b[2J[red]\n")
    for drawn in (whole_run(run, 40), list_of_runs([run])):
        text = shown(drawn)
        assert "\x1b" not in text
        assert "\\x1b[2J[red]\\n" in text
