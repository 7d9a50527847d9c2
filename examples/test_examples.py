"""Each example prints what docs/examples.md shows. Run by ``./test --examples``."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent
PAGE = (EXAMPLES.parent / "docs" / "examples.md").read_text(encoding="utf-8")
SHOWN = dict(
    re.findall(
        r"^```\{literalinclude\} \.\./examples/(\w+\.py)\n```\n\n```text\n(.*?)^```$",
        PAGE,
        re.DOTALL | re.MULTILINE,
    )
)
VARIES = {"adaptive_curve.py", "ask_and_tell.py"}  # with the order in which results come
NOT_RUN = {
    "queue_launcher.py"
}  # its batch system is made up; the tests of imp-parallel-batch use it
NEEDED = {"mpiexec_launcher.py": "mpiexec"}


def test_the_page_shows_each_example_with_its_output() -> None:
    files = {file.name for file in EXAMPLES.glob("*.py")} - {Path(__file__).name} - NOT_RUN
    assert set(SHOWN) == files


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", sorted(SHOWN))
def test_an_example_prints_what_the_page_shows(name: str, tmp_path: Path) -> None:
    if name in NEEDED and shutil.which(NEEDED[name]) is None:
        pytest.skip(f"NOT TESTED: {name}, since there is no {NEEDED[name]}")
    command = [sys.executable, "-W", "ignore", str(EXAMPLES / name)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=290)
    assert done.returncode == 0, done.stderr
    # there is a slave for each core of the machine
    varies = re.compile(r"[\d.-]+" if name in VARIES else r"by \d+ processes")
    assert varies.sub("", done.stdout) == varies.sub("", SHOWN[name])
