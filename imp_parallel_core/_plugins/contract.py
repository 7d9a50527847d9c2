"""What plugins answer, checked where they answer; and what they did wrong, for their authors."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .._errors import Error, PluginError
from .launch import LaunchPhase, LaunchState

if TYPE_CHECKING:
    from .launch import Launch

_LAUNCH_METHODS = ("poll", "cancel", "log_tail")
_TRANSPORT_METHODS = ("listen", "secret", "close")
_SUBCOMMAND_METHODS = ("add_arguments", "run")
_MOST_CHARACTERS = 200


def checked_launch(answer: Any) -> Launch:
    """Return what ``imp_parallel_launch`` has returned. Raises PluginError if it is no Launch."""
    if why := _lack(answer, _LAUNCH_METHODS):
        raise PluginError(
            f"imp_parallel_launch returned {shown(answer)}, which is no Launch: {why}. "
            "It must return a Launch, such as start_processes does, or None for slaves that it "
            "does not know."
        )
    launch: Launch = answer
    return launch


def why_no_transport(answer: Any) -> str:
    """Return why what ``imp_parallel_transport`` has returned is no Transport; "" if it is one."""
    why = _lack(answer, _TRANSPORT_METHODS)
    if not why and not isinstance(getattr(answer, "dial", None), str):
        why = "its attribute dial must be a text, module:function"
    if not why and not _are_texts(getattr(answer, "slave_modules", None)):
        why = "its attribute slave_modules must be a list of names"
    return f"it returned {shown(answer)}, which is no Transport: {why}" if why else ""


def why_no_slave_type(name: Any, kind: Any, reserved: Sequence[str]) -> str:
    """Return why nobody can import a slave class of that name from the core; "" if one can."""
    if not isinstance(name, str) or not name.isidentifier() or not name[0].isupper():
        return "its name must be a name of Python that begins with a capital letter"
    if not isinstance(kind, type):
        return f"it is {shown(kind)}, and no class"
    if name in reserved:
        return "imp_parallel_core has something else of that name"
    return ""


def why_no_subcommand(answer: Any, reserved: Sequence[str]) -> str:
    """Return why ``imp-parallel`` can't offer something as a subcommand; "" if it can."""
    if why := _lack(answer, _SUBCOMMAND_METHODS):
        return why
    name, line = getattr(answer, "name", None), getattr(answer, "help", None)
    if not isinstance(name, str) or not _is_command_name(name):
        return f"its name is {shown(name)}, and must be of small letters, digits and hyphens"
    if not isinstance(line, str):
        return f"its help is {shown(line)}, and must be a line of text"
    return "imp-parallel has another command of that name" if name in reserved else ""


def checked_addresses(transport: str, answer: Any) -> tuple[str, ...]:
    """Return what a transport's ``listen`` has returned. Raises PluginError."""
    if not _are_texts(answer):
        raise PluginError(
            f"the transport {transport!r} is broken: listen() returned {shown(answer)}, and it "
            "must return a list of addresses, which are texts"
        )
    return tuple(answer)


def checked_secret(transport: str, answer: Any) -> bytes:
    """Return what a transport's ``secret`` has returned, which is not shown. Raises PluginError."""
    if not isinstance(answer, bytes):
        raise PluginError(
            f"the transport {transport!r} is broken: secret() must return bytes, and its answer is "
            f"of type {type(answer).__name__}"
        )
    return answer


def checked_states(answer: Any) -> Mapping[int, LaunchState]:
    """Return what ``poll`` has returned. Raises TypeError."""
    if not isinstance(answer, Mapping):
        raise TypeError(
            f"it returned {shown(answer)}, and it must return a mapping that holds a LaunchState "
            "for the number of each slave (bootstrap.index)"
        )
    return {_checked_index(index): _checked_state(state) for index, state in answer.items()}


