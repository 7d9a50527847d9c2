"""Slaves on a real Ray cluster of one node, which is this machine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from base64 import b64encode
from functools import partial
from pathlib import Path
from threading import Thread

import pytest
from imp_parallel_ray import RaySlaveArray

from imp_parallel_core import Bootstrap, LaunchError, Manager, NoMoreSlavesError, Sent, sent_slave
from imp_parallel_core._plugins.kept_slave import start_slave
from imp_parallel_core.testing import LauncherCheck, launcher_checks
from tests.support.harness import parent_of
from tests.support.scripts import Scripts, finish
from tests.support.waiting import is_alive, wait_for_end, wait_until

pytestmark = [
    pytest.mark.timeout(300),  # the first test starts Ray
    pytest.mark.usefixtures("cluster"),
]


def states(manager: Manager) -> list[str]:
    """Return the state of each slave."""
    return [slave.state for slave in manager.slaves]


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


def has_room() -> bool:
    """Whether Ray has both its CPUs free."""
    import ray

    return bool(ray.available_resources().get("CPU") == 2)


def array_at(address: str) -> RaySlaveArray:
    """Return an array on the cluster at an address, also in a script of its own."""
    import ray

    if not ray.is_initialized():
        ray.init(address, log_to_driver=False)
    return RaySlaveArray(1)


@pytest.mark.parametrize("check", launcher_checks())
def test_it_passes_the_kit_for_launchers(
    check: LauncherCheck, cluster: str, tmp_path: Path
) -> None:
    check(partial(array_at, cluster), output_folder=tmp_path)


def test_a_slave_has_the_threads_and_the_environment_of_its_description(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)  # (the cluster itself sets others)
    given = {"WORDS": "a 'quoted' $word"}
    with Manager() as manager:
        manager.add_slave(RaySlaveArray(1, threads=3, environment=given))
        context = manager.get_context()
        context.add_task(lambda: [os.environ[name] for name in ("NUMBA_NUM_THREADS", "WORDS")])
        assert list(context.get_results()) == [["3", given["WORDS"]]]


def test_the_script_of_the_readme_runs(cluster: str, scripts: Scripts) -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text()
    (shown,) = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    code, printed, errors = finish(scripts.start(shown.replace('"auto"', repr(cluster))))
    assert (code, printed) == (0, "285\n"), errors


def test_slaves_for_which_no_cpu_is_free_wait_with_the_reason_and_are_withdrawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    go_on, killed = tmp_path / "go_on", []
    kill = ray.kill

    def noted(actor: object) -> None:
        killed.append(actor)
        kill(actor)

    monkeypatch.setattr(ray, "kill", noted)

    def work(number: int) -> int:
        while not go_on.exists():
            time.sleep(0.01)
        return number

    def go_on_when_some_are_withdrawn() -> None:
        wait_until(lambda: states(manager).count("queued") <= 3, 60)
        go_on.touch()

    wait_until(has_room)
    with Manager() as manager:
        manager.surplus_timeout = 0.5
        manager.add_slave(RaySlaveArray(6))
        wait_until(lambda: sorted(states(manager)) == ["idle"] * 2 + ["queued"] * 4, 60)
        wait_until(lambda: sum("0 of 2 CPU are free" in str(s) for s in manager.slaves) == 4)
        context = manager.get_context()
        for number in range(3):
            context.add_task(work, number)
        looking = Thread(target=go_on_when_some_are_withdrawn)
        looking.start()
        assert sorted(context.get_results_unordered()) == [0, 1, 2]
        looking.join()
        gone = [str(slave) for slave in manager.slaves if slave.state == "gone"]
        assert any("not needed" in text for text in gone), gone
        wait_until(lambda: len(killed) >= len(gone))
    wait_until(has_room)


def test_a_slave_that_needs_more_than_there_is_waits_and_says_what_it_needs() -> None:
    with Manager() as manager:
        manager.add_slave(RaySlaveArray(1, num_cpus=0, num_gpus=1, resources={"scanner": 2}))
        words = "0 of 0 GPU, 0 of 0 scanner are free"
        wait_until(lambda: words in str(manager.slaves[0]), 60)


def test_a_python_that_does_not_exist_is_an_error_that_names_it_and_its_cpu_is_free_again() -> None:
    wait_until(has_room)
    with Manager(python="/no/such/python") as manager:
        manager.add_slave(RaySlaveArray(2))
        context = manager.get_context()
        context.add_task(os.getpid)
        with pytest.raises(NoMoreSlavesError, match=r"FileNotFoundError: .*'/no/such/python'"):
            list(context.get_results_unordered())
        wait_until(has_room)


def test_a_worker_of_rays_that_is_killed_costs_its_slave_alone_and_its_tasks_move(
    tmp_path: Path,
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
        manager.add_slave(RaySlaveArray(2))
        wait_until(lambda: states(manager) == ["idle"] * 2, 60)
        before = pids_of(manager)
        context = manager.get_context()
        for number in range(20):
            context.add_task(kill_the_worker_once, number)
        assert sorted(context.get_results_unordered()) == list(range(20))
        wait_until(lambda: "gone" in states(manager))
        (lost,) = (str(slave) for slave in manager.slaves if slave.state == "gone")
        assert "its Ray actor ended: ActorDiedError" in lost
        assert pids_of(manager)[0] in before
        wait_until(lambda: sum(map(is_alive, before)) == 1)


def test_a_slave_whose_actor_is_killed_ends_with_it_and_says_so() -> None:
    def begin() -> None:
        Path("begun").touch()
        time.sleep(600)

    with Manager() as manager:
        manager.add_slave(RaySlaveArray(1))
        wait_until(lambda: states(manager) == ["idle"], 60)
        (pid,) = pids_of(manager)
        context = manager.get_context()
        context.add_task(begin)
        wait_until(Path("begun").exists)
        os.kill(parent_of(pid), signal.SIGTERM)  # as Ray ends an actor
        with pytest.raises(NoMoreSlavesError, match="its Ray actor ended"):
            list(context.get_results_unordered())
        wait_for_end(pid, "the slave whose actor was killed")


def test_a_script_that_is_killed_leaves_nothing_on_the_cluster(
    cluster: str, scripts: Scripts
) -> None:
    wait_until(has_room)
    script = scripts.start(
        f"""
        import os, time
        import ray
        from imp_parallel_core import Manager
        from imp_parallel_ray import RaySlaveArray

        ray.init({cluster!r}, log_to_driver=False)
        with Manager() as manager:
            manager.add_slave(RaySlaveArray(4))
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
    wait_until(has_room)


