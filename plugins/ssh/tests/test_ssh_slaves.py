"""Slaves on real hosts: they do what others do, and come back when their connection breaks."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hosts import MakeSlave, bare_python, client, folders, make_slave, there
from imp_parallel_ssh import SSHSlaveArray

from imp_parallel_core import (
    Event,
    Manager,
    NoMoreSlavesError,
    SlaveChanged,
    current_task,
    hookimpl,
    testing,
)
from imp_parallel_core.private_folders import make_private_folder
from tests.support.checking import errors_of
from tests.support.printing import check_that_errors_hold_what_their_attempts_printed
from tests.support.runners import (
    check_that_a_runner_is_like_the_one_before,
    check_that_a_task_is_ended_that_never_returns,
    check_that_a_task_that_holds_too_much_memory_is_ended,
    check_that_what_a_task_registers_for_the_end_is_done,
)
from tests.support.sshd import Daemons, Person, Sshd
from tests.support.waiting import Lives, wait_until

__all__ = ["bare_python", "client", "make_slave", "there"]  # fixtures


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "script"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.mark.parametrize("check", testing.launcher_checks())
def test_slaves_on_a_host_conform(
    there: Sshd, make_slave: MakeSlave, tmp_path: Path, check: testing.LauncherCheck
) -> None:
    check(make_slave, output_folder=tmp_path)


def test_a_runner_that_takes_the_place_of_the_first_is_like_it(
    there: Sshd, make_slave: MakeSlave
) -> None:
    with Manager() as manager:
        check_that_a_runner_is_like_the_one_before(manager, make_slave())


def test_errors_hold_what_their_attempts_printed_on_a_host(
    there: Sshd, make_slave: MakeSlave
) -> None:
    with Manager() as manager:
        manager.add_slave(make_slave())
        check_that_errors_hold_what_their_attempts_printed(manager)


def test_a_slave_on_a_host_has_the_threads_and_the_environment_of_its_description(
    there: Sshd, client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "5")
    given = {"WORDS": "a 'quoted' $word\nand a line", "EMPTY": ""}
    names = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", *given)
    with Manager() as manager:
        manager.add_slave(SSHSlaveArray(["there"], client=client, threads=2, environment=given))
        context = manager.get_context()
        context.add_task(lambda: [os.environ.get(name) for name in names])
        assert list(context.get_results()) == [["2", "5", *given.values()]]


def test_a_task_in_c_code_that_never_returns_is_ended_on_a_host_too(
    there: Sshd, make_slave: MakeSlave, tmp_path: Path
) -> None:
    with Manager() as manager:
        check_that_a_task_is_ended_that_never_returns(manager, make_slave(), tmp_path)


def test_a_task_that_holds_too_much_memory_is_ended_on_a_host_too(
    there: Sshd, make_slave: MakeSlave, tmp_path: Path
) -> None:
    with Manager() as manager:
        check_that_a_task_that_holds_too_much_memory_is_ended(manager, make_slave(), tmp_path)


def test_each_slave_on_a_host_has_the_card_that_it_was_given(there: Sshd, client: str) -> None:
    with Manager() as manager:
        manager.add_slave(SSHSlaveArray.one_per_gpu({"there": [3, 5]}, client=client))
        context = manager.get_context()
        found: set[tuple[int, str]] = set()
        while len(found) < 2:
            context.add_task(
                lambda: (current_task().slave_index, os.environ["CUDA_VISIBLE_DEVICES"])  # type: ignore[union-attr]  # it is a task
            )
            found.update(context.get_results())
    assert found == {(0, "3"), (1, "5")}


def test_what_a_task_registers_for_the_end_is_done_when_its_runner_is_not_needed_any_more(
    there: Sshd, make_slave: MakeSlave, tmp_path: Path
) -> None:
    with Manager() as manager:
        check_that_what_a_task_registers_for_the_end_is_done(manager, make_slave(), tmp_path)


def test_a_host_without_the_package_is_sent_it_once_for_all_its_slaves(
    there: Sshd, client: str, bare_python: str
) -> None:
    with Manager() as manager:
        manager.add_slave(SSHSlaveArray(["there"], 3, python=bare_python, client=client))
        context = manager.get_context(lambda: os.sep)
        wait_until(lambda: [slave.state for slave in manager.slaves] == ["idle"] * 3, 60.0)
        for _ in range(12):
            context.add_task(lambda sep: time.sleep(0.2) or os.getpid())  # type: ignore[func-returns-value]  # it returns None
        pids = set(context.get_results_unordered())
        assert len(pids) == 3
        (folder,) = folders(there)
        assert folder.stat().st_mode & 0o777 == 0o700
        assert len(list(folder.glob("*.zip"))) == 1


def test_all_slaves_on_a_host_share_one_connection(there: Sshd, make_slave: MakeSlave) -> None:
    with Manager() as manager:
        for _ in range(4):
            manager.add_slave(make_slave())
        wait_until(lambda: {slave.state for slave in manager.slaves} == {"idle"})
        assert there.log.read_text().count("Accepted publickey") == 1


class WaitsFor:
    """A task that runs until a file is there, and notes each time that it is run."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.number = folder, number

    def __call__(self) -> int:
        with (self.folder / f"runs{self.number}").open("a") as file:
            file.write(f"{os.getpid()}\n")
        while not (self.folder / "go").exists():
            time.sleep(0.01)
        return self.number


