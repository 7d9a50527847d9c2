"""What is large in tasks: it is held once, and known again by what it holds."""

from __future__ import annotations

import array
import functools
import gc
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imp_parallel_core._code.references import resolving, unpickle_task
from imp_parallel_core._definitions import large_parts
from imp_parallel_core._definitions.book import DefinitionBook, TaskSegments
from imp_parallel_core._definitions.large_parts import LargePart, LargeParts
from imp_parallel_core._wire import shared_memory
from tests.support.large_blocks import Block

MB = 1 << 20


@dataclass
class Model:
    """Something that holds a block."""

    block: Block
    name: str = ""

    def __call__(self, number: int) -> int:
        """Use it."""
        return self.block.at(number)


def look(*args: Any, **more: Any) -> Any:
    """Do nothing."""
    return args


@pytest.fixture(params=[True, False], ids=["shared memory", "plain bytes"])
def memory(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(shared_memory, "IS_AVAILABLE", False)


def parts_of(segments: TaskSegments) -> list[LargePart]:
    return [segment for segment in segments if isinstance(segment, LargePart)]


def part_of(book: DefinitionBook, task: Callable[..., Any], *args: Any) -> LargePart:
    """Return the one large part of a task."""
    (part,) = parts_of(book.pickle_task(task, args)[0])
    return part


def count_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def arguments(book: DefinitionBook, *args: Any) -> tuple[Any, ...]:
    """Return arguments as a task gets them."""
    segments, _ = book.pickle_task(look, args)
    with resolving(book):
        unpickled: tuple[Any, ...] = unpickle_task(segments, book)[1]
    return unpickled


BLOCK = Block(bytearray(os.urandom(2 * MB)))
HOLDERS: dict[str, tuple[Callable[..., Any], Any]] = {
    "an argument": (look, BLOCK),
    "in a list": (look, [1, [BLOCK]]),
    "in a dict": (look, {"model": BLOCK}),
    "in a dataclass": (look, Model(BLOCK)),
    "a bound method": (BLOCK.at, 1),
    "a bound method of what holds it": (Model(BLOCK).block.at, 1),
    "a callable instance": (Model(BLOCK), 1),
    "a partial": (functools.partial(look, BLOCK), 1),
    "a keyword of a partial": (functools.partial(look, block=BLOCK), 1),
}


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_tasks_share_is_one_part_wherever_it_is(book: DefinitionBook, holder: str) -> None:
    first = part_of(book, look, BLOCK)
    assert part_of(book, *HOLDERS[holder]) is first


def test_what_lambdas_close_over_is_one_part(book: DefinitionBook) -> None:
    block = BLOCK
    parts = {part_of(book, lambda number=number: (block, number)) for number in range(5)}
    assert len(parts) == 1


def test_a_part_has_a_number_from_its_second_task_on(book: DefinitionBook, memory: None) -> None:
    first = part_of(book, look, BLOCK)
    assert first.number == 0
    assert part_of(book, look, BLOCK, 1).number == first.number == 1
    other = Block(os.urandom(MB))
    held = [part_of(book, look, other) for _ in range(2)]
    assert [part.number for part in held] == [2, 2]


def test_what_is_changed_in_place_is_another_part_wherever_the_change_is(
    book: DefinitionBook, memory: None
) -> None:
    data = bytearray(3 * MB + 5)
    held = [part_of(book, look, Block(data))]
    for at in (0, 1, 12_345, 2 * MB + 77, 3 * MB + 4):
        data[at] += 1
        held.append(part_of(book, look, Block(data)))
    assert len(set(held)) == len(held)
    for part in held[:-1]:
        assert bytes(part.open()) != data
    assert bytes(held[-1].open()) == data
    assert part_of(book, look, Block(data)) is held[-1]


def test_a_part_that_was_changed_back_is_recognised_again(book: DefinitionBook) -> None:
    data = bytearray(2 * MB)
    first = part_of(book, look, Block(data))
    data[1_000_001] = 1
    second = part_of(book, look, Block(data))
    data[1_000_001] = 0
    third = part_of(book, look, Block(data))
    assert [bytes(p.open())[1_000_001] for p in (first, second, third)] == [0, 1, 0]


def test_the_beginning_of_a_part_is_another_part(book: DefinitionBook, memory: None) -> None:
    data = bytes(4 * MB)
    held = [part_of(book, look, Block(data[: size * MB])) for size in (2, 3, 4, 3)]
    assert [len(part) // MB for part in held] == [2, 3, 4, 3]
    assert held[1] is held[3]


@pytest.mark.parametrize(
    "thing",
    [
        os.urandom(2 * MB),
        bytearray(os.urandom(2 * MB)),
        "plain text " * MB,
        "Wörter und \N{SNOWMAN} " * MB,
        "\udcff" * MB,
        array.array("d", [1.5]) * MB,
    ],
    ids=["bytes", "bytearray", "ASCII", "text", "surrogates", "array.array"],
)
def test_large_bytes_and_texts_are_parts_too_and_keep_their_types(
    book: DefinitionBook, thing: Any, memory: None
) -> None:
    held = [book.pickle_task(look, (thing, [thing], n))[0] for n in range(2)]
    assert len({part_of(book, look, thing, n) for n in range(3)}) == 1
    assert sum(len(segments[0]) for segments in held) < 1000
    one, (same,), number = unpickle_task(held[1], book)[1]
    assert (one, number) == (thing, 1)
    assert type(one) is type(thing)
    assert one is same


def test_a_text_in_the_attributes_of_a_plain_task_is_a_part(book: DefinitionBook) -> None:
    class Plain:
        def __call__(self) -> None:
            """Do nothing."""

    held = []
    for number in range(5):
        task = Plain()
        task.number, task.text = number, "x" * (2 * MB)  # type: ignore[attr-defined]  # set here
        held.append(book.pickle_task(task, ())[0])
    assert len({parts_of(segments)[0] for segments in held}) == 1
    with resolving(book):
        assert [unpickle_task(segments, book)[0].number for segments in held] == list(range(5))


def test_a_subclass_of_bytes_or_str_arrives_as_itself(book: DefinitionBook) -> None:
    class Sequence(str):
        """A text that has a name."""

    class Record(bytes):
        """Bytes that have a name."""

    found = arguments(book, Sequence("GATTACA" * MB), Record(b"GATTACA" * MB))
    assert found == ("GATTACA" * MB, b"GATTACA" * MB)
    assert [type(one).__name__ for one in found] == ["Sequence", "Record"]


def test_what_is_large_and_more_than_may_travel_apart_arrives_all_the_same(
    book: DefinitionBook,
) -> None:
    things = [bytes([n]) * MB for n in range(105)]
    segments, _ = book.pickle_task(look, tuple(things))
    assert len(segments) == 101
    assert list(unpickle_task(segments, book)[1]) == things


def test_bytes_that_look_like_the_beginning_of_others_stay_in_place(book: DefinitionBook) -> None:
    size = 2 * MB
    beginnings = [b"B" + size.to_bytes(4, "little"), b"\x8e" + size.to_bytes(8, "little")]
    thing = [*beginnings, bytes(size), *beginnings, b"B" * size]
    assert arguments(book, thing) == (thing,)


def test_what_is_shorter_travels_in_each_task(book: DefinitionBook) -> None:
    block = Block(bytes(large_parts.LEAST_BYTES - 1))
    segments = [book.pickle_task(look, (block, number))[0] for number in range(2)]
    assert not parts_of(segments[0] + segments[1])
    assert len(segments[1]) == 2


def test_a_part_lives_as_long_as_a_task_that_refers_to_it_or_the_one_added_last() -> None:
    released: list[int] = []
    book = DefinitionBook(LargeParts(released.append))
    tasks = [book.pickle_task(look, (BLOCK, number)) for number in range(3)]
    tasks.clear()
    gc.collect()
    assert released == []  # one that comes next may refer to it
    part = part_of(book, look, BLOCK)
    assert part.number == 1
    del part
    book.pickle_task(look, (Block(bytes(MB)),))
    assert released == [1]


def test_a_part_that_only_one_task_has_referred_to_is_not_held() -> None:
    released: list[int] = []
    book = DefinitionBook(LargeParts(released.append))
    descriptors = count_descriptors()
    task = book.pickle_task(look, (BLOCK,))
    assert count_descriptors() == descriptors + 1
    del task
    assert count_descriptors() == descriptors
    assert released == []


def test_what_comes_again_and_again_is_found_though_each_task_ends_before_the_next(
    book: DefinitionBook,
) -> None:
    numbers = [part_of(book, look, BLOCK, n).number for n in range(4)]
    assert numbers == [0, 1, 1, 1]


def test_parts_of_a_hundred_thousand_tasks_are_not_remembered_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(large_parts, "_SEEN_LIMIT", 10)
    parts = LargeParts()
    book = DefinitionBook(parts)
    for number in range(30):
        book.pickle_task(look, (Block(bytes([number]) * MB),))
    assert len(parts._seen) == 10
    assert len(parts._alive) == 0
