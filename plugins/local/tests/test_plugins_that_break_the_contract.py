"""A plugin that breaks its contract costs its own slaves, and is named; the others work."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from imp_parallel_core import Manager, SlaveArray


class Several(SlaveArray):
    """An array that counts its slaves itself."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def __len__(self) -> int:
        return len(self._names)


class Forgetful(SlaveArray):
    """An array that does not call ``SlaveArray.__init__``."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names


class Halves(SlaveArray):
    """An array of which nobody knows how many slaves it has."""

    def __init__(self) -> None:
        super().__init__(2.5)  # type: ignore[arg-type]  # that is the point


def test_an_array_without_a_slave_is_refused_and_the_other_slaves_work(one_slave: Manager) -> None:
    with pytest.raises(ValueError, match=r"Several\(0\) describes no slave"):
        one_slave.add_slave(Several([]))
    with pytest.raises(ValueError, match=r"describes no slave.*super\(\).__init__\(count\)"):
        one_slave.add_slave(Forgetful(["a"]))
    with pytest.raises(TypeError, match=r"Halves\(2.5\): its number of slaves.*float"):
        one_slave.add_slave(Halves())
    context = one_slave.get_context()
    context.add_task(int)
    assert list(context.get_results()) == [0]
