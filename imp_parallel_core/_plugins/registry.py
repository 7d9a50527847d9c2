"""Finding plugins, and calling their hooks.

Entry points are loaded one by one, so that a broken plugin is named and skipped, and stops no
other. The core has no plugin of its own, and knows none by name but for hints in errors.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import pluggy

from .._errors import PluginError
from .._light_typing import NamedTuple
from . import hookspecs as _hookspecs
from .entry_points import find_entry_points

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


class Found(NamedTuple):
    """The plugins that are installed: those that could be loaded, and why the others could not."""

    plugins: dict[str, Any]
    broken: dict[str, str]


@cache
def find_plugins() -> Found:
    """Load all installed plugins, once in a process."""
    found = Found({}, {})
    for entry_point in find_entry_points(_hookspecs.PROJECT):
        name = entry_point.distribution
        try:
            plugin = entry_point.load()
            _check(plugin, name)
        except Exception as problem:  # a stranger's code: it may fail in any way
            found.broken[name] = f"{type(problem).__name__}: {problem}"
            _logger.warning("plugin %s can't be used: %s", name, found.broken[name])
        else:
            found.plugins[name] = plugin
    return found


def _new_registry() -> pluggy.PluginManager:
    registry = pluggy.PluginManager(_hookspecs.PROJECT)
    registry.add_hookspecs(_hookspecs)
    return registry


def _check(plugin: Any, name: str) -> None:
    """Raise if a plugin has a hook that does not exist, or with other arguments."""
    registry = _new_registry()
    registry.register(plugin, name)
    registry.check_pending()
    if not registry.get_hookcallers(plugin):
        raise PluginError("it implements no hook of imp_parallel (see docs/plugins.md)")


class Plugins:
    """The plugins of one Manager.

    Args:
        more: plugins that are not installed, such as the caller's own.

    Raises PluginError if one of those breaks the contract.
    """

    def __init__(self, more: Iterable[Any] = ()) -> None:
        found = find_plugins()
        self._broken = found.broken
        self._registry = _new_registry()
        for name, plugin in found.plugins.items():
            self._registry.register(plugin, name)
        for plugin in more:
            name = getattr(plugin, "__name__", type(plugin).__name__)
            try:
                _check(plugin, name)
            except Exception as problem:
                raise PluginError(f"plugin {name} can't be used: {problem}") from problem
            if not self._registry.is_registered(plugin):
                self._registry.register(plugin)

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
        """Return a new transport of that name. Raises PluginError if no plugin brings it."""
        transport: Transport | None = self._registry.hook.imp_parallel_transport(name=name)
        if transport is None:
            raise PluginError(
                f"no installed plugin brings the transport {name!r}; {self._describe()}"
            )
        return transport

    def slave_types(self) -> dict[str, type]:
        """Return all slave classes that the plugins bring, by name."""
        types: dict[str, type] = {}
        for more in self._registry.hook.imp_parallel_slave_types():
            types.update(more)
        return types

    def observers(self) -> dict[str, Any]:
        """Return the function of each observer, by its plugin's name."""
        hook = self._registry.hook.imp_parallel_observe
        return {found.plugin_name: found.function for found in hook.get_hookimpls()}

    def _describe(self) -> str:
        names = [name for name, _ in self._registry.list_name_plugin()]
        text = f"installed: {', '.join(names) or 'none'}"
        if self._broken:
            broken = "; ".join(f"{name} ({why})" for name, why in self._broken.items())
            text += f"; broken: {broken}"
        return text


def _package(thing: Any) -> str:
    """Return the name of the package that a class, or a plugin, comes from."""
    module = getattr(thing, "__module__", None) or getattr(thing, "__name__", "")
    return str(module).partition(".")[0]


def find_slave_type(name: str) -> type:
    """Return the slave class of that name, for ``from imp_parallel_core import …``.

    Raises ImportError with the distribution to install, AttributeError for any other name.
    """
    found = Plugins().slave_types().get(name)
    if found is not None:
        return found
    distribution = KNOWN_DISTRIBUTIONS.get(name)
    if distribution is None:
        raise AttributeError(f"module 'imp_parallel_core' has no attribute {name!r}")
    why = find_plugins().broken.get(distribution)
    if why is not None:
        raise ImportError(f"{name} is in {distribution}, which is installed but broken: {why}")
    raise ImportError(f"{name} is in a plugin that is not installed: pip install {distribution}")
