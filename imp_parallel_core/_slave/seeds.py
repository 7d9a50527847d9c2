"""Seeds the generators that all code of a process shares: ``random``'s, and numpy's legacy one."""

from __future__ import annotations

import random
import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

from .._light_typing import Any

_NUMPY = "numpy.random"
_WORD_BITS = 32


class Generators:
    """The shared generators of this process.

    numpy's is seeded when numpy has been imported, or at the moment when an item imports it.
    """

    def __init__(self) -> None:
        self.are_seeded = False
        """Whether they draw what they would draw on other slaves."""
        self._words: list[int] | None = None
        self._watches = False

    def seed(self, seed: list[int] | None) -> None:
        """Seed the generators for an item; None: with numbers that no other process has."""
        self.are_seeded = seed is not None
        random.seed(None if seed is None else " ".join(map(str, seed)))
        self._words = None if seed is None else [word for n in seed for word in _words_of(n)]
        numpy_random = sys.modules.get(_NUMPY)
        if numpy_random is not None:
            self.seed_numpy(numpy_random)
        elif not self._watches:
            self._watches = True
            sys.meta_path.insert(0, _Watch(self))

    def seed_numpy(self, module: ModuleType) -> None:
        """Seed numpy's legacy generator as the others are."""
        module.seed(self._words)


def _words_of(number: int) -> list[int]:
    """Return a number in words of 32 bits, the lowest first: numpy takes no larger ones."""
    words = [number & (1 << _WORD_BITS) - 1]
    while number := number >> _WORD_BITS:
        words.append(number & (1 << _WORD_BITS) - 1)
    return words


class _Watch:
    """Among the finders of modules, sees the import of numpy's module, and then goes."""

    def __init__(self, generators: Generators) -> None:
        self._generators = generators

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Find nothing but numpy's module, as Python's own finder does."""
        if name != _NUMPY:
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_seed(module: ModuleType) -> None:
                execute(module)
                self._generators.seed_numpy(module)

            spec.loader.exec_module = execute_and_seed  # type: ignore[method-assign]  # of this loader alone
        return spec
