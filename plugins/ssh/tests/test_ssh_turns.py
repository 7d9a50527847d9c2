"""The connections at a relay are joined in turns of the addresses that they come from."""

from __future__ import annotations

import socket
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from imp_parallel_ssh._programs.relay.turns import first_to_go, in_turns, source_of

sources = st.lists(st.sampled_from(["a", "b", "c"]), max_size=20)


@given(sources, sources)
def test_each_turn_is_of_a_source_that_has_been_served_least(
    waiting: list[str], served: list[str]
) -> None:
    counts, left = Counter(served), dict(enumerate(waiting))
    for one in in_turns(dict(left), served):
        source = left[one]
        assert counts[source] == min(counts[other] for other in left.values())
        assert one == min(other for other in left if left[other] == source)
        counts[source] += 1
        del left[one]
    assert not left


@given(sources.filter(bool))
def test_the_oldest_of_the_source_that_has_most_goes_first(served: list[str]) -> None:
    one, count = first_to_go(dict(enumerate(served)))
    assert count == max(Counter(served).values()) == served.count(served[one])
    assert one == served.index(served[one])


def test_one_host_is_one_source_whatever_the_family_of_the_socket() -> None:
    found = []
    for host, family in ("127.0.0.1", socket.AF_INET), ("::", socket.AF_INET6):
        with socket.create_server(
            (host, 0), family=family, dualstack_ipv6=family == socket.AF_INET6
        ) as listening:
            place = ("127.0.0.1", listening.getsockname()[1])
            with socket.create_connection(place, 20), listening.accept()[0] as accepted:
                found.append(source_of(accepted))
    assert found == ["127.0.0.1", "127.0.0.1"]