def test_no_command_line_no_environment_and_no_log_holds_a_slaves_secret(
    cluster: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray
    from imp_parallel_ray import _launch

    secrets: list[bytes] = []

    def noted(bootstrap: Bootstrap) -> Sent:
        secrets.append(bootstrap.secret)
        return sent_slave(bootstrap)

    monkeypatch.setattr(_launch, "sent_slave", noted)
    with Manager() as manager:
        manager.add_slave(RaySlaveArray(1))
        wait_until(lambda: states(manager) == ["idle"], 60)
        shown = [
            path.read_bytes()
            for pid in pids_of(manager)
            for one in (pid, parent_of(pid))
            for path in (Path(f"/proc/{one}/cmdline"), Path(f"/proc/{one}/environ"))
        ]
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    logs = [path.read_bytes() for path in (session / "logs").rglob("*") if path.is_file()]
    assert logs
    (secret,) = secrets
    assert b64encode(secret) not in b"".join([*shown, *logs])


def test_output_that_goes_to_a_file_of_the_node_reaches_the_masters_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from imp_parallel_ray import _launch

    def elsewhere(bootstrap: Bootstrap) -> Sent:
        sent = sent_slave(bootstrap)
        *others, output = sent._arguments
        return Sent(start_slave, *others, (output[0], 0))  # no file has this inode number

    monkeypatch.setattr(_launch, "sent_slave", elsewhere)
    with Manager() as manager:
        manager.add_slave(RaySlaveArray(1))
        context = manager.get_context()
        context.add_task(lambda: print("hello from", os.getpid(), flush=True))
        list(context.get_results_unordered())
        wait_until(lambda: "hello from" in Path("slave0.output").read_text())


def test_other_machines_get_credentials_only_over_tls_or_if_the_user_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from imp_parallel_ray import _launch

    monkeypatch.setattr(_launch, "get_node_ip_address", lambda: "192.0.2.77")
    with Manager() as manager:
        with pytest.raises(LaunchError, match=r"RAY_USE_TLS=1.*trusted_network=True"):
            manager.add_slave(RaySlaveArray(1))
        monkeypatch.setattr(
            _launch, "check_cluster", lambda **_: None
        )  # no such node was there yet
        monkeypatch.setattr(_launch, "_is_private", lambda place: False)
        manager.add_slave(RaySlaveArray(1))
        context = manager.get_context()
        context.add_task(os.getpid)
        with pytest.raises(NoMoreSlavesError, match="RAY_USE_TLS=1"):
            list(context.get_results_unordered())
    monkeypatch.undo()
    assert not _launch._is_private("192.0.2.77")
    monkeypatch.setenv("RAY_USE_TLS", "1")
    assert _launch._is_private("192.0.2.77")


def test_a_script_without_a_cluster_is_told_to_join_one(tmp_path: Path) -> None:
    program = (
        "import sys, imp_parallel_ray, imp_parallel_core as core\n"
        "print('ray' in sys.modules)\n"
        "manager = core.Manager(output=None)\n"
        "try: manager.add_slave(imp_parallel_ray.RaySlaveArray(1))\n"
        "except core.LaunchError as error: print(error)\n"
        "sys.modules['ray'] = None\n"
        "del sys.modules['imp_parallel_ray._launch']\n"
        "try: manager.add_slave(imp_parallel_ray.RaySlaveArray(1))\n"
        "except core.LaunchError as error: print(error)\n"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    is_imported, not_joined, not_there = done.stdout.splitlines()
    assert is_imported == "False"
    assert "Call ray.init(…) before add_slave()" in not_joined
    assert not_there.endswith("pip install ray")
