"""Slaves that are jobs do what others do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from imp_parallel_core import Manager
from tests.support.batch_suite.cluster import BatchCluster
from tests.support.scripts import Scripts, finish

__all__ = [
    "test_a_script_spreads_its_tasks_over_four_jobs",
    "test_a_slave_has_as_many_threads_as_its_job_has_cores_and_the_environment_that_it_is_given",
]

README_LIKE = """
    import os
    from imp_parallel_core import Manager, {array}

    def setup():
        return 1000

    class ScoreAt:
        def __init__(self, distance):
            self.distance = distance

        def __call__(self, model):
            import time
            time.sleep(0.1)
            return self.distance, model + self.distance, os.environ["{task_variable}"]

    with Manager() as manager:
        manager.add_slave({array}(4))
        context = manager.get_context(setup)
        for distance in range(100):
            context.add_task(ScoreAt(distance))
        found = list(context.get_results_unordered())
    assert sorted(score for _, score, _ in found) == list(range(1000, 1100))
    print("slaves:", *sorted({{task for _, _, task in found}}))
"""


def test_a_script_spreads_its_tasks_over_four_jobs(
    batch: BatchCluster, scripts: Scripts, tmp_path: Path
) -> None:
    names = {"array": batch.array.__name__, "task_variable": batch.array.system.task_variable}
    code, out, err = finish(scripts.start(README_LIKE.format(**names)))
    assert (code, out, err) == (0, "slaves: 1 2 3 4\n", "")
    assert {path.name for path in tmp_path.iterdir()} == {"script.py"}


@pytest.mark.parametrize(
    ("has_two_cores", "given", "threads"),
    [(False, "granted", "1"), (True, "granted", "2"), (True, 5, "5")],
    ids=["one core", "two cores", "as the user says"],
)
def test_a_slave_has_as_many_threads_as_its_job_has_cores_and_the_environment_that_it_is_given(
    batch: BatchCluster,
    monkeypatch: pytest.MonkeyPatch,
    has_two_cores: bool,
    given: int | str,
    threads: str,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    words = "a 'quoted' $word"
    options = batch.two_cores if has_two_cores else ""
    with Manager() as manager:
        array = batch.array(1, options, threads=given, environment={"WORDS": words})
        manager.add_slave(array)
        context = manager.get_context()
        context.add_task(lambda: (os.environ["OMP_NUM_THREADS"], os.environ["WORDS"]))
        assert list(context.get_results()) == [(threads, words)]
