"""The command imp-parallel plugins: what is installed, what each plugin brings, what is broken."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest

from imp_parallel_core import Event, Slave, Subcommand, Transport, __version__, hookimpl
from imp_parallel_core._commands.main import main
from imp_parallel_core._plugins.found import DISABLE, find_plugins
from tests.commands.test_main import Bringing, Greet


class Mine(Slave):
    """A slave that comes over a transport of its plugin's."""

    transport = "pigeon"


class Host:
    """A class of hosts."""


class Pigeon:
    """A transport that carries nothing."""

    dial = "pigeon:dial"
    slave_modules = ("pigeon",)
    closed = 0

    def listen(self, *args: object) -> Sequence[str]:
        return ()

    def secret(self, index: int) -> bytes:
        return b""

    def close(self) -> None:
        Pigeon.closed += 1


class Everything:
    """A plugin with all hooks but that of launches."""

    @hookimpl
    def imp_parallel_slave_types(self) -> Mapping[str, type]:
        return {"Mine": Mine, "Host": Host}

    @hookimpl
    def imp_parallel_transport(self, name: str) -> Transport | None:
        return Pigeon() if name == "pigeon" else None  # type: ignore[return-value]  # it is enough

    @hookimpl
    def imp_parallel_observe(self, events: Sequence[Event]) -> None:
        pass

    @hookimpl
    def imp_parallel_commands(self) -> Sequence[Subcommand]:
        return [Greet()]


class Explaining:
    """A plugin that explains what it was given."""

    def __init__(self, text: str) -> None:
        self.text = text

    @hookimpl
    def imp_parallel_explanations(self) -> str:
        return self.text


class Wrong:
    """A plugin whose hooks answer what can't be used."""

    @hookimpl
    def imp_parallel_slave_types(self) -> Mapping[str, type]:
        return {"mine": Mine, "Mine": type("Mine", (Slave,), {})}

    @hookimpl
    def imp_parallel_transport(self, name: str) -> Transport | None:
        return "a pigeon"  # type: ignore[return-value]

    @hookimpl
    def imp_parallel_commands(self) -> Sequence[Subcommand]:
        raise ValueError("no \x1b licence")


@pytest.fixture
def listed(
    install: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Any]:
    """Return a function that installs plugins, and returns what the command says of them."""

    def listing(*arguments: str, exit_code: int = 0, **plugins: object) -> str:
        install(**plugins)
        assert main(["plugins", *arguments]) == exit_code
        said = capsys.readouterr()
        assert said.err == ""
        return said.out

    yield listing
    monkeypatch.undo()
    find_plugins.cache_clear()


def block_of(name: str, text: str) -> list[list[str]]:
    """Return the lines below a plugin's name, in words."""
    (block,) = re.findall(rf"^{name}.*\n((?: .*\n)*)", text, re.MULTILINE)
    return [line.split(maxsplit=1) for line in block.splitlines()]


def test_each_plugin_is_listed_with_its_version_and_what_it_brings(listed: Any) -> None:
    said = listed(all=Everything())
    assert said.startswith(f"imp-parallel-core {__version__}\n")
    assert block_of("dist-all 1.0\n".strip(), said) == [
        ["slaves", "Mine"],
        ["hosts", "Host"],
        ["transports", "pigeon"],
        ["commands", "greet"],
        ["observes", "the events of each Manager"],
    ]
    assert ["slaves", "LocalSlave, LocalSlaves"] in block_of("imp-parallel-local", said)
    assert ["observers", "Live, ProgressBar, Record"] in block_of("imp-parallel-view", said)


def test_a_transport_that_was_made_for_the_list_is_closed_again(listed: Any) -> None:
    before = Pigeon.closed
    listed(all=Everything())
    assert Pigeon.closed == before + 1


def test_what_is_broken_is_listed_with_the_reason_and_gives_the_exit_code_1(listed: Any) -> None:
    said = listed(all=Everything(), broken=ImportError("no module named numpy"), exit_code=1)
    assert block_of("dist-broken 1.0", said) == [["BROKEN", "ImportError: no module named numpy"]]
    assert ["slaves", "Mine"] in block_of("dist-all", said)


def test_what_is_wrong_with_a_part_of_a_plugin_is_listed_with_the_plugin(listed: Any) -> None:
    rows = block_of("dist-wrong", listed(wrong=Wrong(), exit_code=1))
    problems = [what for title, what in rows if title == "BROKEN"]
    assert ["slaves", "Mine"] in rows, "the class that can be used is lost"
    for words in ("'mine' can't be used", r"no \x1b licence", "'a pigeon'"):
        assert any(words in problem for problem in problems), problems


def test_of_two_plugins_that_bring_the_same_the_second_says_that_it_is_not_used(
    listed: Any,
) -> None:
    said = listed(one=Bringing([Greet()]), two=Bringing([Greet()]), exit_code=1)
    assert block_of("dist-one", said) == [["commands", "greet"]]
    ((_, problem),) = block_of("dist-two", said)
    assert "dist-one brings one of that name" in problem


def test_the_keys_of_what_a_plugin_explains_are_listed_with_it(listed: Any) -> None:
    said = listed(
        rain=Explaining("(wet-feet)=\n### it rains\n\nTake boots."),
        snow=Explaining("(wet-feet)=\n### it snows\n\nTake boots."),
        sun=Explaining("Wear a hat."),
        exit_code=1,
    )
    assert block_of("dist-rain", said) == [["explains", "wet-feet"]]
    ((_, snow),), ((_, sun),) = block_of("dist-snow", said), block_of("dist-sun", said)
    assert "dist-rain brings one of that name" in snow
    assert "its explanations can't be used: the explanations must begin with the key" in sun


def test_a_plugin_that_is_left_out_is_listed_as_disabled(
    listed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DISABLE, "dist-all")
    assert block_of("dist-all", listed(all=Everything())) == [
        ["disabled", f"{DISABLE} leaves it out"]
    ]


def test_the_list_is_there_as_json_too(listed: Any) -> None:
    data = json.loads(listed("--json", all=Everything(), bad=SystemExit(3), exit_code=1))
    assert data["versions"]["imp-parallel-core"] == __version__
    assert "rerun" in data["commands"]
    (one,) = [each for each in data["plugins"] if each["plugin"] == "dist-all"]
    assert (one["slaves"], one["transports"]) == (["Mine"], ["pigeon"])
    assert [each["problem"] for each in data["broken"]] == ["SystemExit: 3"]
