"""Events of any kind, with any values."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from imp_parallel_view._record_columns import PACKED
from imp_parallel_view._record_lines import _KINDS

from imp_parallel_core import Event

COUNTS = st.integers(0, 1 << 50)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "float": st.floats(0, 1e9).map(lambda seconds: round(seconds, 7)),
    "int": COUNTS | st.integers(0, 3),
    "int | None": st.none() | COUNTS,
    "str": st.sampled_from(["slave 0", "slave 1", "working", "idle", "queued"]) | st.text(),
    "bool": st.booleans(),
}


@st.composite
def any_event(draw: st.DrawFn) -> Event:
    """Return any event."""
    kind = draw(st.sampled_from(_KINDS))
    length = draw(st.integers(1, 5) | st.integers(PACKED, PACKED + 3))
    values: dict[str, Any] = {}
    for name in kind.__dataclass_fields__:
        annotation = kind.__annotations__.get(name, "float")
        if annotation.startswith("Sequence"):
            item = VALUES[annotation.removeprefix("Sequence[").removesuffix("]")]
            if annotation == "Sequence[float]" and length >= PACKED:
                item = st.floats(0, 1e9, width=32)
            columns = st.lists(item, min_size=length, max_size=length)
            if annotation == "Sequence[int]":
                columns |= COUNTS.map(lambda first: list(range(first, first + length)))
                columns |= COUNTS.map(lambda each: [each] * length)
            values[name] = draw(columns)
        else:
            values[name] = draw(VALUES[annotation])
    make: Any = kind
    event: Event = make(**values)
    return event
