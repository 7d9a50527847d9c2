"""Plugins: a broken one is named and skipped, hooks are documented, observers disturb nothing."""

from __future__ import annotations

import inspect
import logging
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from imp_parallel_core import (
    Event,
    EventsMissed,
    LaunchError,
    Manager,
    NoSlaveStartedError,
    PluginError,
    Slave,
    SlaveChanged,
    hookimpl,
)
from imp_parallel_core._engine.observers import Observers
from imp_parallel_core._plugins import hookspecs as _hookspecs
from imp_parallel_core._plugins import registry as _plugins

HOOKS = [name for name in vars(_hookspecs) if name.startswith("imp_parallel_")]


class Registry(ModuleType):
    """A module of plugins; to get one that is an exception raises it."""

    def __init__(self, plugins: dict[str, object]) -> None:
        super().__init__("registry_of_plugins")
        self._plugins = plugins

    def __getattr__(self, name: str) -> object:
        plugin = self._plugins[name]
        if isinstance(plugin, Exception):
            raise plugin
        return plugin


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a function that installs plugins: distributions in a folder on ``sys.path``."""

    def install_all(**plugins: object) -> None:
        monkeypatch.setitem(sys.modules, "registry_of_plugins", Registry(plugins))
        for name in plugins:
            folder = tmp_path / "site" / f"dist_{name}-1.0.dist-info"
            folder.mkdir(parents=True)
            (folder / "METADATA").write_text(f"Name: dist-{name}\nVersion: 1.0\n")
            (folder / "entry_points.txt").write_text(
                f"[imp_parallel]\n{name} = registry_of_plugins:{name}\n"
            )
        monkeypatch.syspath_prepend(str(tmp_path / "site"))
        _plugins.find_plugins.cache_clear()

    yield install_all
    monkeypatch.undo()
    _plugins.find_plugins.cache_clear()


class Mine(Slave):
    """A slave that the plugins of these tests know."""


class Launcher:
    """A plugin whose launches fail."""

    @hookimpl
    def imp_parallel_launch(self, slaves: Slave, bootstraps: Sequence[object]) -> None:
        if isinstance(slaves, Mine):
            raise LaunchError("out of order")

    @hookimpl
    def imp_parallel_slave_types(self) -> dict[str, type]:
        return {"Mine": Mine}


class Misspelled:
    """A plugin with a hook that does not exist."""

    @hookimpl
    def imp_parallel_lunch(self, slaves: Slave) -> None:
        """Do nothing."""


class OtherArguments:
    """A plugin whose hook has an argument that does not exist."""

    @hookimpl
    def imp_parallel_launch(self, slave: Slave) -> None:
        """Do nothing."""


def test_the_plugin_that_brings_a_class_is_asked_first_to_launch_it() -> None:
    asked = []

    class Asked:
        def __init__(self, module: str) -> None:
            self.__module__ = module

        @hookimpl
        def imp_parallel_launch(self, slaves: Slave) -> str | None:
            asked.append(self.__module__)
            return "launch" if self.__module__ == __name__ else None

    plugins = _plugins.Plugins([Asked(__name__), Asked("stranger")])
    launch: object = plugins.launch(Mine(), [], lambda index, stream: None)
    assert launch == "launch"
    assert asked == [__name__]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented(hook: str) -> None:
    specification = getattr(_hookspecs, hook)
    assert inspect.getdoc(specification)
    page = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text()
    arguments = ", ".join(inspect.signature(specification).parameters)
    assert f"`{hook}({arguments})" in page


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (ImportError("no module named numpy"), "no module named numpy"),
        (SyntaxError("bad"), "bad"),
        (Misspelled(), "imp_parallel_lunch"),
        (OtherArguments(), "slave"),
        (object(), "implements no hook"),
    ],
)
def test_a_broken_plugin_is_named_and_skipped(
    install: Any, broken: object, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "imp_parallel"):
        install(broken=broken, good=Launcher())
        plugins = _plugins.Plugins()
    assert "dist-broken" in caplog.text
    assert words in caplog.text
    assert plugins.slave_types()["Mine"] is Mine


def test_a_slave_that_no_plugin_launches_is_an_error_that_lists_the_plugins(
    install: Any, tmp_path: Path
) -> None:
    install(good=Launcher(), broken=ImportError("no numpy"))
    with Manager(output=str(tmp_path / "slave%d.output")) as manager:
        manager.add_slave(Slave())
        context = manager.get_context()
        context.add_task(int)
        with pytest.raises(NoSlaveStartedError) as caught:
            next(context.get_results_unordered())
    for words in ("no installed plugin launches Slave()", "dist-good", "dist-broken", "no numpy"):
        assert words in str(caught.value)


def test_what_a_launcher_raises_is_the_reason(install: Any, tmp_path: Path) -> None:
    install(good=Launcher())
    with Manager(output=str(tmp_path / "slave%d.output")) as manager:
        manager.add_slave(Mine())
        context = manager.get_context()
        context.add_task(int)
        with pytest.raises(NoSlaveStartedError, match="out of order"):
            next(context.get_results_unordered())


def test_what_check_raises_is_raised_by_add_slave(install: Any) -> None:
    class Checked(Slave):
        def check(self) -> None:
            raise LaunchError("qsub is not in the PATH")

    install()
    with Manager() as manager, pytest.raises(LaunchError, match="qsub is not"):
        manager.add_slave(Checked())


def test_a_plugin_given_by_hand_must_keep_the_contract(install: Any) -> None:
    install()
    with pytest.raises(PluginError, match="imp_parallel_lunch"):
        Manager(plugins=[Misspelled()])


def test_slave_classes_can_be_imported_from_the_core(
    install: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(good=Launcher())
    monkeypatch.setitem(_plugins.KNOWN_DISTRIBUTIONS, "MissingSlave", "imp-parallel-missing")
    assert _plugins.find_slave_type("Mine") is Mine
    with pytest.raises(AttributeError):
        _plugins.find_slave_type("Yours")
    with pytest.raises(ImportError, match="pip install imp-parallel-missing"):
        _plugins.find_slave_type("MissingSlave")


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit])
def test_an_observer_that_raises_is_reported_once_and_muted(
    kind: type[BaseException],
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls: list[str] = []
    seen: list[Event] = []
    both = threading.Event()

    def bad(events: Sequence[Event]) -> None:
        calls.append("bad")
        raise kind("I am broken")

    def good(events: Sequence[Event]) -> None:
        seen.extend(events)
        if len(seen) >= 2:
            both.set()

    observers = Observers({"bad-plugin": bad, "good-plugin": good})
    observers.tell(SlaveChanged(1.0, "slave 0", "idle"))
    while not seen:
        pass
    observers.tell(SlaveChanged(2.0, "slave 0", "gone"))
    assert both.wait(10)
    observers.close()
    assert calls == ["bad"]
    assert caplog.text.count("bad-plugin") == 1


def test_a_slow_observer_loses_events_and_learns_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imp_parallel_core._engine.observers._QUEUE_LIMIT", 10)
    go = threading.Event()
    seen: list[Event] = []

    def slow(events: Sequence[Event]) -> None:
        go.wait(10)
        seen.extend(events)

    observers = Observers({"slow": slow})
    for number in range(50):
        observers.tell(SlaveChanged(float(number), "slave 0", "idle"))
    go.set()
    observers.close()
    missed = sum([event.count for event in seen if isinstance(event, EventsMissed)])
    assert missed > 0
    assert missed + sum(isinstance(event, SlaveChanged) for event in seen) == 50


def test_observers_of_a_run_see_slaves_and_failures(install: Any, tmp_path: Path) -> None:
    seen: list[Event] = []

    class Watcher:
        @hookimpl
        def imp_parallel_observe(self, events: Sequence[Event]) -> None:
            seen.extend(events)

    install(good=Launcher())
    with Manager(output=str(tmp_path / "slave%d.output"), plugins=[Watcher()]) as manager:
        manager.add_slave(Mine())
        context = manager.get_context()
        context.add_task(int)
        with pytest.raises(NoSlaveStartedError):
            next(context.get_results_unordered())
    states = [event.state for event in seen if isinstance(event, SlaveChanged)]
    assert states == ["launching", "gone"]
