"""Names of ``typing`` for the modules that a master or a slave loads when it starts.

Importing ``typing`` takes longer than importing most modules of a slave together, and they need
nothing of it at run time. Its NamedTuple also takes twice as long as this one to make a class.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers assume that this is true
if TYPE_CHECKING:
    from typing import Any as Any
    from typing import NamedTuple as NamedTuple
    from typing import Protocol as Protocol
else:
    from collections import namedtuple

    Any = object

    class Protocol:
        """A base class like any other at run time."""

    _patterns = {}  # a namedtuple of so many fields

    class _Fields(type):
        """Makes a named tuple of each class whose base is NamedTuple.

        It has all that ``namedtuple`` makes. That compiles a ``__new__`` for each class, which
        takes most of its time; here it is compiled for each number of fields, and the names of its
        arguments are changed.
        """

        def __new__(cls, name, bases, body):
            fields = tuple(body.pop("__annotations__", ()))
            defaults = {field: body.pop(field) for field in fields if field in body}
            pattern = _patterns.get(len(fields))
            if pattern is None:
                pattern = namedtuple("_", [f"f{number}" for number in range(len(fields))])
                _patterns[len(fields)] = pattern
            parts = vars(pattern)
            new = _renamed(pattern.__new__, fields, tuple(defaults.values()))
            new.__qualname__ = f"{name}.__new__"
            made = {
                "__slots__": (),
                "__match_args__": fields,
                "_fields": fields,
                "_field_defaults": defaults,
                "__new__": new,
                "__getnewargs__": parts["__getnewargs__"],
                "__repr__": _repr,
                "_asdict": parts["_asdict"],
                "_make": parts["_make"],
                "_replace": _replace,
                **{field: parts[f"f{number}"] for number, field in enumerate(fields)},
            }
            return type(name, (tuple,), {**made, **body})

    def _renamed(function, names, defaults):
        code = function.__code__.replace(co_varnames=("_cls", *names))
        return type(function)(code, function.__globals__, "__new__", defaults)

    def _repr(self):
        values = ", ".join(
            f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True)
        )
        return f"{type(self).__name__}({values})"

    def _replace(self, /, **changes):
        replaced = self._make(map(changes.pop, self._fields, self))
        if changes:
            raise ValueError(f"Got unexpected field names: {list(changes)!r}")
        return replaced

    NamedTuple = type.__new__(_Fields, "NamedTuple", (), {})