def begin(manager: Manager, folder: Path, count: int) -> Callable[[], list[int]]:
    """Have tasks run that wait; return what lets them end, and returns their results."""
    context = manager.get_context()
    for number in range(count):
        context.add_task(WaitsFor(folder, number))
    wait_until(lambda: runs(folder) == [1] * count)

    def end() -> list[int]:
        (folder / "go").touch()
        return sorted(context.get_results_unordered())

    return end


def runs(folder: Path) -> list[int]:
    """Return how often each task was begun."""
    return [len(path.read_text().split()) for path in sorted(folder.glob("runs*"))]


@pytest.mark.parametrize("what", ["the connections", "the bridges"])
def test_tasks_go_on_when_their_connection_is_killed_and_none_runs_twice(
    there: Sshd, make_slave: MakeSlave, tmp_path: Path, what: str
) -> None:
    lives = Lives()
    with Manager(plugins=[lives]) as manager:
        for _ in range(2):
            manager.add_slave(make_slave())
        end = begin(manager, tmp_path, 2)
        if what == "the connections":
            there.kill_sessions()
        else:
            for path in (path for folder in folders(there) for path in folder.glob("*.lock")):
                os.kill(int(path.read_text().split()[0]), signal.SIGKILL)
        wait_until(lambda: lives.returns(0) and lives.returns(1))
        assert end() == [0, 1]
    assert runs(tmp_path) == [1, 1]
    assert "connected again" in Path("slave0.output").read_text()


def test_a_connection_that_breaks_while_a_slave_starts_is_made_again(
    there: Sshd, make_slave: MakeSlave, tmp_path: Path
) -> None:
    """The first logins stay in the shell's start-up file, and are killed there."""
    logins, gate = tmp_path / "logins", tmp_path / "gate"
    with (there.home / ".bashrc").open("a") as file:
        file.write(f"echo >>{logins}; while [ ! -e {gate} ]; do sleep 0.05; done\n")
    with Manager() as manager:
        slave = make_slave()
        manager.add_slave(slave)
        expected = 2 if "openssh" in repr(slave) else 1
        wait_until(lambda: logins.exists() and len(logins.read_text()) == expected)
        there.kill_sessions()
        gate.touch()
        context = manager.get_context()
        context.add_task(lambda: "started")
        assert list(context.get_results_unordered()) == ["started"]


@pytest.mark.timeout(120)
def test_a_host_that_is_gone_for_longer_than_ten_seconds_loses_no_slave(
    there: Sshd, make_slave: MakeSlave, tmp_path: Path
) -> None:
    """As long as the master tries to reach a slave, the slave waits for it."""
    lives = Lives()
    with Manager(plugins=[lives]) as manager:
        manager.add_slave(make_slave())
        end = begin(manager, tmp_path, 1)
        there.pause()
        time.sleep(12.0)  # the time is the point
        there.start()
        wait_until(lives.returns, 30.0)
        assert end() == [0]
    assert runs(tmp_path) == [1]


def test_a_slave_that_was_reached_again_can_be_killed_and_is_launched_again(
    there: Sshd, make_slave: MakeSlave, tmp_path: Path
) -> None:
    lives = Lives()
    with Manager(plugins=[lives]) as manager:
        manager.add_slave(make_slave())
        end = begin(manager, tmp_path, 1)
        there.kill_sessions()
        wait_until(lives.returns)
        pid = manager.slaves[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: manager.slaves[0].pid not in (None, pid))
        assert end() == [0]
    assert runs(tmp_path) == [2]


def test_a_login_shell_that_joins_its_outputs_is_an_error_that_says_so(
    there: Sshd, make_slave: MakeSlave
) -> None:
    with (there.home / ".bashrc").open("a") as file:
        file.write("exec 2>&1\n")
    for error in errors_of(make_slave()):
        assert "join standard error to standard output" in error


