"""Score a model against the distance between its two halves, on all cores of this machine.

Run it with ``python examples/score_vs_distance.py``; it takes some seconds. It needs nothing but
imp-parallel-core and imp-parallel-local.
"""

import math
import os
import random

from imp_parallel_local import LocalSlave

from imp_parallel_core import Manager

PARTICLES = 400


class Model:
    """Two rigid bodies of particles; the second is moved away from the first along x."""

    def __init__(self):
        rng = random.Random(7)
        self.first, self.second = (
            [tuple(rng.uniform(-10.0, 10.0) for _ in range(3)) for _ in range(PARTICLES)]
            for _ in range(2)
        )

    def score(self, distance):
        """Return the sum of a Lennard-Jones-like potential over all pairs of particles."""
        total = 0.0
        for ax, ay, az in self.first:
            for bx, by, bz in self.second:
                squared = (ax - bx - distance) ** 2 + (ay - by) ** 2 + (az - bz) ** 2
                attraction = (9.0 / (squared + 1.0)) ** 3
                total += attraction * attraction - attraction
        return total


def setup():
    """Build the model: runs once on each slave; the model stays there."""
    return Model()


class Task:
    """One point of the curve: gets the model that the set-up returned."""

    def __init__(self, distance):
        self.distance = distance

    def __call__(self, model):
        """Return the distance, the score, and who computed it."""
        return self.distance, model.score(self.distance), os.getpid()


def main():
    """Spread the points over the cores, and print them as a table."""
    with Manager() as manager:
        for _ in range(os.cpu_count() or 1):
            manager.add_slave(LocalSlave())
        context = manager.get_context(setup)
        for distance in range(0, 60, 3):
            context.add_task(Task(distance))
        scores = {}
        processes = set()
        for distance, score, pid in context.get_results_unordered():
            scores[distance] = score
            processes.add(pid)

    print("distance      score")
    for distance, score in sorted(scores.items()):
        print(f"{distance:8d} {score:10.3f}")
    best = min(scores, key=scores.get)
    print(f"best: {best} (of {len(scores)} points, computed by {len(processes)} processes)")
    assert all(map(math.isfinite, scores.values()))


if __name__ == "__main__":
    main()
