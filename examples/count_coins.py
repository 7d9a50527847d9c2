"""Count the coins in a series of images that get more and more noise, with scikit-image.

Run it with ``python examples/count_coins.py``. It needs scikit-image, which brings the image.
"""

from imp_parallel_local import LocalSlaves
from numpy.random import default_rng
from scipy.ndimage import binary_fill_holes
from skimage import data, filters, measure, morphology

from imp_parallel_core import Manager, current_task

NOISE = (0, 10, 20, 40, 80)


def count(noise):
    """Return the number of coins that are found in an image with so much noise."""
    rng = default_rng(current_task().seed)  # the same noise in each run, wherever the task runs
    image = data.coins() + rng.normal(0, noise, data.coins().shape)
    smooth = filters.gaussian(image, 2, preserve_range=True)
    coins = binary_fill_holes(smooth > filters.threshold_local(smooth, 101, offset=-5))
    coins = morphology.opening(coins, morphology.disk(9))
    return measure.label(coins).max()


def main():
    """Spread the images over the cores, and print what is found in each."""
    with Manager() as manager:
        manager.add_slave(LocalSlaves())
        context = manager.get_context(seed=1)
        for noise in NOISE:
            context.add_task(count, noise)
        for noise, coins in zip(NOISE, context.get_results(), strict=True):
            print(f"noise of {noise:3d}: {coins} coins")


if __name__ == "__main__":
    main()
