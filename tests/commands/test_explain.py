"""The command imp-parallel explain: what an error means, found by its key or by its words."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from imp_parallel_core import ClosedError, NoSlaveStartedError, explained, hookimpl
from imp_parallel_core._commands import explain
from imp_parallel_core._commands.main import main

COMMAND = str(Path(sys.executable).with_name("imp-parallel"))
RAIN = "(wet-feet)=\n### it rains on %s\n\nTake *boots*.\n"

DROPS = RAIN.replace("%s\n", "%s\n% also said: drops fall\n% also said: it pours\n")


class Explaining:
    """A plugin that brings explanations, or what it was given instead."""

    def __init__(self, text: Any) -> None:
        self.text = text

    @hookimpl
    def imp_parallel_explanations(self) -> str:
        if isinstance(self.text, BaseException):
            raise self.text
        text: str = self.text
        return text


@pytest.fixture
def said(install: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    """Return a function that runs the command, and returns what it has printed."""

    def say(*words: str, exit_code: int = 0, **plugins: object) -> str:
        install(**plugins)
        assert main(["explain", *words]) == exit_code
        output = capsys.readouterr()
        return output.err if exit_code else output.out

    return say


def keys_in(text: str) -> list[str]:
    """Return the keys of the sections that were printed."""
    titles = [part.strip().partition("\n")[0] for part in text.split("\n\n\n")]
    return [title.partition(": ")[0] for title in titles]


def test_a_key_prints_its_section() -> None:
    done = subprocess.run([COMMAND, "explain", "no-slave-started"], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout.startswith("no-slave-started: no slave could be started\n\nNo slave is left")


def test_several_keys_print_several_sections_as_the_line_of_a_message_names_them(said: Any) -> None:
    text = said("host-key-changed", "no-slave-started")
    assert keys_in(text) == ["host-key-changed", "no-slave-started"]


def test_without_a_key_all_are_listed_with_the_plugins_that_bring_them(said: Any) -> None:
    lines = said(rain=Explaining(RAIN)).splitlines()
    assert [line.split(maxsplit=1) for line in lines if line.startswith("wet")] == [
        ["wet-feet", "it rains on %s  (dist-rain)"]
    ]
    assert lines[0].split(maxsplit=1) == ["no-slave-started", "no slave could be started"]
    assert any(line.endswith("(imp-parallel-ssh)") for line in lines)


@pytest.mark.parametrize(
    ("words", "key"),
    [
        ("still queued after", "still-queued"),
        ("Still  Queued   after", "still-queued"),
        ("no slave started", "no-slave-started"),
        ("NoSlaveStartedError", "no-slave-started"),
        ("imp_parallel_core.TooManyFailuresError: 3 tasks", "too-many-failures"),
        ("UnreadResultsWarning", "unread-results"),
        ("task 7 was given up after 3 attempts, each of which", "task-given-up"),
        ("| imp_parallel: this is Python 3.9 (/usr/bin/python3), but", "python-version"),
        ("AllowTcpForwarding", "no-forwarding"),
        ("slave 0 (vm): its runner was killed by SIGSEGV", "task-given-up"),
        ("its runner exited with code 139", "task-given-up"),
        ("segfault", "task-given-up"),
        ("Segmentation fault (core dumped)", "task-given-up"),
        ("tasks are waiting, but this Manager has no slaves", "no-slave-left"),
        ("slave 0: its connection ended", "no-slave-left"),
        ("bash: line 3: module: command not found", "cant-be-started"),
        ("gpu", "gpu-not-found"),
        ("CUDA_VISIBLE_DEVICES is empty", "gpu-not-found"),
        ("imp_parallel_core.CancelledError: task 3 was cancelled: f(1)", "task-cancelled"),
        ("slave 0: queued: the Dask cluster at tls://a:1 has no workers yet", "dask-no-room"),
        ("of the Ray cluster, 0 of 2 CPU are free", "ray-no-room"),
        ("run.jsonl: its format is 2, and this version reads 1", "no-record"),
        ("others can enter /tmp/imp-parallel-7: chmod 700", "runs-not-seen"),
    ],
)
def test_words_of_a_message_find_its_section(said: Any, words: str, key: str) -> None:
    assert keys_in(said(words)) == [key]


def test_a_short_word_finds_the_sections_whose_keys_have_it(said: Any) -> None:
    assert keys_in(said("ray")) == ["ray-unreachable", "ray-not-joined", "ray-actor-failed"]


def test_of_sections_for_one_message_the_one_of_the_longest_words_comes_first(said: Any) -> None:
    assert keys_in(said("its connection ended; exit code 127"))[0] == "cant-be-started"


@pytest.mark.parametrize("words", ["drops fall on me", "it POURS", "pours"])
def test_other_words_of_a_plugins_section_find_it_and_are_not_printed(
    said: Any, words: str
) -> None:
    shown = said(words, rain=Explaining(DROPS))
    assert shown == 'wet-feet: it rains on %s\n\nTake "boots".\n'


def test_a_section_is_near_to_what_is_like_its_other_words(said: Any) -> None:
    assert "wet-feet" in said("drops fell", exit_code=1, rain=Explaining(DROPS))


def test_a_message_that_is_pasted_finds_the_sections_that_its_last_line_names(
    said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = ClosedError(explained("the transport has gone", "master-unreachable"))
    message = f"Traceback:\n  x.NoSlaveStartedError: {NoSlaveStartedError(f'lost: {inner}')}"
    wanted = ["master-unreachable", "already-closed", "no-slave-started"]
    assert keys_in(said(message)) == wanted
    monkeypatch.setattr(sys, "stdin", io.StringIO(message))
    assert keys_in(said("-")) == wanted


def test_words_that_nobody_says_are_refused_with_keys_that_are_near(said: Any) -> None:
    text = said("no-slave-startet", exit_code=1)
    assert "there is no explanation of 'no-slave-startet'. Near to it: no-slave-started" in text
    assert "host-key-changed" in said("changed host", exit_code=1)
    assert "lists all keys" in said("xyzzy", exit_code=1)
    assert "…" in said("xyzzy " * 1000, exit_code=1)


def test_what_is_pasted_can_not_steer_the_terminal(said: Any) -> None:
    assert r"'\x1b[2Jxyzzy'" in said("\x1b[2Jxyzzy", exit_code=1)


def test_a_plugins_section_is_shown_as_plain_text(said: Any) -> None:
    shown = said("wet-feet", rain=Explaining(RAIN.replace("Take", "\x1bTake")))
    assert shown == 'wet-feet: it rains on %s\n\n\\x1bTake "boots".\n'


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (ValueError("no licence"), "no licence"),
        (SystemExit(3), "SystemExit: 3"),
        (3, "must be a text"),
        ("### it rains\n\nTake boots.", "must begin with the key"),
    ],
)
def test_explanations_that_can_not_be_used_are_told_and_cost_no_other(
    said: Any, caplog: pytest.LogCaptureFixture, broken: object, words: str
) -> None:
    text = said("wet-feet", broken=Explaining(broken), rain=Explaining(RAIN))
    assert "boots" in text
    assert "plugin dist-broken" in caplog.text
    assert words in caplog.text


def test_of_two_sections_with_one_key_the_first_is_used_and_both_plugins_are_named(
    said: Any, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    other = RAIN.replace("boots", "care") + "\n(no-slave-left)=\n### all gone\n\nAlas.\n"
    assert "boots" in said("wet-feet", one=Explaining(RAIN), two=Explaining(other))
    assert "plugin dist-two: its explanation wet-feet is not used: dist-one brings" in caplog.text
    assert "its explanation no-slave-left is not used: imp-parallel-core has" in caplog.text
    assert main(["explain", "no-slave-left"]) == 0
    text = capsys.readouterr().out
    assert "All slaves have been lost" in text
    assert "Alas" not in text


def test_the_address_on_the_site_is_printed_if_the_distributions_have_one(
    said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = "https://docs.example/imp/"
    addresses = {"imp-parallel-core": site, "imp-parallel-ssh": site, "dist-rain": "https://x.y/"}
    assert "On the site" not in said("no-ssh")
    monkeypatch.setattr(explain, "_documentation", lambda name: addresses.get(name, ""))
    assert said("no-ssh").endswith(f"On the site: {site}troubleshooting.html#no-ssh\n")
    assert said("no-slave-left").endswith(f"{site}troubleshooting.html#no-slave-left\n")
    assert "On the site" not in said("wet-feet", rain=Explaining(RAIN))
