"""Slaves that are described by the address of a system: imp-parallel check can try them."""

from __future__ import annotations

import re

from tests.support.checking import CHAIN, script_of_check
from tests.support.scripts import Scripts, finish
from tests.support.sent_suite.home import Home

__all__ = [
    "test_a_check_by_an_address_goes_through_the_whole_chain_and_leaves_nothing",
    "test_a_check_by_an_address_where_nothing_is_names_it_at_once",
]


def test_a_check_by_an_address_goes_through_the_whole_chain_and_leaves_nothing(
    home: Home, scripts: Scripts
) -> None:
    expression = home.array_by_address
    code, out, err = finish(scripts.start(script_of_check(expression)), 100.0)
    assert code == 0, out + err
    for step in [*CHAIN, "gone"]:
        assert f"  ok       {step} " in out
    assert f"checked      {expression}: one slave" in out
    home.wait_until_empty()


def test_a_check_by_an_address_where_nothing_is_names_it_at_once(
    home: Home, scripts: Scripts
) -> None:
    code, out, _ = finish(scripts.start(script_of_check(home.array_nowhere)), 60.0)
    assert code == 1
    failure = " ".join(out.partition("FAILED   checked")[2].split())
    assert re.search(r"can't (reach|join) the \w+ cluster at \S*127\.0\.0\.1:1: ", failure)
    assert "Connection refused" in failure
    assert "run there?" in failure
    assert re.search(r"More: imp-parallel explain (dask|ray)-unreachable", failure)
