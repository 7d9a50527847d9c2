"""The heads of messages: packed and unpacked again, and refused if their length is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imp_parallel_core._errors import ProtocolError
from imp_parallel_core._wire import heads

u8, u16, u32, u64 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32, 64))
seconds = st.floats(min_value=0, allow_nan=False, allow_infinity=False)
task_counts = st.lists(u16, min_size=1, max_size=5).map(tuple)

HEADS: dict[str, tuple[st.SearchStrategy[Any], int]] = {
    "bundle": (st.builds(heads.BundleHead, u32, u32), 8),
    "setup": (st.builds(heads.SetupHead, u64, u32, u32, seconds, u64), 32),
    "keep": (st.builds(heads.KeepHead, u32, u32, st.integers(0, 2)), 9),
    "forget": (st.builds(heads.ForgetHead, u32, u32), 8),
    "item": (u64, 8),
    "items": (st.lists(u64, max_size=5), 8),
    "context": (u32, 4),
    "runner_ready": (st.builds(heads.RunnerReadyHead, u32), 4),
    "outcome": (st.builds(heads.OutcomeHead, u64, st.integers(0, 1), seconds, u32), 21),
    "runner_lost": (st.builds(heads.RunnerLostHead, u64, u64, st.booleans(), st.booleans()), 18),
}
REPEATED = {"items"}
PLACES = st.builds(heads.TaskPlace, u32, u64, u16)
CONSECUTIVE = st.builds(heads.TasksHead, u64, u32, u32, seconds, u64, u32, u64, task_counts)
TASKS_HEADS = CONSECUTIVE | st.builds(
    lambda head, places: head._replace(
        counts=head.counts[: len(places)], places=places[: len(head.counts)]
    ),
    CONSECUTIVE,
    st.lists(PLACES, min_size=1, max_size=5),
)


def functions(name: str) -> tuple[Callable[..., bytes], Callable[[bytes], Any]]:
    return getattr(heads, f"pack_{name}"), getattr(heads, f"unpack_{name}")


def test_every_head_is_tested() -> None:
    packed = {name.removeprefix("pack_") for name in vars(heads) if name.startswith("pack_")}
    assert packed == {*HEADS, "tasks"}


@pytest.mark.parametrize("name", HEADS)
@given(st.data())
def test_a_head_is_unpacked_as_it_was_packed(name: str, data: st.DataObject) -> None:
    pack, unpack = functions(name)
    strategy, size = HEADS[name]
    head = data.draw(strategy)
    packed = pack(head)
    assert len(packed) == size * (len(head) if name in REPEATED else 1)
    assert unpack(packed) == head
    assert type(unpack(packed)) is type(head)


@pytest.mark.parametrize("name", HEADS)
@given(data=st.binary(max_size=100))
def test_a_head_of_a_wrong_length_is_a_protocol_error(name: str, data: bytes) -> None:
    _, unpack = functions(name)
    _, size = HEADS[name]
    lengths = range(size, size + heads.SEED_LIMIT_BYTES + 1) if name == "setup" else [size]
    if len(data) % size if name in REPEATED else len(data) not in lengths:
        with pytest.raises(ProtocolError):
            unpack(data)


def test_an_outcome_of_an_unknown_status_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError, match="status"):
        heads.unpack_outcome(bytes(8) + b"\x02" + bytes(12))


@given(TASKS_HEADS)
def test_the_head_of_tasks_is_unpacked_as_it_was_packed(head: heads.TasksHead) -> None:
    packed = heads.pack_tasks(head)
    assert len(packed) == 45 + 2 * len(head.counts) + 14 * len(head.places)
    assert heads.unpack_tasks(packed) == head
    assert list(head.items)[:1] == [head.first_item]
    places = [head.place_of(item) for item in head.items]
    if head.places:
        assert places == list(head.places)
    else:
        numbers = range(head.first_number, head.first_number + len(head.counts))
        assert places == [(head.map, number, 1) for number in numbers]


@given(st.integers(0, 2**512 - 1) | st.none())
def test_the_head_of_a_setup_brings_the_seed_of_its_context(seed: int | None) -> None:
    head = heads.SetupHead(1, 2, 3, 4.0, 5, seed)
    packed = heads.pack_setup(head)
    assert heads.unpack_setup(packed) == head
    assert 32 + (seed is not None) <= len(packed) <= 32 + heads.SEED_LIMIT_BYTES


def test_an_attempt_beyond_all_bounds_is_counted_no_further() -> None:
    head = heads.TasksHead(1, 2, 3, 4.0, 5, 0, 0, [1], [heads.TaskPlace(0, 0, 1 << 20)])
    assert heads.unpack_tasks(heads.pack_tasks(head)).places[0].attempt == (1 << 16) - 1


@given(st.binary(max_size=100))
def test_a_head_of_tasks_without_any_or_with_half_of_one_is_a_protocol_error(data: bytes) -> None:
    has_places = data[44:45] > b"\0"
    if len(data) <= 45 or (len(data) - 45) % (16 if has_places else 2):
        with pytest.raises(ProtocolError):
            heads.unpack_tasks(data)
