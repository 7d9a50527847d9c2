"""Compute the energy of a box of water at several densities, with OpenMM.

Run it with ``python examples/water_energies.py``. It needs OpenMM. A ``Simulation`` is an object of
C++ that can't be pickled and takes a while to make, so each slave makes one and keeps it.
"""

from imp_parallel_local import LocalSlaves

from imp_parallel_core import Manager

EDGE = 1.6  # nanometers
SCALES = (0.94, 0.96, 0.98, 1.0, 1.02, 1.04, 1.06)


def setup():
    """Make a box of water and a simulation of it: runs once on each slave."""
    import openmm
    from openmm import app, unit

    field = app.ForceField("tip3p.xml")
    box = app.Modeller(app.Topology(), [])
    box.addSolvent(field, boxSize=openmm.Vec3(EDGE, EDGE, EDGE) * unit.nanometers)
    cutoff = 0.7 * unit.nanometers
    system = field.createSystem(
        box.topology, nonbondedMethod=app.PME, nonbondedCutoff=cutoff, rigidWater=True
    )
    integrator = openmm.VerletIntegrator(0.001)
    platform = openmm.Platform.getPlatformByName("Reference")
    simulation = app.Simulation(box.topology, system, integrator, platform)
    simulation.context.setPositions(box.positions)
    simulation.minimizeEnergy(maxIterations=50)
    state = simulation.context.getState(getPositions=True)
    return simulation, state.getPositions().value_in_unit(unit.nanometers)


def energy(simulation, positions, scale):
    """Return the potential energy of each molecule, in kJ/mol, when all distances are scaled."""
    import openmm
    from openmm import unit

    edge = EDGE * scale
    context = simulation.context
    context.setPeriodicBoxVectors(
        openmm.Vec3(edge, 0, 0), openmm.Vec3(0, edge, 0), openmm.Vec3(0, 0, edge)
    )
    # molecules are moved as a whole: their oxygen's place is scaled
    moved = []
    for at in range(0, len(positions), 3):
        shift = positions[at] * (scale - 1)
        moved += [atom + shift for atom in positions[at : at + 3]]
    context.setPositions(moved)
    state = context.getState(getEnergy=True)
    total = state.getPotentialEnergy().value_in_unit(unit.kilojoules_per_mole)
    return total / (len(positions) / 3)


def main():
    """Spread the densities over the cores, and print the curve."""
    with Manager() as manager:
        manager.add_slave(LocalSlaves())
        context = manager.get_context(setup)
        for scale in SCALES:
            context.add_task(energy, scale)
        energies = list(context.get_results())
    for scale, value in zip(SCALES, energies, strict=True):
        print(f"{scale:.2f} {value:8.1f} kJ/mol")
    print(f"lowest at {SCALES[energies.index(min(energies))]:.2f}")


if __name__ == "__main__":
    main()
