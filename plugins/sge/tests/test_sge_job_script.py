"""What is Grid Engine's own in a job script, and in the options of qsub."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imp_parallel_batch import Array
from imp_parallel_batch._array import options_of
from imp_parallel_batch._job_script import ScriptParts, render
from imp_parallel_sge import SGEQsubSlaveArray
from imp_parallel_sge._system import GRID_ENGINE


def run(script: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash"],
        input=script.encode(),
        cwd=folder,
        env={**os.environ, "SGE_TASK_ID": "1"},
        capture_output=True,
        timeout=20,
        check=False,
    )


@pytest.mark.parametrize(("code", "shown"), [(0, 0), (3, 3), (99, 1), (100, 1)])
def test_an_exit_code_is_kept_but_grid_engine_is_not_told_to_run_it_again(
    tmp_path: Path, code: int, shown: int
) -> None:
    parts = ScriptParts(["bash", "-c", f"exit {code}"], str(tmp_path), [None])
    assert run(render(GRID_ENGINE, parts), tmp_path).returncode == shown
    assert (tmp_path / "1.exit").read_text() == f"{code}\n"


@pytest.mark.parametrize(
    ("configuration", "seconds"),
    [("a=1\nnotify=60\nnotify_kill=default\n", "60"), ("notify_kill=5\n", "0"), (None, "0")],
)
def test_the_slave_is_told_how_long_before_a_stop_or_an_end_it_is_warned(
    tmp_path: Path, configuration: str | None, seconds: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SGE_JOB_SPOOL_DIR", str(tmp_path))
    if configuration is not None:
        (tmp_path / "config").write_text(configuration)
    parts = ScriptParts(["bash", "-c", 'echo "$4" >told', "bash"], str(tmp_path), [None])
    assert run(render(GRID_ENGINE, parts), tmp_path).returncode == 0
    assert (tmp_path / "told").read_text() == f"{seconds}\n"


def test_a_script_can_be_looked_at_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    script = SGEQsubSlaveArray(3, "-q lab.q").job_script()
    assert script.startswith("#!/bin/bash\n")
    for number in range(3):
        assert f"{tmp_path}/slave{number}.output" in script
    assert list(tmp_path.iterdir()) == []


def command_of(array: SGEQsubSlaveArray) -> list[str]:
    described = Array("imp_parallel-0a", len(array), options_of(array), "", "early", "/f", "/")
    return list(GRID_ENGINE.submission(described).argv)


def test_the_options_arrive_as_the_words_that_were_written() -> None:
    array = SGEQsubSlaveArray(7, "-l arch=linux-x64 -q lab.q -l hostname=\"i*\" -P 'my project'")
    command = command_of(array)
    words = ["-l", "arch=linux-x64", "-q", "lab.q", "-l", "hostname=i*", "-P", "my project"]
    start = command.index("arch=linux-x64") - 1
    assert command[start : start + len(words)] == words
    assert command[-2:] == ["-t", "1-7"]
    assert repr(SGEQsubSlaveArray(2, "-q lab.q")) == "SGEQsubSlaveArray(2, '-q lab.q')"


def test_a_script_to_look_at_shows_the_environment_and_where_the_threads_come_from() -> None:
    array = SGEQsubSlaveArray(2, environment={"WORDS": "it's $two"})
    script = array.job_script()
    assert "export WORDS=" in script
    assert "NSLOTS" in script
    assert repr(array) == """SGEQsubSlaveArray(2, environment={'WORDS': "it's $two"})"""
    without = SGEQsubSlaveArray(2, "-q lab.q", threads=None)
    assert "NSLOTS" not in without.job_script()
    assert repr(without) == "SGEQsubSlaveArray(2, '-q lab.q', threads=None)"


@given(st.lists(st.text(st.characters(exclude_characters="\0"))))
def test_quoted_options_are_split_into_the_same_words(words: list[str]) -> None:
    import shlex

    words = [each for word in words for each in ("-l", word)]
    assert options_of(SGEQsubSlaveArray(1, shlex.join(words))) == words


@pytest.mark.parametrize(
    "options",
    ["-t 1-4", "-sync y", "-terse", '-l "open', "-q a -verify", "-w v", "-q a -w p -l b"],
)
def test_options_that_would_break_the_array_are_refused_at_once(options: str) -> None:
    with pytest.raises(ValueError, match="option"):
        SGEQsubSlaveArray(2, options)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        *(("job.sh", "job.sh"), ("-q lab.q job.sh -l a", "job.sh"), ("-V job.sh", "job.sh")),
        *(("-pe smp 4 job.sh", "job.sh"), ("-binding linear:1 job.sh", "job.sh")),
        *(("-q a -- job.sh", "--"), ("-h u", "u"), ("-", "-")),
    ],
)
def test_a_word_that_qsub_would_run_as_a_script_is_refused(options: str, word: str) -> None:
    with pytest.raises(ValueError, match=f"^{word!r} .* take it for a script"):
        SGEQsubSlaveArray(1, options)


@pytest.mark.parametrize("options", ["-V -q", "-pe smp"])
def test_an_option_that_would_take_one_of_ours_for_its_value_is_refused(options: str) -> None:
    with pytest.raises(ValueError, match="needs a value"):
        SGEQsubSlaveArray(1, options)


def test_values_of_known_and_of_other_options_are_not_refused() -> None:
    SGEQsubSlaveArray(1, "-pe smp 4 -binding set linear:1 -p -5 -notify -new a b -V -N -x -h")


def test_an_array_of_none_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        SGEQsubSlaveArray(0)


def test_the_standard_options_of_a_subclass_come_before_those_of_an_array() -> None:
    class LabArray(SGEQsubSlaveArray):
        standard_options = "-q lab.q -l 'h_rt=1:00:00'"

    command = command_of(LabArray(3, "-l h_rt=24:00:00"))
    begin = command.index("-q")
    assert command[begin : begin + 6] == [
        *("-q", "lab.q", "-l", "h_rt=1:00:00"),
        *("-l", "h_rt=24:00:00"),
    ]
    assert begin > command.index("-o")
    LabArray.standard_options = "-t 1-10"
    with pytest.raises(ValueError, match="-t can't be used"):
        LabArray(3).check()