def checked_text(answer: Any) -> str:
    """Return a text that a launch has returned. Raises TypeError for anything else."""
    if not isinstance(answer, str):
        raise TypeError(f"it is {shown(answer)}, and it must be a text")
    return answer


def checked_words(command: Any) -> list[str]:
    """Return the words of a command line. Raises TypeError for anything else."""
    if isinstance(command, (str, bytes)) or not isinstance(command, Sequence):
        raise TypeError(
            f"{shown(command)} is no command line: it must be a list of words, such as "
            '["nice", *argv]'
        )
    words: list[str] = []
    for word in command:
        plain = word.__fspath__() if isinstance(word, os.PathLike) else word
        if not isinstance(plain, str):
            raise TypeError(f"{shown(word)} is no word of a command line: it must be a text")
        words.append(plain)
    if not words:
        raise TypeError("a command line without a word can't be run")
    return words


def described(problem: BaseException, package: str = "") -> str:
    """Return the type, the text and, for a mistake, the place of an exception of a plugin's.

    Args:
        problem: the exception.
        package: the plugin's package; the place is the innermost line of it. "": without a place.
    """
    try:
        text = str(problem)
    except Exception:  # the plugin's own class may be broken, too
        text = ""
    words = f"{type(problem).__name__}: {text}" if text else type(problem).__name__
    is_expected = isinstance(problem, (Error, OSError))
    return words if is_expected or not package else words + place_in(problem, package)


def place_in(problem: BaseException | None, package: str) -> str:
    """Return the innermost line of a package that an exception came through, in parentheses."""
    place = ""
    while problem is not None and not place:
        step: TracebackType | None = problem.__traceback__
        while step is not None:
            if package_of(step.tb_frame.f_globals.get("__name__")) == package:
                file = os.path.basename(step.tb_frame.f_code.co_filename)
                function = step.tb_frame.f_code.co_name
                place = f" ({file}, line {step.tb_lineno}, in {function})"
            step = step.tb_next
        problem = problem.__cause__
    return place


def package_of(module: Any) -> str:
    """Return the name of the package that a module of that name is in."""
    return str(module or "").partition(".")[0]


def shown(thing: Any) -> str:
    """Return an object and its type, in few words."""
    try:
        text = repr(thing)
    except Exception:
        text = "…"
    if len(text) > _MOST_CHARACTERS:
        text = text[:_MOST_CHARACTERS] + "…"
    return f"{text} (of type {type(thing).__name__})"


def _lack(answer: Any, methods: Sequence[str]) -> str:
    if isinstance(answer, type):
        return "it is a class, and not an object"
    missing = [name for name in methods if not callable(getattr(answer, name, None))]
    return f"it has no method {missing[0]}" if missing else ""


def _is_command_name(name: str) -> bool:
    return name.isascii() and name.islower() and name.replace("-", "").isalnum() and name[0] != "-"


def _are_texts(things: Any) -> bool:
    is_list = isinstance(things, Sequence) and not isinstance(things, (str, bytes))
    return is_list and all(isinstance(thing, str) for thing in things)


def _checked_index(index: Any) -> int:
    if not isinstance(index, int):
        raise TypeError(
            f"it names the slave {shown(index)}, and must name slaves by their number "
            "(bootstrap.index)"
        )
    return index


def _checked_state(state: Any) -> LaunchState:
    if not isinstance(state, tuple) or len(state) != len(LaunchState._fields):
        raise TypeError(f"{shown(state)} is no LaunchState")
    phase, detail, exit_code = state
    if not isinstance(phase, LaunchPhase):
        raise TypeError(f"the phase of {state!r} is no LaunchPhase, such as LaunchPhase.QUEUED")
    if not isinstance(detail, str):
        raise TypeError(f"the detail of {state!r} must be a text, which may be empty")
    if exit_code is not None and not isinstance(exit_code, int):
        raise TypeError(f"the exit_code of {state!r} must be a number, or None")
    return LaunchState(phase, detail, exit_code)
