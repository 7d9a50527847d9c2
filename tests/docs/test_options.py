"""The page of options names each option, with the default that it has."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from imp_parallel_dask import DaskSlaveArray
from imp_parallel_local import LocalSlave, LocalSlaves
from imp_parallel_ray import RaySlaveArray
from imp_parallel_sge import SGEPESlaveArray, SGEQsubSlaveArray
from imp_parallel_slurm import SlurmSlaveArray, SlurmStepSlaveArray
from imp_parallel_ssh import SSHSlave, SSHSlaveArray

from imp_parallel_core import Context, Manager

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "options.md").read_text(encoding="utf-8")
ROW = re.compile(
    r"^\|(?:[^|]*\|)?? `([a-z]\w*)` \| ([^|]+) \| ", re.MULTILINE
)  # behind a class, or alone

CALLS: dict[str, list[Callable[..., Any]]] = {
    "Manager": [Manager],
    "Contexts and executors": [Manager.get_context],
    "Reading results": [
        *(Context.get_results, Context.get_results_unordered, Context.map, Context.map_unordered)
    ],
}
ATTRIBUTES = {name for name, value in vars(Manager).items() if type(value) is float}
SLAVES = [
    *(LocalSlave, LocalSlaves, SSHSlave, SSHSlaveArray, SGEQsubSlaveArray, SGEPESlaveArray),
    *(SlurmSlaveArray, SlurmStepSlaveArray, DaskSlaveArray, RaySlaveArray),
]


def options_in(section: str) -> dict[str, str]:
    """Return the options of a section's tables, with what is said of their defaults."""
    text = re.split(rf"^## {re.escape(section)}\n", PAGE, flags=re.MULTILINE)[1]
    return dict(ROW.findall(text.split("\n## ")[0]))


def options_of(call: Callable[..., Any]) -> dict[str, Any]:
    """Return the parameters of a call that have a default."""
    parameters = inspect.signature(call).parameters.values()
    empty = inspect.Parameter.empty
    return {each.name: each.default for each in parameters if each.default is not empty}


def says(shown: str, default: object) -> bool:
    """Return whether a cell of the table tells this default; None and () are told in words."""
    if default in (None, ()):
        return not re.match(r"[\d`]", shown)
    if isinstance(default, str | bool):
        return shown == f"`{default!r}`".replace("'", '"')
    return shown.split()[0].replace(",", "") == f"{default:g}"


@pytest.mark.parametrize("section", CALLS)
def test_the_options_of_a_call_are_these_with_these_defaults(section: str) -> None:
    shown = options_in(section)
    options: dict[str, Any] = {}
    for call in CALLS[section]:
        options |= options_of(call)
    assert shown.keys() == options.keys()
    assert [name for name in options if not says(shown[name], options[name])] == []


def test_the_attributes_of_a_manager_are_these_with_these_defaults() -> None:
    shown = options_in("Attributes of a Manager")
    assert shown.keys() == ATTRIBUTES
    assert [name for name in shown if not says(shown[name], getattr(Manager, name))] == []


def test_an_executor_has_the_options_of_a_context() -> None:
    assert [*inspect.signature(Manager.get_executor).parameters] == ["self", "startup", "options"]


def test_all_slaves_have_the_options_that_the_page_says_that_all_have() -> None:
    assert [
        kind for kind in SLAVES if not {"threads", "environment"} <= options_of(kind).keys()
    ] == []


def test_the_options_of_slaves_are_options_of_their_classes() -> None:
    known = set().union(*(options_of(kind) for kind in SLAVES))
    assert {"threads", "pin", "via"} <= options_in("Slaves").keys() <= known
