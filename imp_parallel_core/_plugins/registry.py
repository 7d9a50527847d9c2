"""The plugins of a Manager, and calls of their hooks.

The core has no plugin of its own, and knows none by name but for hints (:mod:`.slave_types`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from .._errors import Error, PluginError
from .._explained import explained
from .._light_typing import NamedTuple
from .contract import (
    checked_launch,
    described,
    package_of,
    place_in,
    shown,
    why_no_slave_type,
    why_no_transport,
)
from .found import DISABLE, Plugin, check, find_plugins, given_plugins, new_registry

if TYPE_CHECKING:
    from .._wire.stream import Accept
    from .bootstrap import Bootstrap
    from .launch import Launch
    from .slaves import Slave
    from .transport import Transport

_logger = logging.getLogger("imp_parallel.plugins")


class Plugins:
    """The plugins of one Manager.

    Args:
        more: plugins that are not installed, such as the caller's own.

    Raises PluginError if one of those breaks the contract.
    """

    def __init__(self, more: Iterable[Any] = ()) -> None:
        self._found = find_plugins()
        self._registry = new_registry()
        self._plugins: list[Plugin] = []  # in the order in which they are preferred
        for found in self._found.plugins:
            self._register(found)
        for plugin in given_plugins(more):
            name = getattr(plugin, "__name__", type(plugin).__name__)
            try:
                check(plugin, name)
            except Exception as problem:
                raise PluginError(f"plugin {name} can't be used: {problem}") from problem
            label = f"{name} (given to Manager)"
            self._register(Plugin(label, name, plugin, is_given=True))

    def _register(self, found: Plugin) -> None:
        if self._registry.is_registered(found.plugin):
            return
        self._registry.register(found.plugin, None if found.is_given else found.label)
        self._plugins.insert(0 if found.is_given else len(self._plugins), found)

    def launch(self, slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Accept) -> Launch:
        """Have slaves launched by the plugin that knows them.

        The plugin that brought the class of the slaves is asked first, so that the others need not
        even look at them.

        Raises PluginError if there is none, or if the plugin is broken, or the Error that the
        plugin raises.
        """
        packages = {package_of(kind.__module__) for kind in type(slaves).__mro__}
        implementations = [
            each
            for each in reversed(self._registry.hook.imp_parallel_launch.get_hookimpls())
            if not (each.wrapper or each.hookwrapper)  # pluggy's: they only look on
        ]
        implementations.sort(key=lambda each: _package(each.plugin) not in packages)
        for asked in implementations:
            others = [each.plugin for each in implementations if each is not asked]
            hook = self._registry.subset_hook_caller("imp_parallel_launch", others)
            try:
                answer = hook(slaves=slaves, bootstraps=bootstraps, accept=accept)
                if answer is not None:
                    return checked_launch(answer)
            except PluginError as problem:
                place = place_in(problem, _package(asked.plugin))
                text = f"plugin {self._label(asked.plugin)}: {problem}{place}"
                raise PluginError(explained(text, "plugin-fails")) from problem
            except (Error, KeyboardInterrupt):
                raise
            except BaseException as problem:  # a stranger's code
                what = described(problem, _package(asked.plugin))
                label = self._label(asked.plugin)
                text = f"plugin {label} failed in imp_parallel_launch: {what}"
                raise PluginError(explained(text, "plugin-fails")) from problem
        text = f"no installed plugin launches {slaves!r}; {self._describe()}"
        raise PluginError(explained(text, "no-plugin"))

    def check(self, slaves: Slave) -> None:
        """Have a description checked, in the user's thread.

        Raises what it raises; but PluginError for what would end the script, such as a SystemExit.
        """
        try:
            slaves.check()
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as problem:  # a stranger's code
            kind = type(slaves)
            what = described(problem, package_of(kind.__module__))
            text = f"plugin {self.label_of(kind)} failed in {kind.__name__}.check(): {what}"
            raise PluginError(explained(text, "plugin-fails")) from problem

    def label_of(self, kind: type) -> str:
        """Return what messages call the plugin that a slave class is from."""
        package = package_of(kind.__module__)
        labels = (found.label for found in self._plugins if _package(found.plugin) == package)
        return next(labels, package)

    def _label(self, plugin: Any) -> str:
        return next(found.label for found in self._plugins if found.plugin is plugin)

    def transport(self, name: str) -> Transport:
        """Return a new transport of that name.

        If several plugins bring one, a warning names them, and says which one is used.

        Raises PluginError if no plugin brings it.
        """
        answers = [
            _without_faults(answer) for answer in self.ask("imp_parallel_transport", name=name)
        ]
        brought = [answer for answer in answers if answer.value is not None]
        if not brought:
            failed = [
                f"{each.found.label} failed: {each.problem}" for each in answers if each.problem
            ]
            reasons = "; ".join([*failed, self._describe()])
            text = f"no installed plugin brings the transport {name!r}; {reasons}"
            raise PluginError(explained(text, "no-plugin"))
        for unused in brought[1:]:
            with suppress(Exception, SystemExit):  # nobody uses it
                unused.value.close()
        warn_of_several(f"a transport {name!r}", [answer.found for answer in brought])
        transport: Transport = brought[0].value
        return transport

    def slave_types(self, reserved: Sequence[str] = ()) -> dict[str, type]:
        """Return all slave classes that the plugins bring, by name.

        If several plugins bring different classes of a name, a warning names them, and says which
        one is used. What nobody could import is told, too.

        Args:
            reserved: the names that the core has given to something else.
        """
        brought: dict[str, dict[type, Plugin]] = {}
        for answer in self.ask("imp_parallel_slave_types"):
            label = answer.found.label
            if not isinstance(answer.value, Mapping):
                if not answer.problem:
                    warn(f"plugin {label}: its slave types are no mapping: {shown(answer.value)}")
                continue
            for name, kind in answer.value.items():
                if why := why_no_slave_type(name, kind, reserved):
                    warn(f"plugin {label}: its slave type {name!r} can't be imported: {why}")
                else:
                    brought.setdefault(name, {}).setdefault(kind, answer.found)
        for name, kinds in brought.items():
            warn_of_several(f"a slave class {name}", list(kinds.values()))
        return {name: next(iter(kinds)) for name, kinds in brought.items()}

    def ask(self, hook: str, **arguments: object) -> Iterator[Answer]:
        """Yield the answer of each plugin that has a hook, in the order of preference.

        An exception of a plugin's is logged, and keeps no other from being asked.
        """
        implementations = {
            id(each.plugin): each
            for each in getattr(self._registry.hook, hook).get_hookimpls()
            if not (each.wrapper or each.hookwrapper)  # pluggy's: they answer nothing
        }
        for found in self._plugins:
            implementation = implementations.get(id(found.plugin))
            if implementation is None:
                continue
            try:
                value = implementation.function(*map(arguments.get, implementation.argnames))
            except KeyboardInterrupt:  # a Ctrl-C of the user's
                raise
            except BaseException as problem:  # a stranger's code: the others are asked all the same
                text = described(problem, _package(found.plugin))
                _logger.warning("plugin %s failed in %s: %s", found.label, hook, text)
                yield Answer(found, None, text)
            else:
                yield Answer(found, value)

    def observers(self) -> list[tuple[str, Any]]:
        """Return each observer's name, which need not be its alone, and its function."""
        labels = {id(found.plugin): found.label for found in self._plugins}
        found = self._registry.hook.imp_parallel_observe.get_hookimpls()
        return [(labels[id(each.plugin)], each.function) for each in found]

    def hooks_of(self, found: Plugin) -> list[str]:
        """Return the names of the hooks that a plugin implements, sorted."""
        callers = self._registry.get_hookcallers(found.plugin) or ()
        return sorted(caller.name for caller in callers)

    def _describe(self) -> str:
        given = [found.module for found in self._plugins if found not in self._found.plugins]
        text = self._found.describe()
        return f"{text}; given to Manager: {', '.join(given)}" if given else text


