"""What the README and the documents show is what happens."""

from __future__ import annotations

import concurrent.futures
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from imp_parallel_core import ClosedError, Error, Manager
from tests.support.harness import Processes

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language in a document."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def run(*command: str) -> str:
    """Run a command in the test's folder; return its output."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=55).stdout


def test_the_first_command_prints_the_table_of_the_readme(processes: Processes) -> None:
    printed = run(sys.executable, str(ROOT / "examples" / "score_vs_distance.py"))
    (shown,) = blocks(README, "text")
    cores = os.cpu_count()
    assert printed == shown.replace("by 2 processes", f"by {cores} processes")


def test_the_script_of_the_readme_runs(processes: Processes, tmp_path: Path) -> None:
    script = blocks(README, "python")[0]
    model = "class Model:\n    def score(self, distance):\n        return distance * 0.5\n\n"
    (tmp_path / "script.py").write_text(model + script)
    lines = run(sys.executable, "script.py").splitlines()
    assert sorted(lines, key=lambda line: float(line.split()[1])) == [
        f"{distance} {distance * 0.5}" for distance in range(0, 60, 3)
    ]


def test_the_readme_says_how_to_read_results_of_which_some_are_errors(
    one_slave: Manager, capsys: pytest.CaptureFixture[str]
) -> None:
    (shown,) = (block for block in blocks(README, "python") if "on_error" in block)
    context = one_slave.get_context()
    for number in (1, 0, 2):
        context.add_task(lambda number: 1 / number, number)
    names: dict[str, Any] = {"context": context, "Error": Error}
    exec(shown, names)
    assert [names["results"][number] for number in (0, 2)] == [1.0, 0.5]
    assert capsys.readouterr().out == "1 ('0',)\n"


def block_with(words: str) -> str:
    """Return the block of the README that has these words."""
    (shown,) = (block for block in blocks(README, "python") if words in block)
    return shown


def test_the_readme_says_how_to_read_results_with_their_numbers(
    one_slave: Manager, capsys: pytest.CaptureFixture[str]
) -> None:
    def align(name: str, gap: int) -> str:
        return f"score of {name} with {gap}"

    names = {"context": one_slave.get_context(), "align": align, "names": ["a", "b"]}
    exec(block_with("numbered=True"), names)
    lines = sorted(capsys.readouterr().out.splitlines())
    assert lines == ["a score of a with -2", "b score of b with -2"]


def test_the_readme_says_how_to_leave_a_loop_early(one_slave: Manager) -> None:
    class Fold:
        def __init__(self, seed: int) -> None:
            self.score = -float(seed)

        def __call__(self) -> Fold:
            return self

    names: dict[str, Any] = {"manager": one_slave, "setup": None, "Fold": Fold}
    exec(block_with("break"), names)
    assert names["model"].score == -121
    with pytest.raises(ClosedError):
        names["context"].get_results()


def test_the_readme_says_how_to_use_futures(
    one_slave: Manager, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {
        "manager": one_slave,
        "concurrent": concurrent,
        "setup": lambda: 0.5,
        "score": lambda factor, distance: distance * factor,
    }
    exec(block_with("get_executor(setup)"), names)
    lines = set(capsys.readouterr().out.splitlines())
    assert lines == {f"{distance} {distance * 0.5}" for distance in range(0, 60, 3)}


def test_the_example_of_an_optimiser_that_asks_and_is_told_finds_the_minimum(
    processes: Processes,
) -> None:
    printed = run(sys.executable, "-W", "error", str(ROOT / "examples" / "ask_and_tell.py"))
    found = re.fullmatch(r"best: (0\.00\d\d) at \((.*), (.*)\), after \d+ calls\n", printed)
    assert found is not None, printed
    assert abs(float(found[2]) - 0.3) < 0.11
    assert abs(float(found[3]) + 0.7) < 0.11


DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("plugins/*/*.md")]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_files_and_the_sections_that_a_document_links_to_exist(path: Path) -> None:
    for file, section in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", path.read_text()):
        target = path.parent / file if file else path
        assert target.exists(), file
        if section:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in headings]
            assert section in anchors, section


def test_the_promises_in_the_readme_are_numbered_in_a_row() -> None:
    promises = README.split("## What is promised")[1].split("## What it does not do")[0]
    numbers = re.findall(r"^(\d+)\. ", promises, re.MULTILINE)
    assert numbers == [str(n) for n in range(1, len(numbers) + 1)]
    assert numbers
