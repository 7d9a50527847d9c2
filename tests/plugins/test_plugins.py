"""Plugins: a broken one is named and skipped, hooks are documented, observers disturb nothing."""

from __future__ import annotations

import inspect
import logging
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from imp_parallel_core import (
    Accept,
    Bootstrap,
    Event,
    EventsMissed,
    LaunchError,
    Manager,
    NoSlaveStartedError,
    PluginError,
    Slave,
    SlaveChanged,
    TasksSent,
    Transport,
    hookimpl,
)
from imp_parallel_core._engine.observers import Observers
from imp_parallel_core._plugins import hookspecs as _hookspecs
from imp_parallel_core._plugins import registry as _plugins
from imp_parallel_core._plugins.found import DISABLE, find_plugins

HOOKS = [name for name in vars(_hookspecs) if name.startswith("imp_parallel_")]


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
    made = SimpleNamespace(poll=dict, cancel=float, log_tail=str)

    class Asked:
        def __init__(self, module: str) -> None:
            self.__module__ = module

        @hookimpl
        def imp_parallel_launch(self, slaves: Slave) -> object:
            asked.append(self.__module__)
            return made if self.__module__ == __name__ else None

    plugins = _plugins.Plugins([Asked(__name__), Asked("stranger")])
    launch: object = plugins.launch(Mine(), [], lambda index, stream: None)
    assert launch is made
    assert asked == [__name__]


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_arguments(hook: str) -> None:
    specification = getattr(_hookspecs, hook)
    assert inspect.getdoc(specification)
    docs = Path(__file__).parents[2] / "docs"
    pages = [*docs.glob("plugin-*.md"), docs / "observers.md"]
    arguments = ", ".join(inspect.signature(specification).parameters)
    assert any(f"`{hook}({arguments})" in page.read_text() for page in pages)
    assert f"`{hook}`" in (docs / "plugins.md").read_text()


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (ImportError("no module named numpy"), "no module named numpy"),
        (SyntaxError("bad"), "bad"),
        (SystemExit(3), "SystemExit: 3"),
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


def test_a_check_that_exits_is_an_error_that_names_the_plugin(install: Any) -> None:
    class Exiting(Mine):
        def check(self) -> None:
            raise SystemExit(3)

    install(good=Launcher())
    said = (
        r"plugin dist-good failed in Exiting\.check\(\): SystemExit: 3 \(test_plugins\.py, line \d+"
    )
    with Manager(output=None) as manager, pytest.raises(PluginError, match=said):
        manager.add_slave(Exiting())


def test_a_plugin_given_by_hand_must_keep_the_contract(install: Any) -> None:
    install()
    with pytest.raises(PluginError, match="imp_parallel_lunch") as caught:
        Manager(plugins=[Misspelled()])
    for hook in HOOKS:
        assert hook in str(caught.value)


class BringsSlaves:
    """A plugin that brings a slave class of its own, by the same name as others."""

    def __init__(self) -> None:
        self.kind = type("Mine", (Slave,), {})

    @hookimpl
    def imp_parallel_slave_types(self) -> dict[str, type]:
        return {"Mine": self.kind}


class Carrier:
    """A transport that only notes whether it is closed."""

    dial = "nowhere:dial"
    slave_modules: Sequence[str] = ()
    is_closed = False

    def listen(self, host: str | None, port: int | range | None, accept: Accept) -> Sequence[str]:
        return ()

    def secret(self, index: int) -> bytes:
        return b""

    def close(self) -> None:
        self.is_closed = True


class BringsTransports:
    """A plugin that brings a transport, by the same name as others."""

    def __init__(self) -> None:
        self.made: list[Carrier] = []

    @hookimpl
    def imp_parallel_transport(self, name: str) -> Transport | None:
        if name != "cable":
            return None
        self.made.append(Carrier())
        return self.made[-1]


