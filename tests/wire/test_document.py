"""docs/protocol.md says what the code does: kinds, layouts and limits."""

import re
from pathlib import Path
from struct import Struct

import pytest

from imp_parallel_core._wire import heads, protocol
from imp_parallel_core._wire.value_records import VALUE_RECORD

TEXT = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("|")
]
KINDS = {
    name: value
    for name, value in vars(protocol).items()
    if name.isupper() and type(value) is int and not name.startswith("_")
    if name not in ("VERSION", "BY_DESCRIPTOR") and "LIMIT" not in name
}
TYPES = {"u8": "B", "u16": "H", "u32": "I", "u64": "Q", "f64": "d", "bool": "?"}
LAYOUTS = {
    "frame header": protocol.FRAME_HEADER,
    "message prefix": protocol.PREFIX,
    "segment length": Struct(protocol.lengths_layout(1).format.replace("1", "")),
    "ACK body": protocol.ACK_BODY,
    "go-ahead token": Struct("!Q"),
    "BUNDLE": heads._BUNDLE,
    "SETUP": heads._SETUP,
    "TASKS": heads._TASKS,
    "TASKS, then for each task": heads._COUNT,
    "TASKS, then perhaps for each task": heads._PLACE,
    "KEEP": heads._KEEP,
    "FORGET": heads._FORGET,
    "reference to a part": heads._PART,
    "value record": VALUE_RECORD,
    "END_ATTEMPT, BEGAN": heads._ITEM,
    "TAKEN_BACK, for each item": heads._ITEM,
    "CLOSE_CONTEXT": heads._CONTEXT,
    "RUNNER_READY": heads._RUNNER_READY,
    "OUTCOME": heads._OUTCOME,
    "RUNNER_LOST": heads._RUNNER_LOST,
}


def rows_of(first: str) -> list[list[str]]:
    return [row for row in ROWS if row[0] == first]


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_is_described_with_its_number(name: str) -> None:
    ((_, number, *_),) = rows_of(f"`{name}`")
    assert int(number) == KINDS[name]


def test_no_other_kind_is_described() -> None:
    described = [row[0].strip("`") for row in ROWS if re.fullmatch(r"`[A-Z_]+`", row[0])]
    assert sorted(described) == sorted(KINDS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_layout_is_described_with_its_size_and_its_fields(name: str) -> None:
    ((_, size, fields),) = rows_of(name)
    letters = [TYPES[field.split()[-1]] for field in fields.split(",")]
    assert "!" + "".join(letters) == LAYOUTS[name].format
    assert int(size) == LAYOUTS[name].size


def test_every_layout_in_the_code_is_described() -> None:
    in_code = {
        layout.format
        for module in (protocol, heads)
        for layout in vars(module).values()
        if isinstance(layout, Struct)
    }
    assert in_code <= {layout.format for layout in LAYOUTS.values()}


def test_the_version_and_the_limits_are_described() -> None:
    assert f"**version {protocol.VERSION}**" in TEXT
    wanted = ("body of", "segments of")
    limits = {
        row[0]: int(row[1].split()[0].strip(",")) for row in ROWS if row[0].startswith(wanted)
    }
    assert limits == {
        "body of a frame": protocol.FRAME_LIMIT_BYTES,
        "body of a handshake frame": protocol.HANDSHAKE_LIMIT_BYTES,
        "segments of a message": protocol.SEGMENT_COUNT_LIMIT,
        "segments of a message, together": protocol.MESSAGE_LIMIT_BYTES,
        "segments of a message that travel as descriptors": protocol.DESCRIPTOR_LIMIT,
    }


def test_the_largest_body_of_each_kind_of_frame_is_described() -> None:
    for name, kind in KINDS.items():
        (row,) = rows_of(f"`{name}`")
        if kind in protocol.BODY_LIMITS_BYTES and "→" not in row[2]:
            assert int(row[2]) == protocol.BODY_LIMITS_BYTES[kind], name
