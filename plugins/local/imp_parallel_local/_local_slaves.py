"""The description of several local slaves, one for each core or graphics card."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from operator import index

from imp_parallel_core import GPU, LaunchError, SlaveArray, find_gpus
from imp_parallel_core.arguments import checked_environment, checked_flag, checked_list

from ._cores import affinity, nodes, shares, usable_cores


class LocalSlaves(SlaveArray):
    """Slaves on the machine that the script itself runs on: one for each core that it may use.

    These cores are those that the script's affinity and the limits of its control groups (of a
    container, say) leave, and no more than a batch system has granted, if the script runs in a job.
    Otherwise these slaves are like :class:`LocalSlave`.

    Args:
        count: how many slaves; by default as many as have room, with ``threads`` cores each.
        threads: as for LocalSlave: how many cores each slave has.
        environment: as for LocalSlave.
        pin: whether each slave has cores of its own, on which alone its tasks run: ``threads`` of
            them, next to each other on one NUMA node where possible. Linux only.

    Raises ValueError for a bad number, TypeError for another kind of value. ``add_slave`` raises
    LaunchError if the slaves can't be pinned.
    """

    is_relaunchable = True

    def __init__(
        self,
        count: int | None = None,
        *,
        threads: int | None = 1,
        environment: Mapping[str, str] | None = None,
        pin: bool = False,
    ) -> None:
        size = _size_of(threads)
        super().__init__(max(1, usable_cores() // size) if count is None else count)
        self.threads = threads
        self.environment = checked_environment(self, environment)
        self.pin = checked_flag(self, "pin", pin)
        self._gpus: list[GPU] = []
        self._size = size
        self._positions: dict[int, int] = {}

    @classmethod
    def one_per_gpu(
        cls,
        gpus: Sequence[int | str | GPU] | None = None,
        *,
        threads: int | None = 1,
        environment: Mapping[str, str] | None = None,
        pin: bool = False,
    ) -> LocalSlaves:
        """Return a slave for each graphics card, each with a card of its own.

        Args:
            gpus: which ones, as numbers or names that ``CUDA_VISIBLE_DEVICES`` takes, or as
                :func:`find_gpus` returns them; by default all that it finds.
            threads: as for the class, and so are the others.

        Raises LaunchError if there is none, or if they can't be found.
        """
        if gpus is None:
            cards = find_gpus()
        else:
            cards = [
                GPU.of(gpu) for gpu in checked_list(cls, "gpus", gpus, "a list, such as [0, 1]")
            ]
        made = cls(len(cards), threads=threads, environment=environment, pin=pin)
        made._gpus = cards
        return made

    def environment_of(self, position: int) -> Mapping[str, str]:
        """Return what is added to the environment of one of the slaves."""
        if not self._gpus:
            return self.environment
        gpu = self._gpus[position]
        return {**self.environment, gpu.variable: gpu.name}

    def check(self) -> None:
        """Raise LaunchError if the slaves can't be pinned."""
        if not self.pin:
            return
        if not hasattr(os, "sched_setaffinity"):
            raise LaunchError(f"{self!r}: only Linux can pin processes to cores")
        self._shares()

    def cores_of(self, index: int, indices: Sequence[int]) -> list[int]:
        """Return the cores of a slave; one that is launched again has those that it had.

        Args:
            index: the slave's number.
            indices: the numbers of the slaves that are launched together.
        """
        if len(indices) == len(self):
            self._positions.update({index: position for position, index in enumerate(indices)})
        return self._shares()[self._positions[index]]

    def _shares(self) -> list[list[int]]:
        try:
            return shares(nodes(affinity()), len(self), self._size)
        except ValueError as problem:
            raise LaunchError(
                f"{self!r}: {problem}. Use fewer slaves or threads, or pin=False"
            ) from problem

    def __repr__(self) -> str:
        words = [str(len(self))]
        method = ""
        if self._gpus:
            method, words = ".one_per_gpu", [str([gpu.name for gpu in self._gpus])]
        if self.threads != 1:
            words.append(f"threads={self.threads!r}")
        if self.environment:
            words.append(f"environment={self.environment!r}")
        if self.pin:
            words.append("pin=True")
        return f"LocalSlaves{method}({', '.join(words)})"


def _size_of(threads: int | None) -> int:
    """Return how many cores a slave has; 1 for what ``add_slave`` will refuse."""
    try:
        return 1 if threads is None else max(1, index(threads))
    except TypeError:
        return 1
