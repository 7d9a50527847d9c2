"""Sample a distribution with emcee, whose walkers are moved on slaves.

Run it with ``python examples/sample_posterior.py``. It needs emcee. The data is not sent with each
call: it is large enough to be kept on each slave, in a set-up.
"""

import emcee
import numpy
from imp_parallel_local import LocalSlaves

from imp_parallel_core import Manager


def setup():
    """Make the data: a line with noise. Runs once on each slave."""
    rng = numpy.random.default_rng(1)
    x = numpy.linspace(0, 10, 1000)
    return x, 2.0 * x + 1.0 + rng.normal(0, 0.5, x.size)


def log_probability(x, y, line):
    """Return the logarithm of the probability of a line (its slope and offset)."""
    return -0.5 * numpy.sum((y - line[0] * x - line[1]) ** 2) / 0.5**2


class Pool:
    """What emcee needs of a pool: a map. It asks for what its own function is called with."""

    def __init__(self, context):
        self.context = context

    def map(self, _function, lines):
        """Return the probability of each line."""
        return list(self.context.map(log_probability, lines))


def main():
    """Move eight walkers 300 times, and print what they say of the line."""
    with Manager() as manager:
        manager.add_slave(LocalSlaves())
        pool = Pool(manager.get_context(setup))
        sampler = emcee.EnsembleSampler(8, 2, log_probability, pool=pool)
        sampler.random_state = numpy.random.RandomState(3).get_state()
        begin = numpy.random.default_rng(2).normal((2, 1), 0.1, (8, 2))
        sampler.run_mcmc(begin, 300)
    slope, offset = sampler.get_chain(discard=100, flat=True).mean(axis=0)
    print(f"the slope is {slope:.1f}, the offset {offset:.1f}")


if __name__ == "__main__":
    main()
