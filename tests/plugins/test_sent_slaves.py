"""Slaves and functions that are sent to machines on which nothing of ours is installed."""

from __future__ import annotations

import io
import os
import pickle
import shlex
import signal
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from imp_parallel_core import (
    Bootstrap,
    LaunchError,
    LaunchPhase,
    LaunchState,
    Sent,
    SentLaunch,
    SentSlaveArray,
    slave_archive,
)
from imp_parallel_core._plugins.exit_code import exit_code
from imp_parallel_core._plugins.folder_guardian import FolderGuardian
from imp_parallel_core._plugins.kept_slave import KeptSlave, start_slave
from imp_parallel_core._plugins.sent_launch import sent_slave
from tests.support.waiting import is_alive, wait_for_end, wait_until

# a process with nothing but the standard library unpickles and calls what it reads
ELSEWHERE = (
    "import pickle, sys\n"
    "sent, *arguments = pickle.load(sys.stdin.buffer)\n"
    "print(sent(*arguments), flush=True)\n"
    "sys.stdin.buffer.read()\n"
)
CALL_WITH_RESULT = (
    "import pickle, sys\nsent, other = pickle.load(sys.stdin.buffer)\nprint(sent(other()))\n"
)
PICKLE_AGAIN = (
    "import pickle, sys; sys.stdout.buffer.write(pickle.dumps(pickle.load(sys.stdin.buffer)))"
)


@pytest.fixture
def bootstrap(tmp_path: Path) -> Bootstrap:
    """Return the bootstrap of a slave that has an output file and a secret."""
    output = tmp_path / "slave0.output"
    output.touch()
    return Bootstrap(
        index=0,
        python=sys.executable,
        cwd=str(tmp_path),
        output_path=str(output),
        sys_path=[],
        dial="nowhere:dial",
        secret=b"a secret of the run",
        environment={"ADDED": "a 'quoted' $word"},
    )


@pytest.fixture
def started() -> Iterator[list[KeptSlave]]:
    """End the slaves that a test puts into this list."""
    slaves: list[KeptSlave] = []
    yield slaves
    for slave in slaves:
        slave.end()


def start(program: str, output: tuple[str, int] | None, **environment: str) -> KeptSlave:
    """Start a program in the place of a slave."""
    words = [sys.executable, "-c", program]
    document = b"the document\n"
    return start_slave(
        0, exit_code, FolderGuardian, words, document, environment, output, slave_archive()
    )


def run_alone(program: str, data: bytes) -> bytes:
    """Run a program in a Python that has no package at all; return what it writes."""
    return subprocess.check_output([sys.executable, "-I", "-S", "-c", program], input=data)


@pytest.mark.parametrize("pickle_again", [False, True], ids=["directly", "by another machine"])
def test_a_sent_function_is_called_where_its_module_is_not(pickle_again: bool) -> None:
    sent = Sent(shlex.quote, "from here")
    assert sent() == "'from here'"
    data = cloudpickle.dumps((sent,))
    if pickle_again:
        data = run_alone(PICKLE_AGAIN, data)
    assert run_alone(ELSEWHERE, data) == b"'from here'\n"


def test_a_sent_function_takes_more_arguments_in_the_call() -> None:
    sent, other = Sent(textwrap.indent, "a line"), Sent(shlex.quote, "> ")
    assert run_alone(CALL_WITH_RESULT, pickle.dumps((sent, other))) == b"'> 'a line\n"


def test_a_sent_function_shows_none_of_its_arguments() -> None:
    assert repr(Sent(shlex.quote, "a secret")) == "Sent(quote, …)"


def test_only_a_function_at_the_top_of_a_module_can_be_sent() -> None:
    with pytest.raises(ValueError, match=r"<locals>\.<lambda> is not at the top"):
        Sent(lambda: None)


def test_a_slave_is_sent_without_showing_its_secret(bootstrap: Bootstrap) -> None:
    sent = sent_slave(bootstrap)
    assert "secret" not in repr(sent)
    again = pickle.loads(pickle.dumps(sent))
    assert repr(again) == "Sent(start_slave, …)"


def test_a_kept_slave_gets_its_document_its_environment_and_the_masters_output_file(
    tmp_path: Path, started: list[KeptSlave]
) -> None:
    output = tmp_path / "slave 'zero'\n.output"
    output.touch()
    program = "import os; print(input(), os.environ['ADDED'], 'PATH' in os.environ)"
    slave = start(program, (str(output), output.stat().st_ino), ADDED="a 'quoted' $word")
    started.append(slave)
    assert slave.wait(30.0)
    report = slave.report()
    assert (report["exit_code"], report["output"]) == (0, b"")
    assert output.read_text() == "the document a 'quoted' $word True\n"


