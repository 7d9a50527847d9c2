"""The command imp-parallel: the core's subcommands, and those of plugins."""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from imp_parallel_core import LaunchError, Subcommand, hookimpl
from imp_parallel_core._commands.main import main

COMMAND = str(Path(sys.executable).with_name("imp-parallel"))


class Greet:
    """A subcommand as a plugin writes it."""

    name = "greet"
    help = "greet somebody 100% politely"

    def __init__(self, raised: BaseException | None = None) -> None:
        self.raised = raised

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("whom")

    def run(self, arguments: argparse.Namespace) -> int:
        if self.raised is not None:
            raise self.raised
        print(f"Hello, {arguments.whom}")
        return 7


class Untold(Greet):
    """A subcommand that breaks when its arguments are asked for."""

    name = "untold"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        raise AttributeError("no such thing")


class Bringing:
    """A plugin that brings what it was given."""

    def __init__(self, commands: Any) -> None:
        self.commands = commands

    @hookimpl
    def imp_parallel_commands(self) -> Sequence[Subcommand]:
        if isinstance(self.commands, Exception):
            raise self.commands
        commands: Sequence[Subcommand] = self.commands
        return commands


def test_a_plugins_command_gets_its_arguments_and_gives_the_exit_code(
    install: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    install(polite=Bringing([Greet()]))
    assert main(["greet", "Anna"]) == 7
    assert capsys.readouterr().out == "Hello, Anna\n"
    with pytest.raises(SystemExit, match="2"):
        main(["greet"])
    assert "whom" in capsys.readouterr().err


def test_help_lists_the_commands_of_the_core_and_of_plugins(
    install: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    install(polite=Bringing([Greet(), Untold()]))
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    said = capsys.readouterr().out
    assert "greet somebody 100% politely" in said
    assert "rerun" in said
    with pytest.raises(SystemExit, match="2"):
        main(["gret"])
    assert "greet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (Bringing(ValueError("no licence")), "no licence"),
        (Bringing(3), "no list"),
        (Bringing([object()]), "has no method add_arguments"),
        (Bringing([Greet]), "it is a class"),
        (Bringing([type("Loud", (Greet,), {"name": "GREET"})()]), "small letters"),
        (Bringing([type("Ours", (Greet,), {"name": "rerun"})()]), "another command"),
        (Bringing([type("Mute", (Greet,), {"help": None})()]), "a line of text"),
    ],
)
def test_a_command_that_can_not_be_used_is_told_and_costs_no_other(
    install: Any,
    broken: object,
    words: str,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    install(broken=broken, polite=Bringing([Greet()]))
    with caplog.at_level(logging.WARNING, "imp_parallel"):
        assert main(["greet", "Anna"]) == 7
    assert words in caplog.text
    assert "dist-broken" in caplog.text
    assert capsys.readouterr().out == "Hello, Anna\n"


def test_of_two_plugins_that_bring_a_command_of_one_name_one_is_used_and_both_are_named(
    install: Any, caplog: pytest.LogCaptureFixture
) -> None:
    install(one=Bringing([Greet()]), two=Bringing([Greet()]))
    assert main(["greet", "Anna"]) == 7
    assert "dist-one" in caplog.text
    assert "dist-two" in caplog.text


@pytest.mark.parametrize("command", [Greet(ValueError("a bug")), Untold()])
def test_a_command_that_breaks_shows_where_and_names_its_plugin(
    install: Any, command: Greet, capsys: pytest.CaptureFixture[str]
) -> None:
    install(polite=Bringing([command]))
    assert main([command.name, "Anna"]) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert f"the command {command.name} of the plugin dist-polite failed" in said


def test_an_error_of_a_command_is_printed_without_a_traceback(
    install: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    install(polite=Bringing([Greet(LaunchError("qsub is not there"))]))
    assert main(["greet", "Anna"]) == 1
    assert capsys.readouterr().err == "imp-parallel: qsub is not there\n"


def test_a_ctrl_c_ends_a_command_quietly(install: Any, capsys: pytest.CaptureFixture[str]) -> None:
    install(polite=Bringing([Greet(KeyboardInterrupt())]))
    assert main(["greet", "Anna"]) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", [[COMMAND], [sys.executable, "-m", "imp_parallel_core"]])
def test_the_script_and_the_module_are_the_same_command(command: list[str]) -> None:
    done = subprocess.run([*command, "rerun", "missing"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("imp-parallel: ")


def test_a_reader_that_stops_reading_is_no_error() -> None:
    script = (
        "import sys; from imp_parallel_core._commands import main as m\n"
        "class Flood(m.Rerun):\n"
        "    def run(self, arguments):\n"
        "        while True: print('x' * 1000)\n"
        "m._OURS = [Flood()]; sys.exit(m.main(['rerun', 'x']))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as flood:
        assert flood.stdout is not None
        assert flood.stderr is not None
        flood.stdout.read(1)
        flood.stdout.close()
        assert flood.wait(30) == 1
        assert flood.stderr.read() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_told_once(unbuffered: str) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}  # "": as if there were none
    with Path("/dev/full").open("w") as full:
        command = [COMMAND, "plugins"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environment)
    assert done.returncode == 1
    assert done.stderr == b"imp-parallel: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("limit", ["0", "-1", "nan", "soon"])
def test_check_says_what_a_limit_must_be(limit: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check", "LocalSlave()", f"--limit={limit}"])
    assert f"{limit!r}: it must be a number of seconds above 0" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "65536", "5-3", "-", "many"])
def test_check_says_what_a_port_must_be(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["check", "LocalSlave()", f"--port={port}"])
    assert f"{port!r}: it must be a number from 1 to 65535" in capsys.readouterr().err
