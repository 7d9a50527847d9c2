"""Let the analyses of MDAnalysis run on slaves: the RMSD of each frame of a trajectory.

Run it with ``python examples/analysis_backend.py``. It needs MDAnalysis from 2.8 on, and
MDAnalysisTests for the trajectory. Analyses of MDAnalysis that can be split take a backend, which
calls a function for each part of the trajectory.
"""

import MDAnalysis
from imp_parallel_local import LocalSlaves
from MDAnalysis.analysis.backends import BackendBase
from MDAnalysis.analysis.rms import RMSD
from MDAnalysisTests.datafiles import DCD, PSF

from imp_parallel_core import Manager

PARTS = 4


class Slaves(BackendBase):
    """Calls what an analysis asks for in a context of slaves."""

    def __init__(self, context):
        super().__init__(n_workers=PARTS)
        self.context = context

    def apply(self, func, computations):
        """Return the result for each part, in order."""
        return list(self.context.map(func, computations))


def main():
    """Compare each frame with the first one, and print how far the protein has opened."""
    with Manager() as manager:
        manager.add_slave(LocalSlaves())
        analysis = RMSD(MDAnalysis.Universe(PSF, DCD), select="backbone")
        backend = Slaves(manager.get_context())
        analysis.run(backend=backend, n_parts=PARTS, unsupported_backend=True)
    distances = analysis.results.rmsd[:, 2]
    print(f"{len(distances)} frames; the last is {distances[-1]:.2f} A from the first")


if __name__ == "__main__":
    main()
