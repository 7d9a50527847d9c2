"""Compare all frames of a protein's trajectory with each other: the RMSD of each pair.

Run it with ``python examples/rmsd_matrix.py``. It needs MDAnalysis, and MDAnalysisTests for the
trajectory: adenylate kinase on its way from closed to open.
"""

import MDAnalysis
import numpy
from imp_parallel_local import LocalSlaves
from MDAnalysis.analysis.rms import rmsd
from MDAnalysisTests.datafiles import DCD, PSF

from imp_parallel_core import Manager


def setup():
    """Read the frames: runs once on each slave, so that no frame has to be sent."""
    universe = MDAnalysis.Universe(PSF, DCD)
    backbone = universe.select_atoms("backbone")
    return numpy.array([backbone.positions.copy() for _ in universe.trajectory[::4]])


def row(frames, first):
    """Return the RMSDs of one frame to all that come after it, in angstrom."""
    return [rmsd(frames[first], other, superposition=True) for other in frames[first + 1 :]]


def main():
    """Spread the rows of the matrix over the cores, and say what the matrix shows."""
    count = len(setup())
    matrix = numpy.zeros((count, count))
    with Manager() as manager:
        manager.add_slave(LocalSlaves())
        context = manager.get_context(setup)
        for first in range(count):
            context.add_task(row, first)
        for first, values in context.get_results_unordered(numbered=True):
            matrix[first, first + 1 :] = values
    matrix += matrix.T
    one, other = numpy.unravel_index(matrix.argmax(), matrix.shape)
    print(f"{count} frames, {count * (count - 1) // 2} pairs")
    print(f"the frames {one} and {other} differ most: {matrix.max():.2f} A")
    print(f"neighbours differ by {numpy.diagonal(matrix, 1).mean():.2f} A on average")


if __name__ == "__main__":
    main()
