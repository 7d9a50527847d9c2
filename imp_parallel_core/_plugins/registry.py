"""The plugins of a Manager, and calls of their hooks.

The core has no plugin of its own, and knows none by name but for hints in errors.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from .._errors import PluginError
from .._light_typing import NamedTuple
from .found import DISABLE, Plugin, check, find_plugins, new_registry

if TYPE_CHECKING:
    from .._wire.stream import Accept
    from .bootstrap import Bootstrap
    from .launch import Launch
    from .slaves import Slave
    from .transport import Transport

_logger = logging.getLogger("imp_parallel.plugins")

KNOWN_DISTRIBUTIONS = {
    "DaskSlaveArray": "imp-parallel-dask",
    "LocalSlave": "imp-parallel-local",
    "RaySlaveArray": "imp-parallel-ray",
    "SGEQsubSlaveArray": "imp-parallel-sge",
    "SGEPESlaveArray": "imp-parallel-sge",
    "SSHSlave": "imp-parallel-ssh",
    "SSHSlaveArray": "imp-parallel-ssh",
}
"""Which distribution brings which slave class, for hints only."""


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
        for plugin in more:
            name = getattr(plugin, "__name__", type(plugin).__name__)
            try:
                check(plugin, name)
            except Exception as problem:
                raise PluginError(f"plugin {name} can't be used: {problem}") from problem
            self._register(Plugin("given to Manager", name, plugin), is_given=True)

    def _register(self, found: Plugin, *, is_given: bool = False) -> None:
        if self._registry.is_registered(found.plugin):
            return
        self._registry.register(found.plugin, None if is_given else found.label)
        self._plugins.insert(0 if is_given else len(self._plugins), found)

    def launch(self, slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Accept) -> Launch:
        """Have slaves launched by the plugin that knows them.

        The plugin that brought the class of the slaves is asked first, so that the others need not
        even look at them.

        Raises PluginError if there is none, or whatever the plugin raises.
        """
        packages = {_package(kind) for kind in type(slaves).__mro__}
        others = [one for one in self._registry.get_plugins() if _package(one) not in packages]
        likely = self._registry.subset_hook_caller("imp_parallel_launch", others)
        launch: Launch | None = None
        for hook in (likely, self._registry.hook.imp_parallel_launch):
            if launch is None:
                launch = hook(slaves=slaves, bootstraps=bootstraps, accept=accept)
        if launch is None:
            raise PluginError(f"no installed plugin launches {slaves!r}; {self._describe()}")
        return launch

    def transport(self, name: str) -> Transport:
        """Return a new transport of that name.

        If several plugins bring one, a warning names them, and says which one is used.

        Raises PluginError if no plugin brings it.
        """
        answers = list(self._ask("imp_parallel_transport", name=name))
        brought = [answer for answer in answers if answer.value is not None]
        if not brought:
            failed = [
                f"{each.found.label} failed: {each.problem}" for each in answers if each.problem
            ]
            reasons = "; ".join([*failed, self._describe()])
            raise PluginError(f"no installed plugin brings the transport {name!r}; {reasons}")
        for unused in brought[1:]:
            with suppress(Exception, SystemExit):  # nobody uses it
                unused.value.close()
        _warn_of_several(f"a transport {name!r}", [answer.found for answer in brought])
        transport: Transport = brought[0].value
        return transport

    def slave_types(self) -> dict[str, type]:
        """Return all slave classes that the plugins bring, by name.

        If several plugins bring different classes of a name, a warning names them, and says which
        one is used.
        """
        brought: dict[str, dict[type, Plugin]] = {}
        for answer in self._ask("imp_parallel_slave_types"):
            if not isinstance(answer.value, Mapping):
                if not answer.problem:
                    _logger.warning("plugin %s: its slave types are no mapping", answer.found.label)
                continue
            for name, kind in answer.value.items():
                brought.setdefault(name, {}).setdefault(kind, answer.found)
        for name, kinds in brought.items():
            _warn_of_several(f"a slave class {name}", list(kinds.values()))
        return {name: next(iter(kinds)) for name, kinds in brought.items()}

    def _ask(self, hook: str, **arguments: object) -> Iterator[_Answer]:
        """Yield the answer of each plugin that has a hook, in the order of preference."""
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
                text = f"{type(problem).__name__}: {problem}"
                _logger.warning("plugin %s failed in %s: %s", found.label, hook, text)
                yield _Answer(found, None, text)
            else:
                yield _Answer(found, value)

    def observers(self) -> dict[str, Any]:
        """Return the function of each observer, by its plugin's name."""
        hook = self._registry.hook.imp_parallel_observe
        return {found.plugin_name: found.function for found in hook.get_hookimpls()}

    def _describe(self) -> str:
        given = [found.module for found in self._plugins if found not in self._found.plugins]
        text = self._found.describe()
        return f"{text}; given to Manager: {', '.join(given)}" if given else text


class _Answer(NamedTuple):
    """What a plugin has answered; None if it raised an exception, which ``problem`` tells."""

    found: Plugin
    value: Any
    problem: str = ""


def _warn_of_several(what: str, plugins: Sequence[Plugin]) -> None:
    """Say, once in a process, which of several plugins is used that bring the same."""
    if len(plugins) > 1:
        _warn(what, tuple(f"{found.label} ({found.module})" for found in plugins))


@cache
def _warn(what: str, plugins: Sequence[str]) -> None:
    _logger.warning(
        "%s bring %s each; that of %s is used. %s can leave the others out",
        " and ".join(plugins),
        what,
        plugins[0],
        DISABLE,
    )


def _package(thing: Any) -> str:
    """Return the name of the package that a class, or a plugin, comes from."""
    module = getattr(thing, "__module__", None) or getattr(thing, "__name__", "")
    return str(module).partition(".")[0]


def find_slave_type(name: str) -> type:
    """Return the slave class of that name, for ``from imp_parallel_core import …``.

    Raises ImportError with the distribution to install, AttributeError for any other name.
    """
    kind = Plugins().slave_types().get(name)
    if kind is not None:
        return kind
    distribution = KNOWN_DISTRIBUTIONS.get(name)
    if distribution is None:
        raise AttributeError(f"module 'imp_parallel_core' has no attribute {name!r}")
    found = find_plugins()
    why = found.broken.get(distribution)
    if why is not None:
        raise ImportError(f"{name} is in {distribution}, which is installed but broken: {why}")
    if distribution in found.left_out:
        raise ImportError(f"{name} is in {distribution}, which {DISABLE} leaves out")
    raise ImportError(f"{name} is in a plugin that is not installed: pip install {distribution}")