class Fails:
    """A plugin whose hooks raise, or exit."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind

    @hookimpl
    def imp_parallel_slave_types(self) -> dict[str, type]:
        raise self.kind("no names today")

    @hookimpl
    def imp_parallel_transport(self, name: str) -> None:
        raise self.kind("no transports today")


def test_two_plugins_that_bring_a_slave_class_of_one_name_are_named_once(
    install: Any, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = BringsSlaves(), BringsSlaves()
    install(two=other, one=one)
    for _ in range(2):
        assert _plugins.Plugins().slave_types()["Mine"] is one.kind
    (said,) = (record.getMessage() for record in caplog.records)
    assert said == (
        "dist-one (registry_of_plugins:one) and dist-two (registry_of_plugins:two) bring a slave "
        "class Mine each; that of dist-one (registry_of_plugins:one) is used. "
        "IMP_PARALLEL_DISABLE_PLUGINS can leave out plugins that are installed"
    )


def test_one_class_that_two_plugins_name_is_no_matter(
    install: Any, caplog: pytest.LogCaptureFixture
) -> None:
    install(one=Launcher(), two=Launcher())
    assert _plugins.Plugins().slave_types()["Mine"] is Mine
    assert caplog.text == ""


def test_two_plugins_that_bring_a_transport_of_one_name_are_named_and_one_is_closed(
    install: Any, caplog: pytest.LogCaptureFixture
) -> None:
    one, other = BringsTransports(), BringsTransports()
    install(two=other, one=one)
    assert _plugins.Plugins().transport("cable") is one.made[0]
    assert not one.made[0].is_closed
    assert other.made[0].is_closed
    assert "dist-one (registry_of_plugins:one) and dist-two" in caplog.text
    assert "a transport 'cable' each; that of dist-one (registry_of_plugins:one)" in caplog.text


def test_what_is_given_to_the_manager_is_preferred_to_what_is_installed(
    install: Any, caplog: pytest.LogCaptureFixture
) -> None:
    installed, given = BringsTransports(), BringsTransports()
    install(one=installed)
    assert _plugins.Plugins([given]).transport("cable") is given.made[0]
    assert "that of BringsTransports (given to Manager) is used. IMP_PARALLEL_DIS" in caplog.text


def test_of_two_transports_that_are_given_to_the_manager_the_last_is_used_and_that_is_told(
    install: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first, last = BringsTransports(), BringsTransports()
    install()
    assert _plugins.Plugins([first, last]).transport("cable") is last.made[0]
    assert "Of those given to Manager, the last comes first: give it one alone" in caplog.text
    assert DISABLE not in caplog.text, "which has no influence on them"


def test_a_plugin_that_is_given_to_the_manager_and_fails_is_named(
    install: Any, caplog: pytest.LogCaptureFixture
) -> None:
    install()
    with pytest.raises(PluginError, match=r"Fails \(given to Manager\) failed: RuntimeError"):
        _plugins.Plugins([Fails(RuntimeError)]).transport("cable")
    assert "plugin Fails (given to Manager) failed in imp_parallel_transport" in caplog.text


@pytest.mark.parametrize("kind", [RuntimeError, SystemExit])
def test_a_plugin_whose_hook_raises_or_exits_keeps_no_other_from_answering(
    install: Any, caplog: pytest.LogCaptureFixture, kind: type[BaseException]
) -> None:
    good, why = BringsTransports(), f"{kind.__name__}: no transports"
    install(bad=Fails(kind), good=good, launcher=Launcher())
    plugins = _plugins.Plugins()
    assert plugins.slave_types()["Mine"] is Mine
    assert plugins.transport("cable") is good.made[0]
    assert f"plugin dist-bad failed in imp_parallel_transport: {why}" in caplog.text
    with pytest.raises(PluginError, match=f"'rope'; dist-bad failed: {why}"):
        plugins.transport("rope")


class Wraps:
    """A plugin that looks at the answers of others, as pluggy lets it, and answers nonsense."""

    @hookimpl(wrapper=True)
    def imp_parallel_transport(self, name: str) -> Generator[None, object, object]:
        return (yield)

    @hookimpl
    def imp_parallel_slave_types(self) -> list[type]:
        return [Mine]


def test_what_is_no_mapping_of_slave_types_is_told_and_a_wrapper_brings_no_transport(
    install: Any, caplog: pytest.LogCaptureFixture
) -> None:
    good = BringsTransports()
    install(good=good, launcher=Launcher(), wraps=Wraps())
    plugins = _plugins.Plugins()
    assert plugins.slave_types()["Mine"] is Mine
    assert "plugin dist-wraps: its slave types are no mapping" in caplog.text
    assert plugins.transport("cable") is good.made[0]
    assert "bring a transport" not in caplog.text


@pytest.mark.parametrize("name", ["bad", "dist-bad", " DIST_BAD ,", "bad,dist-bad"])
def test_a_plugin_can_be_left_out_by_its_name_or_that_of_its_distribution(
    install: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    monkeypatch.setenv(DISABLE, name)
    install(bad=ImportError("never loaded"), good=Launcher())
    plugins = _plugins.Plugins()
    assert plugins.slave_types()["Mine"] is Mine
    assert caplog.text == ""
    with pytest.raises(PluginError, match=r"left out by IMP_PARALLEL_DISABLE_PLUGINS: dist-bad\n"):
        plugins.transport("cable")


def test_a_name_that_means_no_plugin_is_told(
    install: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(DISABLE, "god,good")
    install(good=Launcher())
    find_plugins()
    assert "leaves out 'god', but no plugin of that name is installed; there are: " in caplog.text
    assert "dist-good (good)" in caplog.text
    assert "'good'" not in caplog.text


def test_all_plugins_of_a_distribution_are_loaded_and_told_apart(
    install: Any, tmp_path: Path
) -> None:
    watcher = BringsTransports()
    install(one=Launcher(), two=watcher)
    entry_points = tmp_path / "site/dist_one-1.0.dist-info/entry_points.txt"
    entry_points.write_text(entry_points.read_text() + "more = registry_of_plugins:two\n")
    labels = [found.label for found in find_plugins().plugins if "dist-" in found.label]
    assert labels == ["dist-one (one)", "dist-one (more)", "dist-two"]
    assert _plugins.Plugins().transport("cable") is watcher.made[0]
    assert len(watcher.made) == 1, "what two entry points name is one plugin"


def test_the_bootstrap_of_a_slave_tells_for_how_long_it_is_waited_for(
    install: Any, tmp_path: Path
) -> None:
    got: list[Bootstrap] = []
    told = threading.Event()

    class Takes:
        @hookimpl
        def imp_parallel_launch(self, slaves: Slave, bootstraps: Sequence[Bootstrap]) -> None:
            got.extend(bootstraps)
            told.set()

    install()
    with Manager(output=None, plugins=[Takes()]) as manager:
        manager.connect_timeout, manager.reconnect_timeout = 7.0, 8.0
        manager.add_slave(Mine())
        assert told.wait(20)
    assert (got[0].connect_timeout_s, got[0].reconnect_timeout_s) == (7.0, 8.0)


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

    observers = Observers([("bad-plugin", bad), ("good-plugin", good)])
    observers.tell(SlaveChanged(1.0, "slave 0", "idle"))
    while not seen:
        pass
    observers.tell(SlaveChanged(2.0, "slave 0", "gone"))
    assert both.wait(10)
    observers.close()
    assert calls == ["bad"]
    assert caplog.text.count("bad-plugin") == 1


def test_an_observer_that_fails_is_named_as_the_script_names_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing:
        @hookimpl
        def imp_parallel_observe(self, events: Sequence[Event]) -> None:
            raise RuntimeError("mine")

    with Manager(plugins=[Failing(), Failing()]):
        pass
    assert caplog.text.count("observer Failing (given to Manager) failed") == 2


def test_a_class_in_the_place_of_a_plugin_is_refused_at_once() -> None:
    class Observer:
        @hookimpl
        def imp_parallel_observe(self, events: Sequence[Event]) -> None:
            """Would miss its self."""

    with pytest.raises(PluginError, match=r"it is a class: .*, such as Observer\(\)"):
        Manager(plugins=[Observer])


def test_a_slow_observer_loses_events_and_learns_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imp_parallel_core._engine.observers._QUEUE_LIMIT", 10)
    go = threading.Event()
    seen: list[Event] = []

    def slow(events: Sequence[Event]) -> None:
        go.wait(10)
        seen.extend(events)

    observers = Observers([("slow", slow)])
    for number in range(50):
        observers.tell(SlaveChanged(float(number), "slave 0", "idle"))
    go.set()
    observers.close()
    missed = sum([event.count for event in seen if isinstance(event, EventsMissed)])
    assert missed > 0
    assert missed + sum(isinstance(event, SlaveChanged) for event in seen) == 50


def test_tasks_in_events_count_to_what_a_slow_observer_may_have_queued(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("imp_parallel_core._engine.observers._QUEUE_LIMIT", 10)
    is_in, go = threading.Event(), threading.Event()
    seen: list[Event] = []

    def slow(events: Sequence[Event]) -> None:
        is_in.set()
        go.wait(10)
        seen.extend(events)

    observers = Observers([("slow", slow)])
    observers.tell(SlaveChanged(0.0, "slave 0", "idle"))
    assert is_in.wait(10)
    for number in range(5):
        observers.tell(TasksSent(1.0, 1, "slave 0", (number,) * 5, (1,) * 5), 5, outcomes=3)
    go.set()
    observers.close()
    assert [type(event) for event in seen] == [SlaveChanged, TasksSent, TasksSent, EventsMissed]
    assert isinstance(missed := seen[-1], EventsMissed)
    assert (missed.count, missed.tasks) == (3, 9)


def test_observers_are_called_a_few_times_in_a_second_however_many_events_there_are() -> None:
    calls: list[int] = []
    observers = Observers([("counting", lambda events: calls.append(len(events)))])
    began_at = time.monotonic()
    while time.monotonic() < began_at + 0.5:
        observers.tell(SlaveChanged(0.0, "slave 0", "idle"))
    observers.close()
    took_s = time.monotonic() - began_at
    assert len(calls) <= 20 * took_s + 2
    assert sum(calls) > len(calls)


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


@pytest.mark.parametrize("plugins", [object(), "imp_parallel_view", 3, None])
def test_plugins_that_are_no_list_are_refused_with_what_to_write(plugins: Any) -> None:
    with pytest.raises(TypeError, match=r"it must be a list, also of one plugin: Manager\(plugins"):
        Manager(output=None, plugins=plugins)
