"""What master and slave say of themselves, and whether they fit together."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imp_parallel_core._wire.handshake import (
    PYTHON,
    Hello,
    hello_of,
    read_hello,
    refusal_of,
    slave_identity,
)
from imp_parallel_core._wire.protocol import VERSION

IDENTITY = {**slave_identity(3), "cloudpickle": "3.1.0"}
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@given(st.integers(0, 1 << 40), st.none() | st.text(min_size=1), st.booleans())
def test_a_hello_is_read_as_it_was_written(
    received: int, token: str | None, passes_descriptors: bool
) -> None:
    identity = {**IDENTITY, "session": token}
    hello = read_hello(hello_of(identity, received, passes_descriptors=passes_descriptors))
    assert hello.versions == {"protocol": VERSION, "python": PYTHON, "cloudpickle": "3.1.0"}
    assert (hello.pid, hello.boot) == (IDENTITY["pid"], IDENTITY["boot"])
    assert (hello.session_token, hello.received) == (token, received)
    assert hello.passes_descriptors is passes_descriptors


@given(st.dictionaries(st.sampled_from([*IDENTITY, "received", "descriptors"]), JSON))
def test_a_hello_with_anything_in_it_is_read_or_refused(changes: dict[str, Any]) -> None:
    body = json.dumps({**IDENTITY, "received": 0, "descriptors": False, **changes}).encode()
    try:
        hello = read_hello(body)
    except ValueError:
        return
    assert isinstance(hello, Hello)
    assert hello.host.isprintable()


@given(st.binary(max_size=60))
def test_garbage_is_no_hello(body: bytes) -> None:
    with pytest.raises(ValueError, match="Error: "):
        read_hello(body)


@pytest.mark.parametrize("key", ["protocol", "python", "cloudpickle"])
def test_versions_too_long_to_be_any_are_refused_and_not_quoted(key: str) -> None:
    body = hello_of({**IDENTITY, key: "1" * 60_000}, 0)
    with pytest.raises(ValueError, match="too long") as refused:
        read_hello(body)
    assert len(str(refused.value)) < 200


def test_a_long_name_of_a_host_is_cut() -> None:
    assert len(read_hello(hello_of({**IDENTITY, "host": "h" * 10_000}, 0)).host) <= 255


def test_ends_of_the_same_versions_fit_together() -> None:
    assert refusal_of(master=IDENTITY, slave={**IDENTITY, "package": "other"}) is None


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("protocol", 99, f"protocol {VERSION} on the master, 99 on the slave"),
        ("python", [3, 99], "3.99 on the slave"),
        ("cloudpickle", "0.1", "cloudpickle 3.1.0 on the master, 0.1 on the slave"),
        ("cloudpickle", None, "None on the slave"),
    ],
)
def test_each_version_that_differs_is_named(key: str, value: Any, said: str) -> None:
    reason = refusal_of(master=IDENTITY, slave={**IDENTITY, key: value})
    assert reason is not None
    assert said in reason
