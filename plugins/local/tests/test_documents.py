"""What the README and the documents show is what happens."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

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


def test_the_example_of_an_optimiser_that_asks_and_is_told_finds_the_minimum(
    processes: Processes,
) -> None:
    printed = run(sys.executable, "-W", "error", str(ROOT / "examples" / "ask_and_tell.py"))
    found = re.fullmatch(r"best: (0\.00\d\d) at \((.*), (.*)\), after \d+ calls\n", printed)
    assert found is not None, printed
    assert abs(float(found[2]) - 0.3) < 0.11
    assert abs(float(found[3]) + 0.7) < 0.11


def test_the_readme_names_each_promise_of_the_page_of_promises() -> None:
    page = (ROOT / "docs" / "promises.md").read_text()
    named, told = (re.findall(r"^(\d+)\. ", text, re.MULTILINE) for text in (README, page))
    assert named == told == [str(number) for number in range(1, len(told) + 1)]
    assert told


def test_the_readme_is_short() -> None:
    assert README.count("\n") <= 150
