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

    class _Fields(type):
        """Makes a named tuple of each class whose base is NamedTuple."""

        def __new__(cls, name, bases, body):
            fields = body.pop("__annotations__", ())
            defaults = [body.pop(field) for field in fields if field in body]
            made = namedtuple(name, fields, defaults=defaults, module=body.pop("__module__"))
            for key, value in body.items():
                setattr(made, key, value)
            return made

    NamedTuple = type.__new__(_Fields, "NamedTuple", (), {})