@pytest.mark.parametrize("obstacle", ["nothing", "another file", "a link", "two names", "a FIFO"])
def test_what_a_slave_writes_is_reported_if_the_masters_file_is_not_there(
    tmp_path: Path, started: list[KeptSlave], obstacle: str
) -> None:
    output, other = tmp_path / "slave0.output", tmp_path / "other"
    other.write_text("precious")
    inode = other.stat().st_ino
    if obstacle == "another file":
        output.write_text("precious")
        inode = 0
    elif obstacle == "a link":
        output.symlink_to(other)
    elif obstacle == "two names":
        output.hardlink_to(other)
    elif obstacle == "a FIFO":
        os.mkfifo(output)
        inode = output.stat().st_ino
    program = "import sys; print('words', flush=True); input(); sys.exit(43)"
    slave = start(program, (str(output), inode))
    started.append(slave)
    assert slave.wait(30.0)
    said = slave.report()["output"] + slave.end()["output"]
    started.clear()
    assert said == b"words\n"
    assert other.read_text() == "precious"


def test_a_kept_slave_that_writes_without_end_is_quoted_in_parts_and_the_end_is_whole(
    started: list[KeptSlave], tmp_path: Path
) -> None:
    program = "print('x' * 3_000_000, flush=True); input(); print('the end')"
    slave = start(program, (str(tmp_path / "not there"), 0))
    assert slave.wait(30.0)
    last = slave.end()["output"]
    assert last.startswith(b"\nimp_parallel: 1951")
    assert last.endswith(b"xx\nthe end\n")
    assert len(last) < 1_100_000


def test_a_kept_slave_reports_what_it_writes_until_it_is_to_be_ended(tmp_path: Path) -> None:
    program = "import time\nfor n in range(10**6): print(n, flush=True); time.sleep(0.01)"
    slave = start(program, (str(tmp_path / "not there"), 0))
    reports: list[dict[str, Any]] = []
    slave.keep(reports.append, lambda: "enough" if len(reports) == 4 else "")
    assert [one.get("why") for one in reports] == [None, None, None, None, "enough"]
    written = b"".join(one["output"] for one in reports).splitlines()
    assert [int(line) for line in written[:100]] == list(range(min(100, len(written))))
    assert len(written) > 50


def test_a_kept_slave_is_warned_before_it_is_killed_with_all_in_its_group(tmp_path: Path) -> None:
    program = (
        "import os, signal, subprocess, time\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('warned', flush=True))\n"
        "print(child.pid, flush=True)\n"
        "while True: time.sleep(1)\n"
    )
    output = tmp_path / "slave0.output"
    output.touch()
    slave = start(program, (str(output), output.stat().st_ino))
    wait_until(lambda: output.read_text().endswith("\n"))
    last = slave.end()
    assert last["exit_code"] == -signal.SIGKILL
    child, warned = output.read_text().split()
    assert warned == "warned"
    wait_for_end(int(child), "a child of the slave")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["KILL", "TERM"])