class Answer(NamedTuple):
    """What a plugin has answered; None if it raised an exception, which ``problem`` tells."""

    found: Plugin
    value: Any
    problem: str = ""


def _without_faults(answer: Answer) -> Answer:
    """Return the answer of a plugin, but none instead of what is no transport; that is told."""
    if answer.value is None or not (why := why_no_transport(answer.value)):
        return answer
    warn(f"plugin {answer.found.label} failed in imp_parallel_transport: {why}")
    return Answer(answer.found, None, why)


def warn_of_several(what: str, plugins: Sequence[Plugin]) -> None:
    """Say, once in a process, which of several plugins is used that bring the same."""
    if len(plugins) < 2:
        return
    used, *unused = plugins
    advice = []
    if any(not found.is_given for found in unused):
        advice.append(f"{DISABLE} can leave out plugins that are installed")
    if any(found.is_given for found in unused):
        advice.append("Of those given to Manager, the last comes first: give it one alone")
    names = " and ".join(found.full_name for found in plugins)
    warn(f"{names} bring {what} each; that of {used.full_name} is used. {'. '.join(advice)}")


@cache
def warn(text: str) -> None:
    """Warn of something, once in a process."""
    _logger.warning("%s", text)


def _package(thing: Any) -> str:
    """Return the name of the package that a plugin comes from."""
    return package_of(getattr(thing, "__module__", None) or getattr(thing, "__name__", ""))
