"""What goes wrong on a cluster is said within seconds: what, how it shows, and what to do."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import time
from pathlib import Path

import pytest
from grid_engine import Cell, wait_until
from harness_sge import manager_of
from imp_parallel_sge import SGEPESlaveArray, SGEQsubSlaveArray

from imp_parallel_core import LaunchError, Manager, NoSlaveStartedError

pytestmark = pytest.mark.timeout(120)


def failure_of(options: str = "", **more: object) -> str:
    """Return what the error says when an array of two can't start; it must say it soon."""
    with manager_of(2, options, **more) as manager:
        context = manager.get_context()
        context.add_task(os.getpid)
        begun = time.monotonic()
        with pytest.raises(NoSlaveStartedError) as caught:
            list(context.get_results_unordered())
        assert time.monotonic() - begun < 30.0
    return str(caught.value)


def test_no_qsub_in_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with Manager(output=None) as manager, pytest.raises(LaunchError) as caught:
        manager.add_slave(SGEQsubSlaveArray(2))
    assert str(tmp_path) in str(caught.value)
    assert "settings.sh" in str(caught.value)
    assert caught.value.command == ("qsub",)


def test_no_parallel_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PE_HOSTFILE", raising=False)
    with Manager(output=None) as manager, pytest.raises(LaunchError, match="qsub -pe"):
        manager.add_slave(SGEPESlaveArray())


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ("-bogus", 2, "invalid option"),
        ("-q 'no such.q'", 1, "no such.q"),
        ("-l nonsense=1", 1, 'unknown resource "nonsense"'),
    ],
)
def test_qsub_refuses_the_options(cluster: Cell, options: str, code: int, words: str) -> None:
    text = failure_of(options)
    assert words in text
    assert f"exit code {code}" in text
    assert f"{Path.cwd()}/.imp_parallel-" in text
    assert options.split()[0] in text


def test_qsub_that_finds_no_qmaster(cluster: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGE_QMASTER_PORT", "1")
    text = failure_of()
    assert "qsub refused" in text
    assert "Connection refused" in text


def test_a_job_in_error_tells_grid_engines_reason(cluster: Cell) -> None:
    text = failure_of("-wd /nowhere/at/all")
    assert "Eqw" in text
    assert "can't chdir to /nowhere/at/all" in text
    assert "qsub -terse" in text


def test_jobs_that_no_queue_takes_are_said_to_wait_and_why(
    cluster: Cell, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.WARNING, "imp_parallel.sge"),
        manager_of(3, "-l arch=nothing-like-it") as manager,
    ):
        wait_until(lambda: caplog.records, 20.0, "a warning")
        message = caplog.records[0].getMessage()
        assert "all 3 slaves" in message
        assert "still queued" in message
        assert "nothing-like-it" in message
        wait_until(lambda: "nothing-like-it" in manager.slaves[0].detail, 20.0, "the detail")
        assert [slave.state for slave in manager.slaves] == ["queued"] * 3


def test_a_held_array_is_said_to_be_held(cluster: Cell) -> None:
    with manager_of(1, "-h") as manager:
        wait_until(lambda: "is held" in manager.slaves[0].detail, 20.0, "the detail")


@pytest.mark.parametrize(
    ("line", "words", "code"),
    [
        ("nonsense_module load imp; {python}", "nonsense_module: command not found", 127),
        ("{python} -c 'raise SystemExit(100)'; {python}", "", 100),
        ("cd /nowhere && {python}", "/nowhere", 1),
    ],
)
def test_a_python_line_that_fails(cluster: Cell, line: str, words: str, code: int) -> None:
    text = failure_of(python=line.format(python=shlex.quote(sys.executable)))
    assert words in text
    assert f"exit code {code}" in text
    assert "slave0.output" in text


def test_a_python_of_another_version(cluster: Cell, tmp_path: Path) -> None:
    lie = "import sys; sys.version_info = (3, 9, 1); exec(sys.argv.pop(2))"
    other = tmp_path / "python3.9"
    other.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(lie)} "$@"\n')
    other.chmod(0o755)
    text = failure_of(python=str(other))
    assert "this is Python 3.9" in text
    assert "the master runs Python {}.{}".format(*sys.version_info) in text


def test_a_python_without_the_package(cluster: Cell, tmp_path: Path) -> None:
    bare = tmp_path / "bare"  # as where the master's files are not to be seen
    program = "import sys; exec(sys.argv.pop(2).replace('sys.path.insert', 'print'))"
    bare.write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -I -S -c {shlex.quote(program)} "$@"\n'
    )
    bare.chmod(0o755)
    text = failure_of(python=str(bare))
    assert "No module named 'imp_parallel_core'" in text
    assert "Install imp-parallel-core for" in text
    assert "exit code 1" in text


def test_a_master_that_can_not_be_reached_is_named_with_its_addresses(
    cluster: Cell, tmp_path: Path
) -> None:
    # a host without any network, and a slave of less patience than is usual
    begin = "\\nimport imp_parallel_core._slave as s; s._DIAL_S = 2.0; main()"
    program = f"import sys; del sys.argv[1]; exec(sys.argv.pop(1).replace('\\nmain()', '{begin}'))"
    alone = tmp_path / "alone"
    alone.write_text(
        f'#!/bin/sh\nexec unshare -n {shlex.quote(sys.executable)} -c {shlex.quote(program)} "$@"\n'
    )
    alone.chmod(0o755)
    text = failure_of(python=str(alone))
    assert "the master can't be reached" in text
    assert "Network is unreachable" in text
    assert "slave0.output" in text
