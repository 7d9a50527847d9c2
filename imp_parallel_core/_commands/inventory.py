"""What each installed plugin brings, and what is broken or left out, as data."""

from __future__ import annotations

import logging
import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

import imp_parallel_core

from .._plugins.contract import shown, why_no_slave_type, why_no_subcommand, why_no_transport
from .._plugins.explanations import read_explanations
from .._plugins.found import DISABLE, Found, Plugin, find_plugins
from .._plugins.registry import Answer, Plugins
from .._plugins.slaves import Slave

_OF_THE_CORE = ("pluggy", "cloudpickle")


class Brought(NamedTuple):
    """One installed plugin.

    Attributes:
        plugin: what messages call it: its distribution, and its entry point if there are several.
        version: that of the distribution; "" if it is not known.
        module: what its entry point names.
        slaves: the names of its slave classes.
        hosts: the names of its classes of hosts for ``via``.
        transports: the names of its transports, as far as slave classes that are installed use
            them.
        commands: the names of its subcommands of ``imp-parallel``.
        explanations: the keys of its sections for ``imp-parallel explain``.
        observers: the names of its classes for ``Manager(plugins=[…])``: those with an
            ``imp_parallel_observe`` that the plugin's package names in ``__all__``.
        hooks: the hooks that it implements.
        problem: why it can't be used at all; "" if it can be.
        problems: what is wrong with parts of it.
    """

    plugin: str
    version: str
    module: str = ""
    slaves: Sequence[str] = ()
    hosts: Sequence[str] = ()
    transports: Sequence[str] = ()
    commands: Sequence[str] = ()
    explanations: Sequence[str] = ()
    observers: Sequence[str] = ()
    hooks: Sequence[str] = ()
    problem: str = ""
    problems: Sequence[str] = ()


class Inventory(NamedTuple):
    """All that is installed.

    Attributes:
        versions: those of the core, and of what it needs.
        commands: the names of the core's own subcommands.
        plugins: those that can be used, in the order in which they are asked.
        broken: those that can't be loaded.
        disabled: those that the environment variable leaves out.
    """

    versions: Mapping[str, str]
    commands: Sequence[str]
    plugins: Sequence[Brought]
    broken: Sequence[Brought]
    disabled: Sequence[Brought]


def take_inventory(commands: Sequence[str]) -> Inventory:
    """Load all plugins, and ask each what it brings.

    Args:
        commands: the names of the core's own subcommands.
    """
    with _without_log():  # all that would be logged is in the inventory
        found = find_plugins()
        brought = _ask_all(found, Plugins(), commands)
    versions = {"imp-parallel-core": imp_parallel_core.__version__}
    versions |= {name: version_of(name) for name in _OF_THE_CORE}
    return Inventory(
        {**versions, "python": platform.python_version()},
        commands,
        brought,
        [Brought(label, version_of(label), problem=why) for label, why in found.broken.items()],
        [
            Brought(label, version_of(label), problem=f"{DISABLE} leaves it out")
            for label in found.left_out
        ],
    )


def version_of(label: str) -> str:
    """Return the version of a plugin's distribution; "" if it is not known.

    Args:
        label: what messages call the plugin.
    """
    with suppress(PackageNotFoundError):
        return version(label.partition(" ")[0])
    return ""


@contextmanager
def _without_log() -> Iterator[None]:
    logger = logging.getLogger("imp_parallel")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


class _Gathered:
    """What one plugin brings, while it is gathered."""

    def __init__(self) -> None:
        self.slaves: list[str] = []
        self.hosts: list[str] = []
        self.transports: list[str] = []
        self.commands: list[str] = []
        self.explanations: list[str] = []
        self.problems: list[str] = []


