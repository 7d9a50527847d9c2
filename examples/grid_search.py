"""Search the best parameters of a classifier of scikit-learn on slaves.

Run it with ``python examples/grid_search.py``. It needs scikit-learn and imp-parallel-joblib.
"""

import imp_parallel_joblib  # makes the name "imp_parallel" known to joblib
import joblib
from imp_parallel_local import LocalSlaves
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.svm import SVC

from imp_parallel_core import Manager

assert imp_parallel_joblib.ManagerBackend


def main():
    """Try nine pairs of parameters, five times each."""
    images, digits = load_digits(return_X_y=True)
    grid = {"C": (0.1, 1, 10), "gamma": (0.0001, 0.001, 0.01)}
    with Manager() as manager:
        manager.add_slave(LocalSlaves())
        with joblib.parallel_config("imp_parallel", manager=manager):
            search = GridSearchCV(SVC(), grid, n_jobs=-1).fit(images[:600], digits[:600])
    print(f"best: {search.best_params_}, right for {search.best_score_:.1%}")


if __name__ == "__main__":
    main()
