"""Keep slaves busy with an optimiser that asks for points and is told their scores.

The optimiser is told each score as soon as it has come, so that no slave waits for another. When a
score is good enough, the calls that still run are cancelled. Any optimiser with ``ask`` and
``tell`` takes the place of ``Shrinking``, and anything else that takes an executor of
``concurrent.futures`` can be given this one.
"""

import random
from concurrent.futures import FIRST_COMPLETED, wait

from imp_parallel_local import LocalSlave

from imp_parallel_core import Manager

SLAVES = 2
GOOD_ENOUGH = 0.01


def load_data():
    """Return what each call needs: loaded once on each slave."""
    return {"minimum": (0.3, -0.7)}


def score(data, x, y):
    """Return how far a point is from the minimum."""
    x0, y0 = data["minimum"]
    return (x - x0) ** 2 + (y - y0) ** 2


class Shrinking:
    """Asks for points around the best one that is known, ever closer to it."""

    def __init__(self, seed):
        self.dice = random.Random(seed)
        self.best, self.best_score = (0.0, 0.0), float("inf")
        self.radius = 1.0

    def ask(self):
        return tuple(value + self.dice.uniform(-1, 1) * self.radius for value in self.best)

    def tell(self, point, score):
        if score < self.best_score:
            self.best, self.best_score = point, score
        else:
            self.radius = max(0.05, self.radius * 0.97)


def main():
    optimiser = Shrinking(seed=1)
    calls = 0
    with Manager(output=None) as manager:
        for _ in range(SLAVES):
            manager.add_slave(LocalSlave())
        with manager.get_executor(load_data) as executor:
            points = {}
            while optimiser.best_score > GOOD_ENOUGH:
                while len(points) < 2 * SLAVES:  # one runs on each slave, and one waits
                    point = optimiser.ask()
                    points[executor.submit(score, *point)] = point
                for future in wait(points, return_when=FIRST_COMPLETED).done:
                    optimiser.tell(points.pop(future), future.result())
                    calls += 1
            for future in points:
                future.cancel()
    x, y = optimiser.best
    print(f"best: {optimiser.best_score:.4f} at ({x:.2f}, {y:.2f}), after {calls} calls")


main()