def _ask_all(found: Found, plugins: Plugins, commands: Sequence[str]) -> list[Brought]:
    gathered = {plugin.label: _Gathered() for plugin in found.plugins}
    used_transports: dict[str, None] = {}
    first_to_bring: dict[tuple[str, str], Plugin] = {}

    def bring(names: list[str], what: str, name: str, answer: Answer) -> None:
        """Note what a plugin brings, or that another one has done so before."""
        other = first_to_bring.setdefault((what, name), answer.found)
        if other is answer.found:
            names.append(name)
        else:
            problem = f"its {what} {name} is not used: {other.label} brings one of that name, too"
            gathered[answer.found.label].problems.append(problem)

    for answer in _valid(plugins, "imp_parallel_slave_types", Mapping, gathered):
        one = gathered[answer.found.label]
        for name, kind in answer.value.items():
            if why := why_no_slave_type(name, kind, imp_parallel_core.__all__):
                one.problems.append(f"its slave type {name!r} can't be used: {why}")
            elif issubclass(kind, Slave):
                bring(one.slaves, "slave class", name, answer)
                used_transports[str(kind.transport)] = None
            else:
                bring(one.hosts, "class of hosts", name, answer)
    for answer in _valid(plugins, "imp_parallel_commands", Sequence, gathered):
        one = gathered[answer.found.label]
        for command in answer.value:
            if why := why_no_subcommand(command, commands):
                one.problems.append(f"its command {shown(command)} can't be used: {why}")
            else:
                bring(one.commands, "command", command.name, answer)
    for answer in _valid(plugins, "imp_parallel_explanations", str, gathered):
        one = gathered[answer.found.label]
        try:
            for explanation in read_explanations(answer.value):
                bring(one.explanations, "explanation", explanation.key, answer)
        except ValueError as problem:
            one.problems.append(f"its explanations can't be used: {problem}")
    for name in filter(None, used_transports):
        for answer in _valid(plugins, "imp_parallel_transport", object, gathered, name=name):
            one = gathered[answer.found.label]
            if answer.value is None:
                continue
            if why := why_no_transport(answer.value):
                one.problems.append(f"the transport {name} can't be used: {why}")
            else:
                bring(one.transports, "transport", name, answer)
            with suppress(Exception, SystemExit):  # nobody uses it
                answer.value.close()
    return [_brought(plugin, gathered[plugin.label], plugins) for plugin in found.plugins]


def _valid(
    plugins: Plugins,
    hook: str,
    kind: type,
    gathered: Mapping[str, _Gathered],
    **arguments: object,
) -> Iterator[Answer]:
    """Yield the answers to a hook that are of a kind; note the others as problems."""
    for answer in plugins.ask(hook, **arguments):
        if answer.problem:
            gathered[answer.found.label].problems.append(f"{hook} failed: {answer.problem}")
        elif not isinstance(answer.value, kind):
            said = f"{hook} returned {shown(answer.value)}, and no {kind.__name__}"
            gathered[answer.found.label].problems.append(said)
        else:
            yield answer


def _brought(plugin: Plugin, gathered: _Gathered, plugins: Plugins) -> Brought:
    return Brought(
        plugin.label,
        version_of(plugin.label),
        plugin.module,
        sorted(gathered.slaves),
        sorted(gathered.hosts),
        sorted(gathered.transports),
        sorted(gathered.commands),
        sorted(gathered.explanations),
        _observers_in(plugin.module),
        plugins.hooks_of(plugin),
        problems=gathered.problems,
    )


def _observers_in(module: str) -> list[str]:
    """Return the names of the classes of observers that the package of a module offers."""
    found = []
    with suppress(Exception, SystemExit):  # what is broken in a package is told of its hooks
        package = import_module(module.partition(".")[0])
        for name in sorted(package.__all__):
            kind = getattr(package, name)
            if isinstance(kind, type) and hasattr(kind, "imp_parallel_observe"):
                found.append(name)
    return found


def as_data(inventory: Inventory) -> dict[str, Any]:
    """Return an inventory as what JSON can hold."""
    listed = ("plugins", "broken", "disabled")
    return {
        **inventory._asdict(),
        **{name: [each._asdict() for each in getattr(inventory, name)] for name in listed},
    }
