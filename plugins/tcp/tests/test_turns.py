"""Connections are served in turns of the sources that they come from."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imp_parallel_tcp._turns import first_to_go, in_turns, source_of


class One(NamedTuple):
    """A connection."""

    source: bytes
    number: int


sources = st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=20)


def some(of: list[bytes]) -> list[One]:
    return [One(source, number) for number, source in enumerate(of)]


@given(sources, sources)
def test_each_turn_is_of_a_source_that_has_been_served_least(
    waiting: list[bytes], served: list[bytes]
) -> None:
    counts, left = Counter(served), some(waiting)
    for one in in_turns(some(waiting), some(served)):
        assert counts[one.source] == min(counts[other.source] for other in left)
        assert one.number == min(other.number for other in left if other.source == one.source)
        counts[one.source] += 1
        left.remove(one)
    assert left == []


@given(sources.filter(bool))
def test_the_oldest_of_the_source_that_has_most_goes_first(served: list[bytes]) -> None:
    one, count = first_to_go(some(served))
    assert count == max(Counter(served).values()) == served.count(one.source)
    assert one.number == served.index(one.source)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (("10.0.0.1", 5), ("10.0.0.1", 6), True),
        (("10.0.0.1", 5), ("10.0.0.2", 5), False),
        (("::ffff:10.0.0.1", 5, 0, 0), ("10.0.0.1", 6), True),
        (("2001:db8::1", 5, 0, 0), ("2001:db8::2:1", 5, 0, 0), True),
        (("2001:db8::1", 5, 0, 0), ("2001:db8:0:1::1", 5, 0, 0), False),
        (("fe80::1%eth0", 5, 0, 2), ("fe80::2%eth0", 5, 0, 2), True),
    ],
)
def test_addresses_of_one_host_or_site_are_one_source(one: Any, other: Any, is_same: bool) -> None:
    assert (source_of(one) == source_of(other)) == is_same
