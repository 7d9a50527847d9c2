"""A record's lines: each event as a line of JSON, and back. Pure.

The first line says what made the record. In every other line, ``event`` is the name of the event's
class, and the rest are its attributes. Lines of later versions, which may have other events and
other attributes, are read as far as they are known.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from math import isfinite
from typing import Any

from imp_parallel_core import Event, TasksDone, TasksReturned, TasksSent

from ._record_columns import (
    read_column,
    read_numbers,
    written_integers,
    written_numbers,
    written_seconds,
)

FORMAT = 1
"""The number of the record's format; it is raised when old readers would misunderstand a record."""
_KINDS = tuple(Event.__subclasses__())  # all that the core tells
_BY_NAME = {kind.__name__: kind for kind in _KINDS}
_FIELDS = {
    kind: {field.name: str(field.type) for field in dataclasses.fields(kind)} for kind in _KINDS
}
_DIGITS = 7  # of seconds
_LONGEST = 1 << 53  # integers beyond that are not the same in all readers of JSON


class NotARecord(ValueError):
    """A line can't be read as an event."""


def header(facts: dict[str, str]) -> str:
    """Return the first line of a record.

    Args:
        facts: what is known of the script and its machine.
    """
    return json.dumps({"record": "imp-parallel", "format": FORMAT, **facts}) + "\n"


def is_header(line: str) -> bool:
    """Return whether a line is the first one of a record."""
    return line.startswith('{"record": "imp-parallel"')


def facts_of(line: str) -> dict[str, str]:
    """Return what the first line of a record says of the script and its machine.

    Raises NotARecord.
    """
    try:
        facts = json.loads(line) if is_header(line) else None
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        raise NotARecord("it is no record that imp_parallel_view.Record has written")
    if facts.get("format") != FORMAT:
        raise NotARecord(
            f"its format is {facts.get('format')!r}, and this version reads {FORMAT}: "
            "install the version of imp-parallel-view that has written it"
        )
    return {name: text for name, text in facts.items() if isinstance(text, str)}


def lines_of(events: Iterable[Event]) -> str:
    """Return the lines of events."""
    return "".join(map(_line_of, events))


def _line_of(event: Event) -> str:
    kind = type(event)
    plan = _PLANS.get(kind) or _plan_of(kind)
    values = [f'"{name}":{write(getattr(event, name))}' for name, write in plan]
    return f'{{"event":"{kind.__name__}",{",".join(values)}}}\n'


def _written_float(value: float) -> str:
    return repr(round(value, _DIGITS)) if isfinite(value) else _encode(value)


_COLUMNS: dict[type[Event], dict[str, Callable[[Any], str]]] = {
    TasksSent: {"tasks": written_numbers, "attempts": written_integers},
    TasksReturned: {"tasks": written_numbers},
    TasksDone: {
        "tasks": written_numbers,
        "attempts": written_integers,
        "durations_s": written_seconds,
        "result_bytes": written_integers,
        "peak_memory_bytes": written_integers,
    },
}
_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False, default=list).encode
_WRITERS: dict[str, Callable[[Any], str]] = {
    "float": _written_float,
    "int": str,
    "str": lru_cache(1024)(_encode),  # nearly all are names of slaves and of outcomes
}


def _plan_of(kind: type[Event]) -> list[tuple[str, Callable[[Any], str]]]:
    """Return how each attribute of a kind of event is written, faster than by an encoder."""
    columns = _COLUMNS.get(kind, {})
    plan = []
    for field in dataclasses.fields(kind):
        write = columns.get(field.name) or _WRITERS.get(str(field.type), _encode)
        plan.append((field.name, write))
    return plan


_PLANS = {kind: _plan_of(kind) for kind in _KINDS}
_PACKABLE = {name for columns in _COLUMNS.values() for name in columns} - {"tasks"}


def event_of(line: str) -> Event | None:
    """Return the event of a line; None if this version does not know it. Raises NotARecord."""
    try:
        fields = json.loads(line)
    except ValueError as problem:
        raise NotARecord(str(problem)) from None
    if not isinstance(fields, dict) or not isinstance(fields.get("event"), str):
        raise NotARecord("no event")
    kind = _BY_NAME.get(fields["event"])
    if kind is None:
        return None
    types = _FIELDS[kind]
    known = {name: fields[name] for name in types if name in fields}
    if kind in _COLUMNS:
        _unpack(known)
    for name, value in known.items():
        if not _CHECKS[types[name]](value):
            raise NotARecord(f"{kind.__name__}.{name} can't be {value!r}"[:200])
    try:
        event = kind(**known)
    except TypeError as problem:
        raise NotARecord(str(problem)) from None
    if kind in _COLUMNS:
        lengths = {len(known[name]) for name in _COLUMNS[kind]}
        if len(lengths) != 1 or 0 in lengths:
            raise NotARecord(f"columns of {kind.__name__} have different lengths")
    return event


def _unpack(known: dict[str, Any]) -> None:
    """Replace columns that are packed by their entries. Raises NotARecord."""
    tasks = known["tasks"] = read_numbers(known.get("tasks"))
    if not isinstance(tasks, list):
        raise NotARecord(f"tasks can't be {tasks!r}"[:200])
    for name in known.keys() & _PACKABLE:
        try:
            known[name] = read_column(known[name], len(tasks))
        except ValueError as problem:
            raise NotARecord(f"{name}: {problem}") from None


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and -_LONGEST < value < _LONGEST  # type: ignore[operator]  # a number


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < _LONGEST


def _is_list_of(check: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: type(value) is list and all(map(check, value))


_CHECKS: dict[str, Callable[[object], bool]] = {
    "float": _is_number,
    "int": _is_count,
    "int | None": lambda value: value is None or _is_count(value),
    "str": lambda value: type(value) is str,
    "bool": lambda value: type(value) is bool,
    "Sequence[int]": _is_list_of(_is_count),
    "Sequence[float]": _is_list_of(_is_number),
}
