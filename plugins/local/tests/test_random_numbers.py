"""What tasks find in ``random`` and ``numpy.random``, and in generators that the script made."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy

from imp_parallel_core import LocalSlave, Manager

SLAVES = 3
GENERATOR, OLD_GENERATOR = numpy.random.default_rng(1), random.Random(1)


class Draw:
    """Draws on each slave: it ends when as many are at it as there are slaves."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self) -> tuple[int, list[float], list[float]]:
        (self.folder / str(os.getpid())).touch()
        while len(list(self.folder.iterdir())) < SLAVES:
            time.sleep(0.001)
        own = [random.random(), float(numpy.random.random())]
        return os.getpid(), own, [GENERATOR.random(), OLD_GENERATOR.random()]


def test_each_process_draws_numbers_of_its_own_but_copies_of_a_generator_draw_equal_ones(
    manager: Manager, tmp_path: Path
) -> None:
    for _ in range(SLAVES):
        manager.add_slave(LocalSlave())
    context = manager.get_context()
    seen = []
    for round_number in range(2):  # by the first runners, and by those that replace them
        folder = tmp_path / f"round {round_number}"
        folder.mkdir()
        for _ in range(SLAVES):
            context.add_task(Draw(folder))
        seen += list(context.get_results())
        for slave in manager.slaves:
            assert slave.runner_pid is not None
            os.kill(slave.runner_pid, signal.SIGKILL)
    assert len({pid for pid, _, _ in seen}) == 2 * SLAVES
    for which in range(2):
        assert len({own[which] for _, own, _ in seen}) == 2 * SLAVES
        assert len({copied[which] for _, _, copied in seen}) == 1


def test_seeds_of_tasks_give_numbers_that_differ_and_come_again(one_slave: Manager) -> None:
    def draw(number: int) -> tuple[float, float]:
        mine = numpy.random.default_rng([5, number])
        return float(mine.random()), random.Random(f"5 {number}").random()

    def draw_from(seed: numpy.random.SeedSequence) -> float:
        return float(numpy.random.default_rng(seed).random())

    def run(function: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        context = one_slave.get_context()
        for item in items:
            context.add_task(function, item)
        return list(context.get_results())

    first, again = run(draw, range(10)), run(draw, range(10))
    seeds = numpy.random.SeedSequence(5).spawn(10)
    spawned = run(draw_from, seeds)
    assert first == again == list(map(draw, range(10)))
    assert spawned == list(map(draw_from, seeds))
    assert len(set(first)) == len(set(spawned)) == 10
