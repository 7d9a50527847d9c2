"""Slaves on a real Dask cluster, whose workers are processes of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from imp_parallel_dask import DaskSlaveArray

from imp_parallel_core import (
    Bootstrap,
    LaunchError,
    Manager,
    NoMoreSlavesError,
    Sent,
    sent_slave,
)
from imp_parallel_core._plugins.kept_slave import start_slave
from imp_parallel_core.testing import LauncherCheck, launcher_checks
from tests.support.harness import parent_of
from tests.support.scripts import Scripts, finish
from tests.support.waiting import is_alive, wait_for_end, wait_until

if TYPE_CHECKING:
    from distributed import Client

pytestmark = pytest.mark.timeout(180)  # the first test starts the cluster


@contextlib.contextmanager
def changed(attribute: str, change: Callable[[Bootstrap], Any]) -> Iterator[None]:
    """Have the launch send something else than it would."""
    from imp_parallel_dask import _launch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_launch, attribute, change)
        yield


def states(manager: Manager) -> list[str]:
    """Return the state of each slave."""
    return [slave.state for slave in manager.slaves]


def tasks_of(client: Client) -> list[str]:
    """Return the keys of the tasks on the cluster."""
    return list(client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks)))


def result_of(manager: Manager, task: Callable[[], int]) -> int:
    """Return the result of one task."""
    context = manager.get_context()
    context.add_task(task)
    (result,) = context.get_results_unordered()
    return int(result)


def slowly_tell_pid() -> int:
    """Return the pid of the supervisor, late enough for other slaves to tell theirs."""
    time.sleep(0.05)
    return os.getppid()


def pids_of(manager: Manager) -> list[int]:
    """Return the pids of the supervisors, as the slaves themselves tell."""
    context = manager.get_context()
    count = states(manager).count("idle")
    pids: set[int] = set()
    while len(pids) < count:
        for _ in range(4 * count):
            context.add_task(slowly_tell_pid)
        pids.update(context.get_results_unordered())
    return sorted(pids)


def array_at(address: str) -> DaskSlaveArray:
    """Return an array on the cluster at an address, also in a script of its own."""
    from distributed import Client

    try:
        client = Client.current()
    except ValueError:
        client = Client(address)
    return DaskSlaveArray(client, 1)


@pytest.mark.parametrize("check", launcher_checks())
def test_it_passes_the_kit_for_launchers(
    check: LauncherCheck, client: Client, tmp_path: Path
) -> None:
    check(partial(array_at, client.scheduler.address), output_folder=tmp_path)


def test_a_slave_has_the_threads_and_the_environment_of_its_description(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)  # (the cluster itself sets others)
    given = {"WORDS": "a 'quoted' $word"}
    with Manager() as manager:
        manager.add_slave(DaskSlaveArray(client, 1, threads=3, environment=given))
        context = manager.get_context()
        context.add_task(lambda: [os.environ[name] for name in ("NUMBA_NUM_THREADS", "WORDS")])
        assert list(context.get_results()) == [["3", given["WORDS"]]]


def test_the_script_of_the_readme_runs(client: Client, scripts: Scripts) -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    (shown,) = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    script = scripts.start(shown.replace("tls://scheduler:8786", client.scheduler.address))
    assert finish(script) == (0, "285\n", "")


def test_slaves_for_which_no_thread_is_free_wait_with_the_reason_and_are_withdrawn(
    client: Client, tmp_path: Path
) -> None:
    go_on = tmp_path / "go_on"

    def work(number: int) -> int:
        while not go_on.exists():
            time.sleep(0.01)
        return number

    def go_on_when_some_are_withdrawn() -> None:
        wait_until(lambda: states(manager).count("queued") <= 3, 60)
        wait_until(lambda: len(tasks_of(client)) <= 5, 30)
        go_on.touch()

    with Manager() as manager:
        manager.surplus_timeout = 0.5
        manager.add_slave(DaskSlaveArray(client, 6))
        wait_until(lambda: sorted(states(manager)) == ["idle"] * 2 + ["queued"] * 4, 60)
        reason = "the 2 threads of the 2 workers"
        wait_until(lambda: sum(reason in str(slave) for slave in manager.slaves) == 4)
        context = manager.get_context()
        for number in range(3):
            context.add_task(work, number)
        looking = Thread(target=go_on_when_some_are_withdrawn)
        looking.start()
        assert sorted(context.get_results_unordered()) == [0, 1, 2]
        looking.join()
        gone = [str(slave) for slave in manager.slaves if slave.state == "gone"]
        assert any("not needed" in text for text in gone), gone


# -S: what is installed for development, such as our distributions, is not found
BARE_WORKER = """\
import sys
sys.path.append(sys.argv[1])
from distributed.cli.dask_worker import main
main([sys.argv[2], "--no-nanny", "--nthreads=1", "--no-dashboard", "--resources=bare=1"])
"""


def test_a_worker_on_which_nothing_is_installed_but_dask_has_the_slave_that_asks_for_it(
    client: Client,
) -> None:
    site_packages = str(Path(pytest.__file__).parents[1])
    command = [sys.executable, "-S", "-c", BARE_WORKER, site_packages, client.scheduler.address]
    with Manager() as manager, Path("worker.log").open("w") as log:
        manager.add_slave(DaskSlaveArray(client, 1, resources={"bare": 1}))
        wait_until(lambda: "has room for a task with {'bare': 1}" in str(manager.slaves[0]))
        with subprocess.Popen(command, stdout=log, stderr=log) as worker:
            try:
                pid = result_of(manager, os.getppid)
                assert "slave.zip" in Path(f"/proc/{pid}/cmdline").read_text()
                assert parent_of(pid) == worker.pid
            finally:
                worker.terminate()


def test_a_worker_that_is_killed_costs_its_slave_alone_and_dask_starts_that_anew(
    client: Client, tmp_path: Path
) -> None:
    mark = tmp_path / "killed"

    def kill_the_worker_once(number: int) -> int:
        if number == 5:
            try:
                mark.touch(exist_ok=False)
            except FileExistsError:
                return number
            stat = Path(f"/proc/{os.getppid()}/stat").read_text()
            os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)
            time.sleep(600)
        time.sleep(0.02)
        return number

    with Manager() as manager:
        manager.add_slave(DaskSlaveArray(client, 2))
        wait_until(lambda: states(manager) == ["idle"] * 2, 60)
        before = pids_of(manager)
        context = manager.get_context()
        for number in range(20):
            context.add_task(kill_the_worker_once, number)
        assert sorted(context.get_results_unordered()) == list(range(20))
        wait_until(lambda: states(manager) == ["idle"] * 2, 60)
        assert len({*before, *pids_of(manager)}) == 3
        assert sum(map(is_alive, before)) == 1


def test_tasks_wait_for_the_only_slave_if_dask_starts_it_anew(
    client: Client, tmp_path: Path
) -> None:
    mark = tmp_path / "killed"

    def kill_the_worker_once() -> str:
        if mark.exists():
            return "ran again"
        mark.touch()
        stat = Path(f"/proc/{os.getppid()}/stat").read_text()
        os.kill(int(stat.rpartition(")")[2].split()[1]), signal.SIGKILL)
        time.sleep(600)
        return "not killed"

    with Manager() as manager:
        manager.add_slave(DaskSlaveArray(client, 1))
        context = manager.get_context()
        context.add_task(kill_the_worker_once)
        assert list(context.get_results_unordered()) == ["ran again"]


def test_a_task_of_dasks_that_is_cancelled_ends_its_slave_and_says_so(
    client: Client, tmp_path: Path
) -> None:
    from distributed import Future

    def begin() -> None:
        Path("begun").touch()
        time.sleep(600)

    with Manager() as manager:
        manager.add_slave(DaskSlaveArray(client, 1))
        wait_until(lambda: states(manager) == ["idle"], 60)
        (pid,) = pids_of(manager)
        context = manager.get_context()
        context.add_task(begin)
        wait_until(Path("begun").exists)
        client.cancel([Future(key, client) for key in tasks_of(client)], force=True)
        with pytest.raises(NoMoreSlavesError, match=r"its Dask task (is|was) cancelled"):
            list(context.get_results_unordered())
        wait_for_end(pid, "the slave whose task was cancelled")


def test_a_script_that_is_killed_leaves_nothing_on_the_cluster(
    client: Client, scripts: Scripts
) -> None:
    script = scripts.start(
        f"""
        import os, time
        from distributed import Client
        from imp_parallel_core import Manager
        from imp_parallel_dask import DaskSlaveArray

        with Client({client.scheduler.address!r}) as client, Manager() as manager:
            manager.add_slave(DaskSlaveArray(client, 4))
            context = manager.get_context()
            for _ in range(2):
                context.add_task(lambda: (time.sleep(0.5), os.getppid())[1])
            print(*context.get_results_unordered(), flush=True)
            context.add_task(time.sleep, 600)
            list(context.get_results_unordered())
        """
    )
    assert script.stdout is not None
    pids = [int(word) for word in script.stdout.readline().split()]
    assert len(pids) == 2, script.communicate()
    script.kill()
    for pid in pids:
        wait_for_end(pid, "a slave of a script that was killed")
    wait_until(lambda: not tasks_of(client), 30)


def test_a_python_that_does_not_exist_is_an_error_that_names_it_and_shows_no_secret(
    client: Client,
) -> None:
    secrets: list[str] = []

    def noted(bootstrap: Bootstrap) -> Sent:
        secrets.append(b64encode(bootstrap.secret).decode())
        return sent_slave(bootstrap)

    with changed("sent_slave", noted), Manager(python="/no/such/python") as manager:
        manager.add_slave(DaskSlaveArray(client, 1))
        context = manager.get_context()
        context.add_task(os.getpid)
        with pytest.raises(NoMoreSlavesError, match=r"No such file .*'/no/such/python'"):
            list(context.get_results_unordered())
        said = [client.get_worker_logs(), client.get_scheduler_logs(), tasks_of(client)]
    assert "Sent(keep, …)" in str(said)  # Dask logs functions that fail, with their arguments
    (secret,) = secrets
    assert secret
    assert secret not in str(said)


def test_no_command_line_and_no_environment_holds_a_slaves_secret(client: Client) -> None:
    secrets: list[str] = []

    def noted(bootstrap: Bootstrap) -> Sent:
        secrets.append(b64encode(bootstrap.secret).decode())
        return sent_slave(bootstrap)

    with changed("sent_slave", noted), Manager() as manager:
        manager.add_slave(DaskSlaveArray(client, 1))
        wait_until(lambda: states(manager) == ["idle"], 60)
        shown = [
            path.read_bytes()
            for pid in pids_of(manager)
            for one in (pid, parent_of(pid))
            for path in (Path(f"/proc/{one}/cmdline"), Path(f"/proc/{one}/environ"))
        ]
        events = str(client.get_events()) + str(client.run_on_scheduler(repr_of_tasks))
    assert secrets[0].encode() not in b"".join(shown)
    assert secrets[0] not in events
    assert "Sent(keep, …)" in events


def repr_of_tasks(dask_scheduler: Any) -> str:
    """Return what the scheduler would show of its tasks."""
    return str([(task, task.run_spec) for task in dask_scheduler.tasks.values()])


def test_output_that_goes_to_a_file_of_the_worker_reaches_the_masters_file(
    client: Client, tmp_path: Path
) -> None:
    def elsewhere(bootstrap: Bootstrap) -> Sent:
        sent = sent_slave(bootstrap)
        *others, output = sent._arguments
        return Sent(start_slave, *others, (output[0], 0))  # no file has this inode number

    with changed("sent_slave", elsewhere), Manager() as manager:
        manager.add_slave(DaskSlaveArray(client, 1))
        context = manager.get_context()
        context.add_task(lambda: print("hello from", os.getpid(), flush=True))
        list(context.get_results_unordered())
        wait_until(lambda: "hello from" in Path("slave0.output").read_text())
        context.add_task(lambda: print("b" * 200_000, "the end", flush=True))
        list(context.get_results_unordered())
    assert Path("slave0.output").read_text().endswith("b the end\n")
    assert len(Path("slave0.output").read_text()) > 200_000


def test_a_worker_with_another_python_is_named(client: Client) -> None:
    def for_another(bootstrap: Bootstrap) -> Sent:
        sent = sent_slave(bootstrap)
        words, *others = sent._arguments
        words = [word.replace(f"!= {sys.version_info[:2]}", "!= (3, 99)") for word in words]
        return Sent(start_slave, words, *others)

    with changed("sent_slave", for_another), Manager() as manager:
        manager.add_slave(DaskSlaveArray(client, 1))
        context = manager.get_context()
        context.add_task(os.getpid)
        version = "{}.{}".format(*sys.version_info)
        with pytest.raises(NoMoreSlavesError, match=re.escape(f"this is Python {version} (")):
            list(context.get_results_unordered())


def test_a_client_that_can_not_wait_or_is_closed_is_refused(client: Client) -> None:
    from distributed import Client

    with Manager() as manager:
        with pytest.raises(LaunchError, match=r"str is no client .* a distributed\.Client"):
            manager.add_slave(DaskSlaveArray("tcp://127.0.0.1:1", 1))
        other = Client(client.scheduler.address)
        other.close()
        with pytest.raises(LaunchError, match="the Dask client is closed"):
            manager.add_slave(DaskSlaveArray(other, 1))


def test_a_scheduler_that_does_not_answer_is_named(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from imp_parallel_dask import _launch

    async def identity() -> None:  # the scheduler is in this process, and can't be stopped
        await asyncio.sleep(600)

    monkeypatch.setattr(_launch, "_ANSWER_S", 0.1)
    monkeypatch.setattr(client.scheduler, "identity", identity, raising=False)
    with Manager() as manager, pytest.raises(LaunchError, match=r"scheduler at .* does not answer"):
        manager.add_slave(DaskSlaveArray(client, 1))


@pytest.mark.parametrize(
    ("address", "can_be_read"),
    [
        ("tcp://127.0.0.1:8786", False),
        ("tcp://[::1]:8786", False),
        ("inproc://10.0.0.1/123/1", False),
        ("tls://10.0.0.1:8786", False),
        ("tcp://10.0.0.1:8786", True),
        ("tcp://[fe80::1]:8786", True),
        ("tcp://cluster:8786", True),
        ("ucx://10.0.0.1:8786", True),
    ],
)
def test_only_what_stays_here_or_is_encrypted_may_carry_credentials(
    client: Client, monkeypatch: pytest.MonkeyPatch, address: str, can_be_read: bool
) -> None:
    from imp_parallel_dask import _launch

    async def identity(**arguments: Any) -> dict[str, str]:
        return {"address": address}

    monkeypatch.setattr(client.scheduler, "identity", identity, raising=False)
    if not can_be_read:
        _launch.check_client(client, trusted_network=False)
        return
    with pytest.raises(LaunchError, match=f"over {re.escape(address)}, where .*trusted_network"):
        _launch.check_client(client, trusted_network=False)
    _launch.check_client(client, trusted_network=True)


def test_the_package_imports_nothing_of_dasks_and_names_what_is_missing() -> None:
    program = (
        "import sys, imp_parallel_dask as dask, imp_parallel_core as core\n"
        "print(*sys.modules)\n"
        "sys.modules['distributed'] = None\n"
        "try: core.Manager(output=None).add_slave(dask.DaskSlaveArray(None, 1))\n"
        "except core.LaunchError as error: print(error)\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    modules, missing = done.stdout.splitlines()
    assert "imp_parallel_dask" in modules.split()
    assert not {"dask", "distributed", "tornado"} & {*modules.split()}
    assert missing.endswith("pip install distributed")