def test_each_slave_that_fails_is_spoken_of_with_the_command_of_its_own_host(
    there: Sshd, client: str, person: Person
) -> None:
    person.name(there, "other")
    slaves = SSHSlaveArray(["there", "other"], client=client)
    for error in errors_of(slaves, python="exit 43;"):
        of_first, of_second = error.index("slave 0"), error.index("slave 1")
        assert of_first < error.index("command: ssh there") < of_second
        assert of_second < error.index("command: ssh other")


def test_a_python_that_does_not_exist_is_an_error_with_the_shells_words(
    there: Sshd, make_slave: MakeSlave
) -> None:
    for error in errors_of(make_slave(python="/no/such/python")):
        assert re.search(r"(?s)exit code 127.*/no/such/python", error)


def test_an_account_that_runs_no_commands_costs_its_slave_at_once_and_is_quoted(
    person: Person, daemons: Daemons, sshd: Sshd, make_slave: MakeSlave
) -> None:
    user = daemons.add_user("/usr/sbin/nologin")
    person.name(sshd, "there", user=user.name)
    begun = time.monotonic()
    for error in errors_of(make_slave()):
        assert "This account is currently not available" in error
        assert time.monotonic() - begun < 30.0
        begun = time.monotonic()


@pytest.mark.parametrize(
    "answer",
    [
        "os.write(1, b'         4here')",
        "os.write(1, b'        -4here')",
        "os.write(1, b'9999999999')",
        "[os.write(1, bytes(100000)) for _ in iter(int, 1)]",
        "os._exit(0)",
    ],
)
def test_a_host_that_answers_nonsense_costs_its_own_slave_alone(
    there: Sshd, make_slave: MakeSlave, tmp_path: Path, answer: str
) -> None:
    fake = tmp_path / "fake"
    program = f"import sys; exec(sys.argv[2].replace('exec(s)', {answer!r}))"
    fake.write_text(f"#!{sys.executable}\n{program}\n")
    fake.chmod(0o755)
    with Manager(max_relaunches=0) as manager:
        manager.add_slave(make_slave(python=str(fake)))
        manager.add_slave(make_slave())
        context = manager.get_context()
        for number in range(10):
            context.add_task(divmod, number, 3)
        assert len(list(context.get_results_unordered())) == 10
        wait_until(lambda: manager.slaves[0].state == "gone", 30.0)
        assert "TypeError" not in str(manager.slaves[0])


def test_what_a_crash_has_left_is_removed_by_a_later_run(
    there: Sshd, make_slave: MakeSlave
) -> None:
    tmp = str(there.tmp)
    left, young = (Path(make_private_folder(tmp, ".imp_parallel-slaves-")) for _ in range(2))
    for path in (left, young):
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(path / "slave0.socket"))
    os.utime(left, (0, 0))
    with Manager() as manager:
        manager.add_slave(make_slave())
        wait_until(lambda: manager.slaves[0].state == "idle")
        assert not left.exists()
    assert young.exists()
    shutil.rmtree(young)


def test_more_slaves_than_a_connection_may_have_channels_take_another_connection(
    person: Person, daemons: Daemons, client: str
) -> None:
    sshd = daemons.start(options=["MaxSessions 2"])
    person.name(sshd, "narrow")
    with Manager() as manager:
        manager.add_slave(SSHSlaveArray(["narrow"], 5, client=client))
        wait_until(lambda: {slave.state for slave in manager.slaves} == {"idle"})
    wait_until(lambda: not sshd.started(), 12.0)


def test_a_slave_of_an_array_that_was_killed_is_launched_again_and_the_others_go_on(
    there: Sshd, client: str, tmp_path: Path
) -> None:
    with Manager() as manager:
        manager.add_slave(SSHSlaveArray(["there"], 3, client=client))
        end = begin(manager, tmp_path, 3)
        pids = [slave.pid for slave in manager.slaves]
        assert pids[1] is not None
        os.kill(pids[1], signal.SIGKILL)
        wait_until(lambda: manager.slaves[1].pid not in (None, pids[1]))
        assert [manager.slaves[other].pid for other in (0, 2)] == [pids[0], pids[2]]
        assert end() == [0, 1, 2]
    assert sorted(runs(tmp_path)) == [1, 1, 2]


