from __future__ import annotations

from typing import Any

import pytest

from imp_parallel_core._code import pickler as _pickling
from imp_parallel_core._code.pickler import pickle_with


def nothing_special(thing: Any) -> Any:
    return NotImplemented


def test_a_pickler_is_used_again_unless_it_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    idle: list[Any] = []
    monkeypatch.setattr(_pickling, "_idle", idle)
    pickle_with(nothing_special, [1])
    (first,) = idle
    pickle_with(nothing_special, [2])
    assert idle == [first]
    pickle_with(nothing_special, bytes(1_000_000))
    assert idle == []


def test_a_pickler_that_has_failed_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    idle: list[Any] = []
    monkeypatch.setattr(_pickling, "_idle", idle)
    pickle_with(nothing_special, [1])
    with pytest.raises(TypeError):
        pickle_with(nothing_special, [1, (n for n in [1])])
    assert idle == []
