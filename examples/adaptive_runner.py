"""Sample a function where it changes most, with ``adaptive`` (``pip install adaptive``) on slaves.

``adaptive`` chooses each point from the results that it has, and its runners take any executor of
``concurrent.futures``. ``ntasks`` says how many points are on their way at once. What the set-up
returns is the function's first argument.
"""

import adaptive
from imp_parallel_local import LocalSlave

from imp_parallel_core import Manager

SLAVES = 2


def load_data():
    """Return what each call needs: loaded once on each slave."""
    return {"place": 0.3, "width": 0.02}


def peak(data, x):
    """Return the height of a narrow peak on a slope."""
    distance = (x - data["place"]) / data["width"]
    return x + 1 / (1 + distance**2)


def main():
    learner = adaptive.Learner1D(peak, bounds=(-1, 1))
    with Manager(output=None) as manager:
        for _ in range(SLAVES):
            manager.add_slave(LocalSlave())
        with manager.get_executor(load_data) as executor:
            adaptive.BlockingRunner(learner, npoints_goal=60, executor=executor, ntasks=2 * SLAVES)
    near = sum(abs(x - 0.3) < 0.1 for x in learner.data)
    highest = max(learner.data, key=learner.data.get)
    print(f"{len(learner.data)} points, {near} of them at the peak, highest at {highest:.2f}")


main()