def test_a_slave_of_an_array_that_hangs_is_killed_when_another_takes_its_place(
    there: Sshd, client: str, tmp_path: Path
) -> None:
    class Impatient(Manager):
        heartbeat_timeout = 3.0
        reconnect_timeout = 1.0

    with Impatient() as manager:
        manager.add_slave(SSHSlaveArray(["there"], 2, client=client))
        end = begin(manager, tmp_path, 2)
        pids = [slave.pid for slave in manager.slaves]
        assert pids[0] is not None
        os.kill(pids[0], signal.SIGSTOP)
        wait_until(lambda: manager.slaves[0].pid not in (None, pids[0]), 20.0)
        wait_until(lambda: pids[0] not in there.started())
        assert manager.slaves[1].pid == pids[1]
        assert end() == [0, 1]


def test_a_slave_can_be_added_when_the_last_on_its_host_was_lost_and_its_files_have_gone(
    there: Sshd, make_slave: MakeSlave
) -> None:
    with Manager(max_relaunches=0) as manager:
        manager.add_slave(make_slave())
        wait_until(lambda: manager.slaves[0].state == "idle")
        pid = manager.slaves[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not folders(there))
        context = manager.get_context()
        context.add_task(os.getpid)
        with pytest.raises(NoMoreSlavesError):
            list(context.get_results())
        manager.add_slave(make_slave())
        assert len(list(context.get_results())) == 1


def test_a_stream_that_a_login_shell_wrote_into_is_replaced_at_once_and_nothing_is_lost(
    there: Sshd, make_slave: MakeSlave, tmp_path: Path
) -> None:
    wait = f"while [ ! -e {tmp_path}/noise ]; do sleep 0.05; done; echo this is no frame at all"
    bridge = '[[ "$BASH_EXECUTION_STRING" = *python* ]]'  # not the shell that a connection has
    once = f"{bridge} && mkdir {tmp_path}/once 2>/dev/null"
    with (there.home / ".bashrc").open("a") as file:
        file.write(f"if {once}; then ( {wait} ) & fi\n")
    lives = Lives()
    with Manager(plugins=[lives]) as manager:
        manager.add_slave(make_slave())
        end = begin(manager, tmp_path, 1)
        (tmp_path / "noise").touch()
        wait_until(lives.returns, 15.0)  # by heartbeats alone it would take longer
        assert end() == [0]
    assert runs(tmp_path) == [1]


class Noise:
    """Has login shells write into streams that are a slave's; before that they would do no harm.

    Args:
        profile: the file that they read.
        folder: where they look whether to write.
    """

    def __init__(self, profile: Path, folder: Path) -> None:
        self._profile, self._before = profile, profile.read_text() if profile.exists() else ""
        self._now, self._over, self._bridges = (folder / n for n in ("now", "over", "bridges"))

    @hookimpl
    def imp_parallel_observe(self, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, SlaveChanged):
                if event.state == "reconnecting":
                    self._now.unlink(missing_ok=True)
                else:
                    self._now.touch()

    def begin(self) -> None:
        """Have each bridge's login shell write from now on."""
        bridge = '[[ "$BASH_EXECUTION_STRING" = *python* ]]'  # not the shell that a connection has
        write = f"[ ! -e {self._now} ] || echo this is no frame at all"
        loop = f"until [ -e {self._over} ]; do {write}; sleep 0.05; done"
        line = f"if {bridge}; then echo >>{self._bridges}; ( {loop} ) & fi\n"
        self._profile.write_text(self._before + line)

    def end(self) -> int:
        """Have none write any more; return how many have."""
        self._profile.write_text(self._before)
        self._over.touch()
        return self._bridges.read_text().count("\n")


@pytest.mark.timeout(150)
def test_streams_that_a_login_shell_always_writes_into_are_given_up(
    there: Sshd, make_slave: MakeSlave, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first bridge is left in peace, so that there is a slave to be reached again."""
    noise = Noise(there.home / ".bashrc", tmp_path)
    with Manager(plugins=[noise]) as manager:
        manager.add_slave(make_slave())
        begin(manager, tmp_path, 1)
        noise.begin()
        there.kill_sessions()
        wait_until(lambda: "and is given up" in caplog.text, 120.0, "an end of it")
        assert 1 < noise.end() < 15  # and now the slave can be reached to be ended


def test_a_slave_that_was_given_up_is_ended_when_it_can_be_reached(
    there: Sshd, make_slave: MakeSlave
) -> None:
    class Impatient(Manager):
        heartbeat_timeout = 1.0
        reconnect_timeout = 1.0

    with Impatient(max_relaunches=0) as manager:
        manager.add_slave(make_slave())
        wait_until(lambda: manager.slaves[0].state == "idle")
        pid = manager.slaves[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: manager.slaves[0].state == "gone")
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: not folders(there), what="an end of the slave and its bridge")
