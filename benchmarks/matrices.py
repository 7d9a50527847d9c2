"""A task whose work a numeric library does, with as many threads as it starts."""

from __future__ import annotations


class Matrices:
    """Multiply two matrices, and compute the singular values of the product.

    Args:
        number: what makes the matrices differ from those of other tasks.
        size: how many rows and columns they have.
    """

    def __init__(self, number: int, size: int) -> None:
        self.number = number
        self.size = size

    def __call__(self) -> float:
        """Run."""
        import numpy  # in the process that runs this: the script itself needs no BLAS

        random = numpy.random.default_rng(self.number)
        one, other = random.random((2, self.size, self.size))
        return float(numpy.linalg.svd(one @ other, compute_uv=False)[0])
