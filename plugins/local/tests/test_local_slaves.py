"""An array of local slaves takes the cores that the script may use, and no others."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imp_parallel_local import LocalSlaves, _cores

import imp_parallel_core
from imp_parallel_core import GPU, LaunchError, Manager, current_task, testing
from tests.support.harness import Processes
from tests.support.waiting import wait_until

BATCH = ("JOB_ID", "NSLOTS", "SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID")


@pytest.fixture(autouse=True)
def _in_no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*BATCH, "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def one_core() -> Iterator[int]:
    """Leave the test one core; yield its number."""
    before = os.sched_getaffinity(0)
    core = max(before)
    os.sched_setaffinity(0, [core])
    yield core
    os.sched_setaffinity(0, before)


def test_there_is_a_slave_for_each_core_that_the_script_may_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_cores, "limit_of_cgroups", lambda: None)
    cores = len(os.sched_getaffinity(0))
    assert len(LocalSlaves()) == cores
    assert len(LocalSlaves(threads=cores)) == 1
    assert len(LocalSlaves(threads=2 * cores)) == 1
    assert len(LocalSlaves(7)) == 7
    monkeypatch.setattr(_cores, "limit_of_cgroups", lambda: 1)
    assert len(LocalSlaves()) == 1


def test_a_script_that_is_held_to_one_core_has_one_slave(one_core: int) -> None:
    assert len(LocalSlaves()) == 1


@pytest.mark.parametrize(
    ("environment", "granted"),
    [
        ({}, None),
        ({"NSLOTS": "3"}, None),  # it is in no job
        ({"JOB_ID": "1", "NSLOTS": "3"}, 3),
        ({"JOB_ID": "1", "NSLOTS": "undefined"}, None),
        ({"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": "8", "SLURM_CPUS_PER_TASK": "1"}, 8),
        (
            {
                "SLURM_JOB_ID": "1",
                "SLURM_STEP_ID": "0",
                "SLURM_CPUS_ON_NODE": "8",
                "SLURM_CPUS_PER_TASK": "2",
            },
            2,
        ),
        ({"SLURM_JOB_ID": "1", "SLURM_CPUS_PER_TASK": "4"}, 4),
        ({"PBS_JOBID": "1", "NCPUS": "5"}, 5),
        ({"LSB_JOBID": "1", "LSB_DJOB_NUMPROC": "6"}, 6),
    ],
)
def test_no_more_cores_are_used_than_the_batch_system_has_granted(
    environment: dict[str, str], granted: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _cores.granted_by(environment) == granted
    monkeypatch.setattr(_cores, "affinity", lambda: list(range(64)))
    monkeypatch.setattr(_cores, "limit_of_cgroups", lambda: None)
    monkeypatch.delattr(os, "process_cpu_count", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert len(LocalSlaves()) == (64 if granted is None else granted)


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"a/b/cpu.max": "max 100000", "a/cpu.max": "250000 100000"}, 2),
        ({"a/b/cpu.max": "50000 100000"}, 1),
        ({"a/b/cpu.max": "max 100000"}, None),
        ({"cpu.max": "300000 100000"}, 3),  # as in a container, which sees its own alone
        ({}, None),
    ],
)
def test_the_limits_of_control_groups_are_kept(
    tmp_path: Path, files: dict[str, str], limit: int | None
) -> None:
    own = tmp_path / "own"
    own.write_text("0::/a/b\n")
    for name, text in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    assert _cores.limit_of_cgroups(tmp_path / "root", own) == limit


def test_the_limits_of_control_groups_of_the_first_version_are_kept(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("5:memory:/m\n4:cpu,cpuacct:/a\n1:name=systemd:/\n")
    folder = tmp_path / "cpu,cpuacct/a"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    (folder / "cpu.cfs_quota_us").write_text("400000\n")
    assert _cores.limit_of_cgroups(tmp_path, own) == 4
    (folder / "cpu.cfs_quota_us").write_text("-1\n")
    assert _cores.limit_of_cgroups(tmp_path, own) is None
    assert _cores.limit_of_cgroups(tmp_path, tmp_path / "not there") is None


def test_a_slave_gets_cores_of_one_node_and_one_thread_of_each_core_first(tmp_path: Path) -> None:
    for core in range(8):  # two nodes of two cores with two threads each
        folder = tmp_path / f"cpu/cpu{core}"
        (folder / f"node{core // 2 % 2}").mkdir(parents=True)
        (folder / "topology").mkdir()
        siblings = f"{core % 4},{core % 4 + 4}\n"
        (folder / "topology/thread_siblings_list").write_text(siblings)
    found = _cores.nodes(range(8), tmp_path)
    assert found == [[0, 1, 4, 5], [2, 3, 6, 7]]
    assert _cores.shares(found, 2, 2) == [[0, 1], [2, 3]]
    assert _cores.shares(found, 4, 2) == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert _cores.shares(found, 2, 3) == [[0, 1, 4], [2, 3, 6]]
    assert _cores.numbers_in("0-2,7\n") == [0, 1, 2, 7]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.integers(1, 12), st.integers(1, 5))
def test_no_two_slaves_share_a_core(sizes: Sequence[int], count: int, size: int) -> None:
    first = [sum(sizes[:at]) for at in range(len(sizes))]
    nodes = [list(range(begin, begin + n)) for begin, n in zip(first, sizes, strict=True)]
    if sum(sizes) < count * size:
        with pytest.raises(ValueError, match=f"{count * size} cores are needed"):
            _cores.shares(nodes, count, size)
        return
    found = _cores.shares(nodes, count, size)
    assert [len(cores) for cores in found] == [size] * count
    assert len({core for cores in found for core in cores}) == count * size
    on_one_node = sum(any(set(cores) <= set(node) for node in nodes) for cores in found)
    assert on_one_node >= min(count, sum(n // size for n in sizes))


def cores_by_slave(manager: Manager) -> dict[int, set[int]]:
    """Return the cores of each slave's runner, by the slave's number."""

    def look() -> tuple[int, set[int]]:
        at = current_task()
        assert at is not None
        return at.slave_index, os.sched_getaffinity(0)

    found: dict[int, set[int]] = {}
    context = manager.get_context()
    while len(found) < len(manager.slaves):
        context.add_task(look)
        found.update(context.get_results_unordered())
    return found


def test_each_pinned_slave_has_a_core_of_its_own_also_when_it_is_launched_again(
    processes: Processes, manager: Manager
) -> None:
    cores = os.sched_getaffinity(0)
    manager.add_slave(LocalSlaves(len(cores), pin=True))
    before = cores_by_slave(manager)
    assert sorted(map(sorted, before.values())) == [[core] for core in sorted(cores)]
    assert os.sched_getaffinity(0) == cores
    pids = {slave.pid for slave in manager.slaves}
    for pid in pids:
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not pids & {slave.pid for slave in manager.slaves})
    assert cores_by_slave(manager) == before


def test_slaves_that_can_not_have_cores_of_their_own_are_refused_at_once(
    manager: Manager, one_core: int
) -> None:
    with pytest.raises(LaunchError, match="2 cores are needed, and there are 1") as caught:
        manager.add_slave(LocalSlaves(2, pin=True))
    assert "LocalSlaves(2, pin=True)" in str(caught.value)
    with pytest.raises(LaunchError, match="2 cores are needed"):
        manager.add_slave(LocalSlaves(threads=2, pin=True))
    with pytest.raises(ValueError, match="at least one"):
        LocalSlaves(0)


def stand_in_for_nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = folder / "nvidia-smi"
    lines = [f"GPU {n}: NVIDIA A100 (UUID: GPU-0{n})" for n in range(3)]
    tool.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_each_slave_has_one_card_of_those_that_a_stand_in_for_nvidia_smi_finds(
    processes: Processes, manager: Manager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in_for_nvidia_smi(tmp_path, monkeypatch)
    manager.add_slave(LocalSlaves.one_per_gpu(environment={"OTHER": "yes"}))

    def look() -> tuple[int, str, str]:
        at = current_task()
        assert at is not None
        return at.slave_index, os.environ["CUDA_VISIBLE_DEVICES"], os.environ["OTHER"]

    def cards() -> set[tuple[int, str, str]]:
        found: set[tuple[int, str, str]] = set()
        context = manager.get_context()
        while len(found) < 3:
            context.add_task(look)
            found.update(context.get_results_unordered())
        return found

    before = cards()
    assert before == {(n, f"GPU-0{n}", "yes") for n in range(3)}
    pids = {slave.pid for slave in manager.slaves}
    for pid in pids:
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not pids & {slave.pid for slave in manager.slaves})
    assert cards() == before


def test_cards_may_be_given_as_numbers_or_names() -> None:
    slaves = LocalSlaves.one_per_gpu([0, "GPU-3", GPU("ROCR_VISIBLE_DEVICES", "1")], threads=4)
    assert [slaves.environment_of(position) for position in range(3)] == [
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "GPU-3"},
        {"ROCR_VISIBLE_DEVICES": "1"},
    ]
    assert repr(slaves) == "LocalSlaves.one_per_gpu(['0', 'GPU-3', '1'], threads=4)"


def test_an_array_of_local_slaves_is_a_name_of_the_core_too() -> None:
    assert imp_parallel_core.LocalSlaves is LocalSlaves
    made = LocalSlaves(2, threads=None, environment={"A": "1"}, pin=True)
    assert repr(made) == "LocalSlaves(2, threads=None, environment={'A': '1'}, pin=True)"


def test_an_array_of_pinned_local_slaves_conforms(processes: Processes, tmp_path: Path) -> None:
    testing.check_launcher(lambda: LocalSlaves(1, pin=True), output_folder=tmp_path)
