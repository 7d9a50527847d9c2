"""Let optuna choose points, and compute several of them at once on slaves.

Run it with ``python examples/optuna_study.py``. It needs optuna. Each slave that has become free
gets the next point at once, chosen with all that is known by then.
"""

from concurrent.futures import FIRST_COMPLETED, wait

import optuna
from imp_parallel_local import LocalSlaves

from imp_parallel_core import Manager

POINTS = 60


def score(x, y):
    """Return how far a point is from the minimum."""
    return (x - 0.3) ** 2 + (y + 0.7) ** 2


def main():
    """Keep all slaves busy until all points are scored, and print the best one."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=1))
    with Manager() as manager:
        manager.add_slave(LocalSlaves())
        with manager.get_executor() as executor:
            trials = {}
            for _ in range(POINTS):
                trial = study.ask()
                point = (trial.suggest_float("x", -2, 2), trial.suggest_float("y", -2, 2))
                trials[executor.submit(score, *point)] = trial
                if len(trials) > len(manager.slaves):
                    for future in wait(trials, return_when=FIRST_COMPLETED).done:
                        study.tell(trials.pop(future), future.result())
            for future, trial in trials.items():
                study.tell(trial, future.result())
    print(f"{len(study.trials)} points; the best is near the minimum: {study.best_value < 0.1}")


if __name__ == "__main__":
    main()
