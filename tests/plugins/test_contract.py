"""A plugin whose answer breaks the contract is named, and told what it should have answered."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from imp_parallel_core import LaunchError, LaunchPhase, LaunchState, PluginError, Slave, hookimpl
from imp_parallel_core._plugins import registry
from imp_parallel_core._plugins.contract import (
    checked_addresses,
    checked_secret,
    checked_states,
    checked_text,
    checked_words,
)
from imp_parallel_core._plugins.registry import Plugins

QUEUED = LaunchState(LaunchPhase.QUEUED)


class Answers:
    """A plugin whose hooks all return the same."""

    def __init__(self, answer: object) -> None:
        self.answer = answer

    @hookimpl
    def imp_parallel_launch(self, slaves: Slave) -> object:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    @hookimpl
    def imp_parallel_transport(self, name: str) -> object:
        return self.answer

    @hookimpl
    def imp_parallel_slave_types(self) -> object:
        return self.answer


class GoodLaunch:
    """Has what a Launch has, and is a class."""

    command = ()

    def poll(self) -> dict[int, LaunchState]:
        return {}

    def cancel(self, grace_s: float) -> None:
        pass

    def log_tail(self, index: int) -> str:
        return ""


class GoodTransport:
    """Has what a Transport has."""

    dial = "nowhere:dial"
    slave_modules: Sequence[str] = ("nowhere",)

    def listen(self, *arguments: object) -> Sequence[str]:
        return ()

    def secret(self, index: int) -> bytes:
        return b""

    def close(self) -> None:
        pass


def launch(plugin: object) -> Any:
    return Plugins([plugin]).launch(Slave(), [], lambda index, stream: None)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (True, "True (of type bool), which is no Launch: it has no method poll"),
        (GoodLaunch, "it is a class, and not an object"),
        ([], "[] (of type list)"),
    ],
)
def test_a_launcher_that_returns_no_launch_is_named_at_once(answer: object, why: str) -> None:
    with pytest.raises(PluginError) as caught:
        launch(Answers(answer))
    said = str(caught.value)
    assert said.startswith("plugin Answers (given to Manager): imp_parallel_launch returned ")
    assert why in said
    assert "It must return a Launch" in said


def test_a_launcher_that_fails_is_named_with_the_line_and_an_error_of_the_library_is_its_own() -> (
    None
):
    made = GoodLaunch()
    assert launch(Answers(made)) is made
    source, first = inspect.getsourcelines(Answers.imp_parallel_launch)
    line = first + next(number for number, text in enumerate(source) if "raise" in text)
    for problem in (KeyError("colour"), SystemExit("colour")):
        with pytest.raises(PluginError) as caught:
            launch(Answers(problem))
        assert str(caught.value) == (
            "plugin Answers (given to Manager) failed in imp_parallel_launch: "
            f"{type(problem).__name__}: {problem} (test_contract.py, line {line}, "
            "in imp_parallel_launch)\nMore: imp-parallel explain plugin-fails"
        )
    with pytest.raises(LaunchError, match=r"^out of order$"):
        launch(Answers(LaunchError("out of order")))


def test_what_is_no_transport_is_told_with_the_plugin_and_another_is_used() -> None:
    good, cable = GoodTransport(), Answers(None)
    cable.answer = good
    without_dial = GoodTransport()
    without_dial.dial = None  # type: ignore[assignment]  # that is the point
    with_text = GoodTransport()
    with_text.slave_modules = "nowhere"
    for bad, why in (
        (5, "it has no method listen"),
        (GoodTransport, "it is a class"),
        (without_dial, "its attribute dial"),
        (with_text, "its attribute slave_modules"),
    ):
        with pytest.raises(PluginError) as caught:
            Plugins([Answers(bad)]).transport("cable")
        assert "Answers (given to Manager) failed: it returned " in str(caught.value)
        assert why in str(caught.value)
        used: object = Plugins([cable, Answers(bad)]).transport("cable")
        assert used is good


@pytest.mark.parametrize(
    ("kinds", "why"),
    [
        ([Slave], "its slave types are no mapping: [<class"),
        ({"Manager": Slave}, "'Manager' can't be imported: imp_parallel_core has something else"),
        ({"mule": Slave}, "'mule' can't be imported: its name must be"),
        ({3: Slave}, "3 can't be imported: its name must be"),
        ({"Mule": [1]}, "'Mule' can't be imported: it is [1] (of type list), and no class"),
    ],
)
def test_a_slave_type_that_nobody_can_import_is_told_and_the_others_can_be(
    kinds: object, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    registry.warn.cache_clear()
    plugins = Plugins([Answers({"Good": Slave}), Answers(kinds)])
    with caplog.at_level(logging.WARNING, "imp_parallel"):
        for _ in range(2):
            assert plugins.slave_types(["Manager"])["Good"] is Slave
    (said,) = (text for text in caplog.messages if "Answers" in text)
    assert said.startswith("plugin Answers (given to Manager): its slave type")
    assert why in said


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([QUEUED], r"it returned \[.*\(of type list\), and it must return a mapping"),
        ({"0": QUEUED}, r"the slave '0' \(of type str\).*bootstrap.index"),
        ({0: LaunchPhase.QUEUED}, "is no LaunchState"),
        ({0: ("QUEUED", "", None)}, "the phase of .*LaunchPhase.QUEUED"),
        ({0: (LaunchPhase.QUEUED, None, None)}, "the detail of .* must be a text"),
        ({0: (LaunchPhase.QUEUED, "", "1")}, "the exit_code of .* must be a number, or None"),
    ],
)
def test_an_answer_of_poll_that_breaks_the_contract_is_told_by_what_is_wrong(
    answer: object, why: str
) -> None:
    assert checked_states({0: QUEUED}) == {0: QUEUED}
    with pytest.raises(TypeError, match=why):
        checked_states(answer)


def test_texts_addresses_and_secrets_of_other_types_are_refused() -> None:
    assert checked_text("words") == "words"
    with pytest.raises(TypeError, match=r"None .* must be a text"):
        checked_text(None)
    assert checked_addresses("cable", ["a:1"]) == ("a:1",)
    for bad in (None, "a:1", [1]):
        with pytest.raises(PluginError, match=r"'cable' is broken: listen\(\) returned"):
            checked_addresses("cable", bad)
    assert checked_secret("cable", b"s") == b"s"
    with pytest.raises(PluginError, match=r"secret\(\) must return bytes.*type str") as caught:
        checked_secret("cable", "hush")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("bad", ["nice python", None, ["nice", 5], []])
def test_what_is_no_command_line_is_refused(bad: object) -> None:
    with pytest.raises(TypeError, match="command line"):
        checked_words(bad)
