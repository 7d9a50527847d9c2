"""What a runner has of a bundle that it can't load, and when it loads the bundle again."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

from imp_parallel_core._code.loaded import LoadedDefinitions
from imp_parallel_core._code.references import bind

attempts: list[int] = []


def attempt() -> int:
    """Return how often the bundle has been loaded."""
    attempts.append(1)
    return len(attempts)


def fail_at_first() -> None:
    """Fail when the bundle is loaded for the first time."""
    if len(attempts) == 1:
        raise ValueError("not yet")


class Call:
    """An object whose unpickling calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: object) -> None:
        self.reduced = function, arguments

    def __reduce__(self) -> Any:
        return self.reduced


def test_a_bundle_that_is_loaded_again_binds_the_values_of_that_time() -> None:
    attempts.clear()
    key = (1, "x")
    steps = [[Call(bind, Call(attempt), key)], [Call(fail_at_first)], None]
    facts = pickle.dumps(((), [key], pickle.dumps(None)))
    segments = [b"".join(map(pickle.dumps, steps)), facts]
    definitions = LoadedDefinitions()
    definitions.load_if_possible(1, segments)
    assert definitions.has_failures
    assert "x" not in definitions.namespace(1)
    definitions.load_if_possible(1, segments)
    assert not definitions.has_failures
    assert definitions.namespace(1)["x"] == 2
