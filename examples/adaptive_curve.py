"""Find where a function changes most, and ask for points there: adaptive, on slaves.

Run it with ``python examples/adaptive_curve.py``. It needs adaptive, whose ``Runner`` takes any
executor of ``concurrent.futures``.
"""

import math

import adaptive
from imp_parallel_local import LocalSlaves

from imp_parallel_core import Manager


def setup():
    """Return what each call needs: made once on each slave."""
    return 0.01  # the width of the peak


def peak(width, x):
    """Return a slope with a sharp peak near 0.3."""
    return x + width**2 / (width**2 + (x - 0.3) ** 2)


def main():
    """Let the learner choose 80 points, and print how they are spread."""
    with Manager() as manager:
        manager.add_slave(LocalSlaves())
        with manager.get_executor(setup) as executor:
            # the learner's function is what is submitted: the set-up's value comes first there
            learner = adaptive.Learner1D(peak, bounds=(-1, 1))
            adaptive.BlockingRunner(
                learner, npoints_goal=80, executor=executor, ntasks=len(manager.slaves)
            )
    points = sorted(learner.data)
    near = sum(0.25 < x < 0.35 for x in points)
    print(f"{len(points)} points, {near} of them in the twentieth of the range that has the peak")
    best = max(learner.data, key=learner.data.get)
    print(f"the highest is at {best:.1f}")
    assert all(map(math.isfinite, points))


if __name__ == "__main__":
    main()
