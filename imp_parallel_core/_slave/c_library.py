"""Functions and memory of the C library, without the time that the import of ctypes takes.

Raises ImportError and OSError where there is no such thing.
"""

from __future__ import annotations

from _ctypes import Array, CFuncPtr, _SimpleCData, dlopen, dlsym

from .._light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

_library = dlopen(None, 0)  # type: ignore[arg-type]  # None: this process


class Pointer(_SimpleCData):  # type: ignore[type-arg]  # it takes none at run time
    """A pointer, or a number as large as one."""

    _type_ = "P"


class _Byte(_SimpleCData):  # type: ignore[type-arg]  # likewise
    _type_ = "B"


class _Function(CFuncPtr):
    _flags_ = 1  # C's calling convention
    _restype_ = Pointer


def function(name: str) -> Any:
    """Return a function. It takes None, integers, bytes and Pointers, and returns a number."""
    return _Function(dlsym(_library, name))


def variable(name: str) -> int:
    """Return the value of a variable that is a pointer."""
    value: int = Pointer.from_address(dlsym(_library, name)).value
    return value


def memory_at(address: int, size_bytes: int) -> memoryview[int]:
    """Return a view of memory, as bytes."""

    class Bytes(Array):  # type: ignore[type-arg]  # it takes none at run time
        _type_ = _Byte
        _length_ = size_bytes

    return memoryview(Bytes.from_address(address)).cast("B")
