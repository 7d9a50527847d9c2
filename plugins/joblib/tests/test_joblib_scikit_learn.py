"""scikit-learn gives the same on slaves as on joblib's own processes."""

from __future__ import annotations

import re
from pathlib import Path

import joblib
import pytest
from joblib import Parallel, delayed

from imp_parallel_core import Manager
from tests.support.scripts import Scripts, finish

pytestmark = pytest.mark.timeout(180)  # five processes import scikit-learn, on two cores

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_scores_and_forests_are_those_of_loky(scripts: Scripts) -> None:
    script = scripts.start(
        """
        import imp_parallel_joblib, joblib, numpy
        from imp_parallel_core import LocalSlave, Manager
        from sklearn.datasets import make_classification
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.model_selection import GridSearchCV
        from sklearn.svm import SVC

        X, y = make_classification(400, 400, random_state=0)  # of more than 1 MiB

        def figures():
            search = GridSearchCV(SVC(), {"C": [0.1, 1, 10]}, cv=3, n_jobs=-1).fit(X, y)
            forest = RandomForestClassifier(20, oob_score=True, n_jobs=-1, random_state=1).fit(X, y)
            return [
                search.cv_results_["mean_test_score"], search.cv_results_["std_test_score"],
                search.predict(X), forest.predict_proba(X), forest.oob_decision_function_,
            ]

        with Manager() as manager:
            manager.add_slave(LocalSlave())
            manager.add_slave(LocalSlave())
            with joblib.parallel_config("imp_parallel", manager=manager):
                ours = figures()
            done = [slave.tasks_done for slave in manager.slaves]
        with joblib.parallel_config("loky", n_jobs=2):
            theirs = figures()
        print(all(numpy.array_equal(*both, equal_nan=True) for both in zip(ours, theirs)))
        print(sum(done) >= 9)
        """
    )
    code, out, err = finish(script, 150.0)
    assert (code, out) == (0, "True\nTrue\n"), err


def test_the_readme_shows_what_happens(scripts: Scripts) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    (shown,) = re.findall(r"^```text\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    code, out, err = finish(scripts.start(example), 150.0)
    assert (code, out) == (0, shown), err


def threads_of_libraries() -> set[int]:
    """Return how many threads the numeric libraries of this process start."""
    import numpy
    from threadpoolctl import threadpool_info

    numpy.ones((2, 2)) @ numpy.ones((2, 2))
    return {info["num_threads"] for info in threadpool_info()}


def test_numeric_libraries_start_one_thread_in_each_slave(
    two_slaves: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Parallel(batch_size=1)(delayed(threads_of_libraries)() for _ in range(4)) == [{1}] * 4
    with pytest.raises(AssertionError, match="inner_max_num_threads"):
        joblib.parallel_config("imp_parallel", manager=two_slaves, inner_max_num_threads=2)
