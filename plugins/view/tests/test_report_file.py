"""The file that imp-parallel report writes is whole, or as it was before."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from test_report import command, write_record
from view_runs import small_run


def without_room(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command where a file can't become larger than a small page."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then it is an error, as a full disk is
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    words = [sys.executable, "-B", "-m", "imp_parallel_core", "report", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, preexec_fn=limit)


@pytest.mark.parametrize("option", ["-o", "--perfetto"])
def test_a_full_disk_leaves_what_was_there_and_is_told_with_the_files_name(
    option: str, tmp_path: Path
) -> None:
    record = write_record(tmp_path / "run.jsonl", small_run())
    path = tmp_path / "report"
    assert command(record, option, path).returncode == 0
    before = path.read_text()
    done = without_room(record, option, path)
    assert done.returncode == 1
    assert done.stderr.startswith("imp-parallel: ")
    assert done.stderr.endswith(f": '{path}'\n")
    assert path.read_text() == before
    assert sorted(each.name for each in tmp_path.iterdir()) == ["report", "run.jsonl"]


def test_a_link_in_the_place_of_the_page_stays_one(tmp_path: Path) -> None:
    record = write_record(tmp_path / "run.jsonl", small_run())
    (tmp_path / "pages").mkdir()
    link = tmp_path / "run.html"
    link.symlink_to("pages/mine.html")
    assert command(record).returncode == 0
    assert link.is_symlink()
    assert "<html" in (tmp_path / "pages/mine.html").read_text()


def test_a_page_can_go_to_the_standard_output(tmp_path: Path) -> None:
    record = write_record(tmp_path / "run.jsonl", small_run())
    done = command(record, "-o", "/dev/stdout")
    assert done.stdout.startswith("<!doctype html>")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_page_and_a_trace_are_not_asked_for_at_once(tmp_path: Path) -> None:
    record = write_record(tmp_path / "run.jsonl", small_run())
    done = command(record, "-o", "a.html", "--perfetto", "a.json")
    assert done.returncode == 2
    assert "not allowed with argument" in done.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == ["run.jsonl"]