def test_a_kept_slave_ends_with_the_process_that_keeps_it_and_no_file_is_left(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    program = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    words = [sys.executable, "-c", program]
    helpers = Sent(exit_code), Sent(FolderGuardian)
    sent = Sent(start_slave, 0, *helpers, words, b"\n", {}, ("/nowhere", 0))
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", ELSEWHERE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as keeper:
        assert keeper.stdin is not None
        assert keeper.stdout is not None
        pickle.dump((sent, slave_archive()), keeper.stdin)
        keeper.stdin.flush()
        assert b"KeptSlave" in keeper.stdout.readline()
        wait_until(lambda: [*tmp_path.glob("*/output")])
        (output,) = tmp_path.glob("*/output")
        assert (output.parent / "slave.zip").exists()
        assert output.parent.stat().st_mode & 0o077 == 0
        wait_until(lambda: output.read_text().endswith("\n"))
        pid = int(output.read_text())
        assert is_alive(pid)
        keeper.send_signal(number)
    wait_for_end(pid, "a slave whose keeper was killed")
    wait_until(lambda: not [*tmp_path.iterdir()], what="no file is left")


def altered(archive: bytes) -> bytes:
    """Return an archive with another version of one module."""
    written = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(written, "w") as new:
        for name in old.namelist():
            more = b"# another\n" if name == "imp_parallel_core/_version.py" else b""
            new.writestr(name, old.read(name) + more)
    return written.getvalue()


@pytest.mark.parametrize("is_same", [True, False], ids=["the same", "another version"])
def test_a_slave_runs_what_is_installed_there_only_if_it_is_the_same(
    bootstrap: Bootstrap, started: list[KeptSlave], tmp_path: Path, is_same: bool
) -> None:
    waiting = "import time\n\ndef dial(*arguments):\n    time.sleep(600)\n"
    (tmp_path / "waiting.py").write_text(waiting)  # or the slave would soon have ended
    waits = bootstrap._replace(dial="waiting:dial", sys_path=[str(tmp_path)])
    archive = slave_archive()
    slave = sent_slave(waits)(archive if is_same else altered(archive))
    started.append(slave)
    line = Path(f"/proc/{slave.report()['pid']}/cmdline")
    wait_until(lambda: "_slave.program" in line.read_text(), what="the slave's program")
    assert ("slave.zip" in line.read_text()) != is_same


class Array(SentSlaveArray):
    """Slaves on a system that the test makes up."""

    system = "Made-up"
    kept_by = "made-up task"
    explained_by = ("made-up-failed",)
    requirement = "made-up"
    privacy_advice = "Whisper."

    def launch_type(self) -> type[SentLaunch]:
        return Launch


class Launch(SentLaunch):
    """A launch of two slaves, whose reports the test makes up."""

    closed = reason_now = dropped = ""
    places: tuple[str, ...] = ("here", "there")
    is_forgotten = False
    answers: list[bool | Exception] = []

    def why_closed(self) -> str:
        return self.closed

    def machines(self) -> list[str]:
        return ["tcp://127.0.0.1:8786", "[::1]:1", "::1", "127.0.0.2"]

    def submit(self, starts: Mapping[int, Sent], archive: bytes) -> None:
        self.starts, self.archive = starts, archive
        if self.answers:
            self.keep_asking(self.answer)

    def answer(self) -> bool:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def look(self) -> None:
        self.restarted_unless_at(self.places)

    def reason(self) -> str:
        return "no room"

    def drop(self, index: int) -> None:
        self.dropped += str(index)
        self.ended(index, "it was dropped")

    def close(self) -> None:
        self.is_forgotten = True


@pytest.fixture
def launch(bootstrap: Bootstrap) -> Launch:
    """Return the launch of two slaves."""
    other = bootstrap._replace(index=1, output_path=None)
    launch = Launch(Array(2, {"cores": 3, "boards": 0}))
    launch.start([bootstrap, other])
    return launch


def report(index: int, code: int | None = None, output: bytes = b"", **more: str) -> dict[str, Any]:
    """Return a report, as a slave's keeper makes it."""
    known = {"index": index, "host": "anna", "pid": 7, "exit_code": code, "output": output}
    return {**known, **more}


def test_a_launch_sends_what_starts_each_slave_and_the_program(launch: Launch) -> None:
    assert str(launch.starts) == "{0: Sent(start_slave, …), 1: Sent(start_slave, …)}"
    assert zipfile.ZipFile(io.BytesIO(launch.archive)).testzip() is None


def test_an_array_shows_what_its_slaves_need(launch: Launch) -> None:
    assert str(launch.slaves) == "Array(2, cores=3)"


def test_a_launch_knows_how_slaves_are_from_their_reports(launch: Launch) -> None:
    assert launch.poll()[0] == LaunchState(LaunchPhase.QUEUED, "no room")
    launch.reported(report(0))
    launch.reported(report(1))
    assert launch.poll()[0] == LaunchState(LaunchPhase.RUNNING, "on anna, process 7")
    launch.reported(report(0, 43, b"last words\n"))
    launch.ended(0, "its task was cancelled")  # the slave itself has said more
    launch.failed(1, OSError("no\nmemory"))
    assert launch.poll()[0].exit_code == 43
    more = "\nMore: imp-parallel explain made-up-failed"
    failed = f"its made-up task failed: OSError: no memory{more}"
    assert launch.poll()[1] == LaunchState(LaunchPhase.ENDED, failed)
    assert launch.log_tail(0) == "last words"
    assert launch.log_tail(1) == ""
    launch.reported(report(1))  # it was started anew
    assert launch._in_phase(LaunchPhase.RUNNING) == [1]
    launch.reported(report(1, -9, why="its task was cancelled"))
    assert launch.poll()[1] == LaunchState(LaunchPhase.ENDED, "its task was cancelled")


def test_a_launch_drops_what_is_withdrawn_and_what_does_not_leave(launch: Launch) -> None:
    launch.withdraw([1])
    assert launch.dropped == "1"
    launch.reported(report(0))
    launch.cancel(0.01)
    assert launch.dropped == "101"
    details = [state.detail for state in launch.poll().values()]
    assert details == ["it was dropped", "it was dropped"]
    assert launch.is_forgotten


def test_slaves_on_a_system_that_was_closed_have_ended_and_it_is_not_asked(launch: Launch) -> None:
    launch.reported(report(0))
    launch.closed = "the client is closed"
    assert {state.detail for state in launch.poll().values()} == {"the client is closed"}
    launch.cancel(0.0)
    assert not launch.dropped
    assert not launch.is_forgotten


def test_a_slave_that_is_started_anew_waits_with_the_reason_until_it_reports(
    launch: Launch,
) -> None:
    launch.reported(report(0, at="here"))
    launch.poll()
    assert launch._in_phase(LaunchPhase.RUNNING) == [0]
    launch.places = ("there",)
    why = "its Made-up worker here has gone, and Made-up starts it anew"
    assert launch.poll()[0] == LaunchState(LaunchPhase.QUEUED, f"{why}; no room")
    assert launch.poll()[1] == LaunchState(LaunchPhase.QUEUED, "no room")
    launch.reported(report(0, at="there"))
    launch.poll()
    assert launch._in_phase(LaunchPhase.RUNNING) == [0]


def test_a_slave_that_has_come_since_the_system_was_asked_is_not_taken_for_gone(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch.reported(report(0, at="here"))

    def look() -> None:
        launch.reported(report(0, at="new"))
        launch.reported(report(1, at="newer"))
        launch.restarted_unless_at(["other"])

    monkeypatch.setattr(launch, "look", look)
    launch.poll()
    assert launch._in_phase(LaunchPhase.RUNNING) == [0, 1]


def test_a_system_is_asked_until_it_has_no_more_answers(launch: Launch) -> None:
    launch.answers = [True, True, False, True]
    launch.submit({}, b"")
    wait_until(lambda: launch._thread is not None and not launch._thread.is_alive())
    assert launch.answers == [True]


def test_slaves_of_a_system_that_can_not_be_asked_have_ended(launch: Launch) -> None:
    launch.answers = [True, RuntimeError("it is on fire")]
    launch.submit({}, b"")
    wait_until(lambda: len(launch._in_phase(LaunchPhase.ENDED)) == 2)
    assert launch.poll()[0].detail == (
        "its made-up task failed: RuntimeError: it is on fire"
        "\nMore: imp-parallel explain made-up-failed"
    )


@pytest.mark.parametrize(
    "machine",
    ["tcp://10.0.0.1:8786", "10.0.0.1", "tcp://[fe80::1]:1", "fe80::1", "ucx://cluster:1", "anna"],
)
def test_credentials_are_sent_to_other_machines_only_if_the_user_says_so(
    machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Array(1, {}).check()
    monkeypatch.setattr(Launch, "machines", lambda launch: [machine])
    Array(1, {}, trusted_network=True).check()
    with pytest.raises(LaunchError, match=r"Whisper. Or give Array trusted_network=True") as caught:
        Array(1, {}).check()
    assert f"prove who they are to {machine}, and" in str(caught.value)


def test_a_system_that_is_missing_closed_or_silent_is_named_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def be_silent(launch: Launch) -> None:
        raise TimeoutError

    monkeypatch.setattr(Launch, "machines", be_silent)
    with pytest.raises(LaunchError, match=r"the Made-up cluster does not answer. Look at its log"):
        Array(1, {}).check()
    monkeypatch.setattr(Launch, "closed", "join it")
    with pytest.raises(LaunchError, match="join it"):
        Array(1, {}).check()

    def fail(array: Array) -> type[SentLaunch]:
        raise ImportError("No module named 'made_up'")

    monkeypatch.setattr(Array, "launch_type", fail)
    with pytest.raises(LaunchError, match=r"Made-up can't be imported: No .* pip install made-up"):
        Array(1, {}).check()
