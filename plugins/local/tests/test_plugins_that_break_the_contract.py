"""A plugin that breaks its contract costs its own slaves, and is named; the others work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from imp_parallel_core import (
    Accept,
    Bootstrap,
    Launch,
    Manager,
    NoSlaveStartedError,
    Slave,
    SlaveArray,
    hookimpl,
    start_processes,
)


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
    with pytest.raises(TypeError, match=r"Halves: the number of slaves must be an int, not 2\.5"):
        one_slave.add_slave(Halves())
    context = one_slave.get_context()
    context.add_task(int)
    assert list(context.get_results()) == [0]


class Wrapped(Slave):
    """A slave of the plugin below."""


class Wraps:
    """Launches slaves behind a command, as a function says."""

    def __init__(self, wrap: Callable[[list[str]], Any]) -> None:
        self._wrap = wrap

    @hookimpl
    def imp_parallel_launch(
        self, slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Accept
    ) -> Launch | None:
        if not isinstance(slaves, Wrapped):
            return None
        return start_processes(bootstraps, accept, lambda argv, bootstrap: self._wrap(argv))


def colour(argv: list[str]) -> list[str]:
    return {"size": argv}["colour"]


def eat(argv: list[str]) -> list[str]:
    """Return a command that reads what the slave should."""
    return ["sh", "-c", 'dd bs=10 count=1 of=/dev/null 2>&1; exec "$@"', "sh", *argv]


NAMED = "plugin Wraps (given to Manager)"


@pytest.mark.parametrize(
    ("wrap", "words"),
    [
        (" ".join, (NAMED, "the answer of wrap can't be run: ", "it must be a list of words")),
        (lambda argv: None, (NAMED, "the answer of wrap", "None (of type NoneType)", "line ")),
        (lambda argv: ["nice", 5, *argv], (NAMED, "the answer of wrap", "5 (of type int)")),
        (lambda argv: [], (NAMED, "a command line without a word")),
        (colour, (NAMED, "KeyError: 'colour' (test_plugins_that_break_the", "in colour)")),
        (lambda argv: ["nice\0", *argv], (NAMED, "embedded null byte", "imp_parallel_launch")),
        (eat, ("standard input does not begin with the bootstrap document", "pass it on whole")),
    ],
)
def test_a_mistake_in_wrap_is_told_to_the_author_of_the_plugin(
    wrap: Callable[[list[str]], Any], words: Sequence[str]
) -> None:
    with Manager(plugins=[Wraps(wrap)]) as manager:
        manager.add_slave(Wrapped())
        context = manager.get_context()
        context.add_task(int)
        with pytest.raises(NoSlaveStartedError) as caught:
            list(context.get_results())
    said = str(caught.value)
    for part in words:
        assert part in said
    assert "Traceback" not in said
