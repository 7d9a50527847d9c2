"""Checks the arguments of a class that describes slaves, when the object is made.

For launchers. Each function returns what was given, or raises TypeError (ValueError for a number
that is out of range), with a text that names the argument and shows what was given. Otherwise the
mistake would be noticed by code that knows nothing of arguments. What is in an environment, and the
number of threads, ``add_slave`` checks for all classes.
"""

from __future__ import annotations

from ._light_typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._plugins.command_host import CommandHost

_HOST_METHODS = (
    "find_program",
    "search_path",
    "home",
    "run",
    "read_file",
    "write_file",
    "write_files",
    "remove_files",
    "make_private_folder",
    "remove_folder",
)
_SHOWN = 100  # characters


def checked_host(owner: object, name: str, host: Any) -> CommandHost | None:
    """Return a host that runs commands, or None.

    Args:
        owner: what has the argument, which is shown by its class: ``self``, or a name.
        name: the argument's name.
        host: what was given.
    """
    if host is None:
        return None
    missing = [each for each in _HOST_METHODS if not callable(getattr(host, each, None))]
    if isinstance(host, str):
        raise _wrong(owner, name, host, f"a host, such as SSHHost({host!r})")
    if isinstance(host, type):
        raise _wrong(owner, name, host, f"a host, such as {host.__name__}(…)")
    if missing:
        lacks = "" if len(missing) == len(_HOST_METHODS) else f"; it has no {missing[0]}()"
        raise _wrong(owner, name, host, f"a host, such as SSHHost('login'){lacks}")
    return host  # type: ignore[no-any-return]  # it has all methods


def checked_environment(owner: object, environment: Any) -> dict[str, str]:
    """Return a copy of the variables of an environment; an empty one for None."""
    if environment is None:
        return {}
    if not hasattr(environment, "keys"):
        raise _wrong(owner, "environment", environment, "a dictionary, such as {'NAME': 'value'}")
    return dict(environment)


def checked_text(owner: object, name: str, text: Any, such_as: str) -> str:
    """Return a text.

    Args:
        owner: what has the argument, as for :func:`checked_host`.
        name: the argument's name.
        text: what was given.
        such_as: what it should be, such as ``"a path, as text"``.
    """
    if not isinstance(text, str):
        raise _wrong(owner, name, text, such_as)
    return text


def checked_list(owner: object, name: str, given: Any, such_as: str) -> list[Any]:
    """Return a list of what was given; a text is none, though it could be walked through."""
    if isinstance(given, (str, bytes)):
        raise _wrong(owner, name, given, such_as)
    try:
        return list(given)
    except TypeError:
        raise _wrong(owner, name, given, such_as) from None


def checked_mapping(owner: object, name: str, given: Any, such_as: str) -> Mapping[Any, Any]:
    """Return a dictionary."""
    if not hasattr(given, "keys"):
        raise _wrong(owner, name, given, such_as)
    mapping: Mapping[Any, Any] = given
    return mapping


def checked_number(owner: object, name: str, number: Any) -> int:
    """Return a whole number of at least 1."""
    from operator import index

    if not isinstance(number, bool):
        try:
            whole = index(number)
        except TypeError:
            pass
        else:
            if whole >= 1:
                return whole
            raise ValueError(f"{_name_of(owner)}: {name}={whole}: it must be at least 1")
    raise _wrong(owner, name, number, "a whole number, such as 4")


def checked_flag(owner: object, name: str, flag: Any) -> bool:
    """Return True or False."""
    if not isinstance(flag, bool):
        raise _wrong(owner, name, flag, "True or False")
    return flag


def checked_seconds(owner: object, name: str, seconds: Any) -> float:
    """Return a number of seconds that is more than 0."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise _wrong(owner, name, seconds, "a number of seconds")
    if not seconds > 0:
        raise ValueError(f"{_name_of(owner)}: {name}={seconds!r}: it must be more than 0 s")
    return seconds


def _wrong(owner: object, name: str, given: Any, wanted: str) -> TypeError:
    return TypeError(f"{_name_of(owner)}: {name}={_shown(given)}: it must be {wanted}")


def _name_of(owner: object) -> str:
    if isinstance(owner, str):
        return owner
    return owner.__name__ if isinstance(owner, type) else type(owner).__name__


def _shown(given: Any) -> str:
    """Return what was given, for people. Never raises."""
    from ._printable import printable

    try:
        text = printable(repr(given))
    except Exception:  # the user's __repr__ may raise
        return f"an instance of {type(given).__name__}"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
