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
import pytest

from imp_parallel_core import Context, LocalSlave, Manager, current_task
from tests.support.harness import Processes

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


def draw(*_: object) -> list[float]:
    """Draw from all that is seeded, in a task."""
    at = current_task()
    assert at is not None
    assert at.seed is not None
    own = numpy.random.default_rng(at.seed)
    return [random.random(), float(numpy.random.random()), float(own.random())]


def drawn(
    tasks: Iterable[Callable[..., Any]],
    *,
    slaves: int = 1,
    seed: int | None = 42,
    startup: Callable[[], Any] | None = None,
) -> list[Any]:
    """Return what tasks draw in a run of its own."""
    with Manager() as manager:
        for _ in range(slaves):
            manager.add_slave(LocalSlave())
        context = manager.get_context(startup, seed=seed)
        for task in tasks:
            context.add_task(task)
        return list(context.get_results())


def test_a_seed_gives_the_same_numbers_on_however_many_slaves_and_after_crashes(
    processes: Processes, tmp_path: Path
) -> None:
    def draw_after_a_crash() -> list[float]:
        mine = tmp_path / str(current_task().number)  # type: ignore[union-attr]  # it is a task
        random.random()
        try:
            mine.touch(exist_ok=False)
        except FileExistsError:
            random.seed(" ".join(map(str, current_task().seed)))  # type: ignore[union-attr, arg-type]  # as it was
            return draw()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    on_one = drawn([draw] * 40)
    assert drawn([draw] * 40, slaves=3) == on_one
    with_crashes = [draw_after_a_crash if number % 10 == 3 else draw for number in range(40)]
    assert drawn(with_crashes, slaves=2) == on_one
    assert drawn([draw] * 40, seed=43) != on_one
    for column in zip(*on_one, strict=True):
        assert len(set(column)) == 40


def test_what_a_seed_gives_can_be_had_in_the_script(processes: Processes) -> None:
    for seed, words in ((42, [42]), (2**70 + 5, [5, 0, 64])):
        *_, last = drawn([draw] * 3, seed=seed)
        legacy = numpy.random.RandomState([*words, 2])
        own = numpy.random.default_rng([seed, 2])
        of_python = random.Random(f"{seed} 2").random()
        assert last == [of_python, float(legacy.random_sample()), float(own.random())]


def test_what_ran_before_changes_no_number(processes: Processes) -> None:
    def draw_much() -> list[float]:
        first = draw()
        numpy.random.seed(0)
        random.seed(0)
        return first

    assert drawn([draw_much] * 3 + [draw] * 3) == drawn([draw] * 6)


def test_a_task_that_imports_numpy_itself_finds_its_numbers(processes: Processes) -> None:
    class Draw:
        """Whose unpickling imports nothing."""

        def __call__(self) -> tuple[bool, float]:
            import sys

            was_there = "numpy.random" in sys.modules
            from numpy.random import random_sample

            return was_there, float(random_sample())

    (first, *_), others = drawn([Draw()] * 2, slaves=1), drawn([Draw()] * 2, slaves=2)
    assert not first[0]
    assert [value for _, value in others] == [
        float(numpy.random.RandomState([42, number]).random_sample()) for number in range(2)
    ]
    assert first[1] == others[0][1]


def test_a_setup_draws_numbers_of_its_own_that_are_the_same_on_each_slave(
    processes: Processes, tmp_path: Path
) -> None:
    folder = tmp_path / "meeting"
    folder.mkdir()

    def meet(values: list[float]) -> tuple[int, list[float], list[float]]:
        (folder / str(os.getpid())).touch()
        while len(list(folder.iterdir())) < 2:
            time.sleep(0.001)
        return os.getpid(), values, draw()

    results = drawn([meet] * 2, slaves=2, startup=lambda: (draw(),))
    assert len({pid for pid, _, _ in results}) == 2
    (_, of_setup, first), (_, of_other_setup, second) = results
    assert of_setup == of_other_setup
    assert len({*of_setup, *first, *second}) == 9


def test_tasks_and_calls_of_maps_draw_different_numbers_and_a_map_the_same_each_time(
    processes: Processes,
) -> None:
    def run(slaves: int) -> list[Any]:
        with Manager() as manager:
            for _ in range(slaves):
                manager.add_slave(LocalSlave())
            context = manager.get_context(seed=1)
            for _ in range(10):
                context.add_task(draw)
            two = zip(context.map(draw, range(10)), context.map(draw, range(10)), strict=True)
            return [*context.get_results(), *(drawn for pair in two for drawn in pair)]

    once = run(1)
    assert run(2) == once
    assert len({value for values in once for value in values}) == 3 * len(once)


def test_a_context_without_a_seed_draws_different_numbers_on_each_slave_after_one_with_a_seed(
    processes: Processes, tmp_path: Path
) -> None:
    def draw_at_once(name: str, contexts: list[Context]) -> list[list[float]]:
        """Have one task on each slave draw, and return what they have drawn."""
        folder = tmp_path / name
        folder.mkdir()
        for context in contexts:
            context.add_task(Draw(folder))
        results = [result for context in set(contexts) for result in context.get_results()]
        assert len({pid for pid, _, _ in results}) == SLAVES
        return [own for _, own, _ in results]

    with Manager() as manager:
        for _ in range(SLAVES):
            manager.add_slave(LocalSlave())
        # each slave runs the task of number 0 of one of these, so all draw the same
        seeded = [manager.get_context(seed=7) for _ in range(SLAVES)]
        free = [manager.get_context()] * SLAVES
        turns = [draw_at_once(str(n), which) for n, which in enumerate((seeded, free) * 2)]
    assert turns[0] == [turns[0][0]] * SLAVES
    assert turns[2] == [turns[2][0]] * SLAVES != turns[0]
    for which in range(2):
        assert len({own[which] for own in turns[1] + turns[3]}) == 2 * SLAVES


def test_what_a_task_without_a_seed_has_seeded_itself_goes_on_in_the_next_one(
    processes: Processes, one_slave: Manager
) -> None:
    seeded, free = one_slave.get_context(seed=7), one_slave.get_context()
    seeded.add_task(draw)
    list(seeded.get_results())
    free.add_task(lambda: random.seed(1))
    free.add_task(lambda: random.random())  # (the function itself would be sent with its state)
    assert list(free.get_results()) == [None, random.Random(1).random()]


def test_the_numbers_begin_again_when_a_context_is_cleared(
    processes: Processes, one_slave: Manager
) -> None:
    context = one_slave.get_context(seed=5)
    seen = []
    for _ in range(2):
        context.add_task(draw)
        seen.append([*context.get_results(), *context.map(draw, range(3))])
        context.clear()
    assert seen[0] == seen[1]


@pytest.mark.parametrize("seed", [-1, 2**512, 1.5, "42", True])
def test_what_is_no_seed_is_refused_at_once(manager: Manager, seed: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="seed="):
        manager.get_context(seed=seed)


def test_a_seed_may_be_an_integer_of_numpy(processes: Processes) -> None:
    assert drawn([draw], seed=numpy.uint8(42)) == drawn([draw])  # type: ignore[arg-type]  # it has __index__
