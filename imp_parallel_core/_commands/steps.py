"""The steps of a check, as they are told."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple


class Status(Enum):
    """What became of a step; NEWS says something and decides nothing."""

    OK = "ok"
    NEWS = "..."
    FAILED = "FAILED"


class Step(NamedTuple):
    """Something that a check tells.

    Attributes:
        name: which link of the chain it is of.
        status: what became of it.
        text: what has been found; several lines for evidence.
        at_s: how long after the beginning, in seconds.
        facts: what has been found, for programs.
        advice: what to do about a failure; "" if the text says it.
    """

    name: str
    status: Status
    text: str
    at_s: float = 0.0
    facts: Mapping[str, Any] = {}
    advice: str = ""


class Failed(Exception):
    """A link of the chain is broken.

    Args:
        name: which one.
        text: how, with the evidence.
        advice: what to do about it; "" if the text says it.
    """

    def __init__(self, name: str, text: str, advice: str = "") -> None:
        super().__init__(text)
        self.step = Step(name, Status.FAILED, text, advice=advice)
