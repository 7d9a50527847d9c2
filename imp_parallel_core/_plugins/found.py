"""The plugins that are installed: loaded one by one, but for those that the user leaves out.

A broken plugin is named and skipped, and stops no other.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

import pluggy

from .._errors import PluginError
from .._light_typing import NamedTuple
from . import hookspecs as _hookspecs
from .contract import described
from .entry_points import EntryPoint, canonical, find_entry_points

_logger = logging.getLogger("imp_parallel.plugins")

DISABLE = "IMP_PARALLEL_DISABLE_PLUGINS"
"""The environment variable that leaves plugins out: names of distributions or of their entry
points, with commas between them."""


class Plugin(NamedTuple):
    """A plugin that could be loaded."""

    label: str
    """What messages call it: its distribution, and the entry point if there are several."""

    module: str
    """What the entry point names."""

    plugin: Any

    is_given: bool = False
    """Whether it is not installed, but was given to the Manager."""

    @property
    def full_name(self) -> str:
        """Its label, and what the entry point names."""
        return self.label if self.is_given else f"{self.label} ({self.module})"


class Found(NamedTuple):
    """What is installed: plugins, why others could not be loaded, and those that are left out."""

    plugins: list[Plugin]
    broken: dict[str, str]
    left_out: list[str]

    def describe(self) -> str:
        """Return all that is installed, for messages."""
        text = f"installed: {', '.join(found.label for found in self.plugins) or 'none'}"
        if self.left_out:
            text += f"; left out by {DISABLE}: {', '.join(self.left_out)}"
        if self.broken:
            text += f"; broken: {'; '.join(f'{name} ({why})' for name, why in self.broken.items())}"
        return text


@cache
def find_plugins() -> Found:
    """Load all installed plugins, once in a process."""
    entry_points = sorted(find_entry_points(_hookspecs.PROJECT))
    counts = Counter(each.distribution for each in entry_points)
    found = Found([], {}, [])
    disabled = _disabled(entry_points)
    for each in entry_points:
        label = each.distribution
        if counts[label] > 1:
            label += f" ({each.name})"
        if each in disabled:
            found.left_out.append(label)
            continue
        try:
            plugin = each.load()
            check(plugin, label)
        except KeyboardInterrupt:  # a Ctrl-C of the user's
            raise
        except BaseException as problem:  # a stranger's code: it may fail, or exit, in any way
            found.broken[label] = described(problem)
            _logger.warning("plugin %s can't be used: %s", label, found.broken[label])
        else:
            found.plugins.append(Plugin(label, each.value, plugin))
    return found


def _disabled(entry_points: Sequence[EntryPoint]) -> set[EntryPoint]:
    """Return the plugins that the user leaves out; warn of names that mean none."""
    disabled: set[EntryPoint] = set()
    for word in filter(None, map(str.strip, os.environ.get(DISABLE, "").split(","))):
        meant = {
            each
            for each in entry_points
            if word == each.name or canonical(word) == each.distribution
        }
        disabled |= meant
        if not meant:
            names = ", ".join(f"{each.distribution} ({each.name})" for each in entry_points)
            _logger.warning(
                "%s leaves out %r, but no plugin of that name is installed; there are: %s",
                DISABLE,
                word,
                names or "none",
            )
    return disabled


def new_registry() -> pluggy.PluginManager:
    """Return a registry that knows the hooks and no plugin."""
    registry = pluggy.PluginManager(_hookspecs.PROJECT)
    registry.add_hookspecs(_hookspecs)
    return registry


def check(plugin: Any, name: str) -> None:
    """Raise if a plugin is a class, or has a hook that does not exist, or with other arguments."""
    if isinstance(plugin, type):
        raise PluginError(f"it is a class: an object of it is needed, such as {name}()")
    registry = new_registry()
    registry.register(plugin, name)
    try:
        registry.check_pending()
    except pluggy.PluginValidationError as problem:
        hooks = ", ".join(name for name in vars(_hookspecs) if name.startswith("imp_parallel_"))
        raise PluginError(f"{problem} (the hooks are: {hooks})") from problem
    if not registry.get_hookcallers(plugin):
        raise PluginError("it implements no hook of imp_parallel (docs/plugins.md names them)")


def given_plugins(more: Any) -> list[Any]:
    """Return the plugins that a Manager is given. Raises TypeError."""
    try:
        if not isinstance(more, str):
            return list(more)
    except TypeError:
        pass
    raise TypeError(
        f"plugins={more!r}: it must be a list, also of one plugin: Manager(plugins=[…])"
    ) from None
