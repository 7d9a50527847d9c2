"""The light NamedTuple makes what typing's makes, for whoever uses the classes."""

from __future__ import annotations

import copy
import pickle
import typing
from typing import Any

import pytest

from imp_parallel_core import _light_typing


class Light(_light_typing.NamedTuple):
    """A point."""

    x: int
    y: int = 2
    name: str = "p"

    @property
    def sum(self) -> int:
        """Both together."""
        return self.x + self.y


class Typed(typing.NamedTuple):
    """A point."""

    x: int
    y: int = 2
    name: str = "p"


class Empty(_light_typing.NamedTuple):
    """It has no fields."""


class Other(_light_typing.NamedTuple):
    """It has as many fields as the first, of other names."""

    a: int
    b: int
    c: int


CALLS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    ((1,), {}),
    ((1, 5), {"name": "q"}),
    ((), {"y": 3, "x": 4}),
    ((), {}),
    ((1, 2, "p", 4), {}),
    ((1,), {"z": 2}),
    ((1,), {"x": 2}),
]


def made(kind: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """Return an instance, or the error."""
    try:
        return kind(*args, **options)
    except TypeError as error:
        return str(error).replace(kind.__name__, "It")


@pytest.mark.parametrize(("args", "options"), CALLS)
def test_instances_are_made_and_refused_alike(
    args: tuple[Any, ...], options: dict[str, Any]
) -> None:
    assert made(Light, args, options) == made(Typed, args, options)


def test_an_instance_can_do_the_same() -> None:
    light, typed = Light(1), Typed(1)
    assert repr(light) == repr(typed).replace("Typed", "Light")
    assert light._asdict() == typed._asdict()
    assert tuple(light._replace(y=7)) == tuple(typed._replace(y=7))
    assert type(light._replace(y=7)) is Light
    assert Light._make([1, 2, "p"]) == light
    assert (light.x, light.y, light.name, light.sum) == (1, 2, "p", 3)
    assert Light._field_defaults == Typed._field_defaults
    assert [*map(copy.copy, [light])] == [pickle.loads(pickle.dumps(light))] == [light]
    assert type(pickle.loads(pickle.dumps(light))) is Light
    assert not hasattr(light, "__dict__")
    match light:
        case Light(x, name=name):
            assert (x, name) == (1, "p")


def test_a_field_that_does_not_exist_can_not_be_replaced() -> None:
    for point in (Light(1), Typed(1)):
        with pytest.raises((TypeError, ValueError), match="unexpected field names"):
            point._replace(z=1)  # type: ignore[call-arg]  # that is the point


def test_classes_with_as_many_fields_do_not_share_their_names() -> None:
    assert Other(c=3, b=2, a=1) == (1, 2, 3)
    assert Light(1, name="q", y=3) == (1, 3, "q")
    assert Empty() == ()
