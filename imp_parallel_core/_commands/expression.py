"""An expression that describes slaves, as a script has it, read without running any other code.

Calls of the classes that plugins bring are made, with literals, and such calls, as arguments.
Nothing else is evaluated: no other name, attribute, operator or subscript.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple, cast

import imp_parallel_core

from .._plugins.contract import described
from .._plugins.found import Plugin
from .._plugins.registry import Plugins
from .._plugins.slave_types import find_slave_type
from .._plugins.slaves import Slave
from .plugin_calls import mistake_of
from .steps import Failed

NAME = "expression"
"""The step of a check that fails here."""

_SHOWN = 60


class Kind(NamedTuple):
    """A class that an expression may call, and the plugin that brings it."""

    kind: type
    plugin: Plugin


def installed_kinds(plugins: Plugins) -> dict[str, Kind]:
    """Return all classes of slaves, and of hosts for ``via``, that plugins bring, by name."""
    kinds = plugins.slave_types(imp_parallel_core.__all__)
    found: dict[str, Kind] = {}
    for answer in plugins.ask("imp_parallel_slave_types"):
        for name in answer.value if isinstance(answer.value, Mapping) else ():
            if name in kinds and answer.value[name] is kinds[name]:
                found.setdefault(name, Kind(kinds[name], answer.found))
    return found


def read_expression(text: str, kinds: Mapping[str, Kind]) -> Slave:
    """Return the description of slaves that an expression makes.

    Args:
        text: the expression.
        kinds: the classes that it may call, by name.

    Raises Failed.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        why = problem.msg if isinstance(problem, SyntaxError) else str(problem)
        raise Failed(NAME, f"it is no expression of Python: {why}", _advice(kinds)) from problem
    if not isinstance(tree, ast.Call):
        raise Failed(NAME, f"{_shown(tree)} makes no slave", _advice(kinds))
    slaves = _Reader(kinds).value_of(tree)
    if not isinstance(slaves, Slave):
        raise Failed(NAME, f"{_shown(tree)} describes no slave", _advice(kinds))
    return slaves


def class_of(text: str, kinds: Mapping[str, Kind]) -> str:
    """Return the name of the class that an expression calls first, which can be read."""
    function = cast(ast.Call, ast.parse(text.strip(), mode="eval").body).func
    return next(
        node.id if isinstance(node, ast.Name) else node.attr
        for node in ast.walk(function)
        if (isinstance(node, ast.Name) and node.id in kinds)
        or (isinstance(node, ast.Attribute) and node.attr in kinds)
    )


class _Reader:
    """Evaluates the parts of one expression.

    Args:
        kinds: the classes that it may call, by name.
    """

    def __init__(self, kinds: Mapping[str, Kind]) -> None:
        self._kinds = kinds

    def value_of(self, node: ast.expr) -> Any:
        """Return the value of a call or a literal. Raises Failed for anything else."""
        match node:
            case ast.Call():
                return self._call(node)
            case ast.List():
                return [self.value_of(each) for each in node.elts]
            case ast.Tuple():
                return tuple(self.value_of(each) for each in node.elts)
            case ast.Dict(keys=keys, values=values) if None not in keys:
                pairs = [
                    (self.value_of(key), self.value_of(value))
                    for key, value in zip(keys, values, strict=True)
                    if key is not None
                ]
                try:
                    return dict(pairs)
                except TypeError as problem:
                    raise Failed(NAME, f"{_shown(node)} can't be made: {problem}") from problem
        try:
            return ast.literal_eval(node)
        except (ValueError, TypeError, MemoryError, RecursionError) as problem:
            raise Failed(
                NAME,
                f"{_shown(node)} is no literal, such as a number, a text or a list of these",
                "Write its value: only literals and calls of slaves' classes are evaluated, and "
                "nothing that a script has made.",
            ) from problem

    def _call(self, node: ast.Call) -> Any:
        function = self._function(node.func)
        if any(isinstance(each, ast.Starred) for each in node.args):
            raise Failed(NAME, f"{_shown(node)}: write out the arguments that * stands for")
        keywords: dict[str, Any] = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise Failed(NAME, f"{_shown(node)}: write out the arguments that ** stands for")
            keywords[keyword.arg] = self.value_of(keyword.value)
        arguments = [self.value_of(each) for each in node.args]
        try:
            return function(*arguments, **keywords)
        except KeyboardInterrupt:
            raise
        except BaseException as problem:  # a plugin's code
            words = self._mistake(function, problem) or described(problem)
            raise Failed(NAME, f"{_shown(node)} failed: {words}") from problem

    def _mistake(self, function: Any, problem: BaseException) -> str:
        kind = getattr(function, "__self__", function)
        labels = [each.plugin.label for each in self._kinds.values() if each.kind is kind]
        return mistake_of(problem, kind, labels[0]) if labels else ""

    def _function(self, node: ast.expr) -> Callable[..., Any]:
        """Return a class, or a class method of one that makes such an object."""
        match node:
            case ast.Name(id=name):
                return self._kind(name)
            case ast.Attribute(attr="add_slave"):
                raise Failed(
                    NAME,
                    f"{_shown(node)} can't be called here",
                    "Give only what the script gives to add_slave: what is between its brackets.",
                )
            case ast.Attribute(value=ast.Name(id=module), attr=name) if self._is_of(name, module):
                return self._kind(name)
            case ast.Attribute(value=ast.Name(id=name), attr=attribute):
                kind = self._kind(name)
                is_maker = isinstance(inspect.getattr_static(kind, attribute, None), classmethod)
                if is_maker and not attribute.startswith("_"):
                    maker: Callable[..., Any] = getattr(kind, attribute)
                    return maker
        raise Failed(NAME, f"{_shown(node)} can't be called here", _advice(self._kinds))

    def _is_of(self, name: str, module: str) -> bool:
        """Whether a class is written with its package, as after ``import imp_parallel_local``."""
        found = self._kinds.get(name)
        packages = (found.kind.__module__.partition(".")[0], "imp_parallel_core") if found else ()
        return module in packages

    def _kind(self, name: str) -> type:
        found = self._kinds.get(name)
        if found is not None:
            return found.kind
        try:
            find_slave_type(name, imp_parallel_core.__all__)
        except ImportError as problem:  # it says what to install, or what is broken
            raise Failed(NAME, str(problem)) from problem
        except AttributeError:
            pass
        similar = [each for each in self._kinds if _plain(each) == _plain(name)]
        similar = similar or get_close_matches(name, self._kinds, 1)
        meant = f"; did you mean {similar[0]}?" if similar else ""
        raise Failed(NAME, f"no installed plugin brings {name!r}{meant}", _advice(self._kinds))


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _shown(node: ast.expr) -> str:
    text = ast.unparse(node)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _advice(kinds: Mapping[str, Kind]) -> str:
    if not kinds:
        return 'No plugin is installed: pip install "imp-parallel-core[local]" brings LocalSlave.'
    names = ", ".join(sorted(kinds))
    example = "LocalSlave()" if "LocalSlave" in kinds else f"{min(kinds)}(…)"
    return (
        "Give the expression that the script gives to add_slave, in quotes, such as "
        f"'{example}'. The classes are: {names}."
    )
