"""The job script, rendered without a cluster; bash itself says whether it does what it should."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness_batch import SYSTEM, System
from hypothesis import given, settings
from hypothesis import strategies as st
from imp_parallel_batch._job_script import ScriptParts, render
from imp_parallel_batch._quoting import quote
from imp_parallel_batch._safe_start import masters_files

import imp_parallel_core
from imp_parallel_core import Bootstrap, trusted_paths
from tests.support.as_root import run_as_root
from tests.support.waiting import wait_until

HOSTILE = [
    "a b",
    "a'; echo foo",
    'quote"s',
    "new\nline",
    "$HOME",
    "*",
    "b\\",
    "`id`",
    "\n#$ -l x=1",
]
REPORT = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)])); sys.exit(7)"


def run(script: str, task: int, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash"],
        input=script.encode(),
        cwd=folder,
        env={**os.environ, "TASK_NUMBER": str(task)},
        capture_output=True,
        timeout=20,
        check=False,
    )


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20))
def test_a_quoted_word_reaches_the_command_unchanged_and_stays_on_one_line(word: str) -> None:
    quoted = quote(word)
    assert quoted.isascii()
    assert quoted.isprintable()
    done = subprocess.run(
        ["bash", "-c", f"printf %s {quoted}"], capture_output=True, timeout=20, check=True
    )
    assert done.stdout == os.fsencode(word)


def test_a_name_that_is_no_utf_8_is_quoted_too() -> None:
    name = os.fsdecode(b"caf\xe99")
    done = subprocess.run(["bash", "-c", f"printf %s {quote(name)}"], capture_output=True)
    assert done.stdout == b"caf\xe99"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_script_does_its_work_in_folders_with_hostile_names(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    outputs = [folder / f"slave{number}.output" for number in range(2)]
    parts = ScriptParts(
        command=[sys.executable, "-c", REPORT, name],
        folder=str(folder),
        output_paths=[str(path) for path in outputs],
        environment={"COLOUR": name},
        cwd=str(folder),
    )
    script = render(SYSTEM, parts)
    assert "\n#$" not in script  # qsub would take it for options
    done = run(script, 2, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (7, b"", b"")
    words, environment = json.loads(outputs[1].read_text())
    assert words == [name, "file", str(folder / "2"), "warned", "0"]
    assert environment["COLOUR"] == name
    assert environment["PWD"] == str(folder)
    assert (folder / "2.exit").read_text() == "7\n"
    assert not outputs[0].exists()


class Forwarding(System):
    """A batch system whose warnings reach the script alone."""

    warns_children = False


@pytest.mark.parametrize("system", [SYSTEM, Forwarding()])
def test_the_last_words_of_a_slave_that_is_killed_are_the_last_of_its_output(
    tmp_path: Path, system: System
) -> None:
    output = tmp_path / "slave0.output"
    slave = "echo words; echo 'the last' >&2; kill -9 $$"
    script = render(system, ScriptParts(["bash", "-c", slave], str(tmp_path), [str(output)]))
    assert run(script, 1, tmp_path).returncode == 137
    assert output.read_text() == "words\nthe last\n"
    script = render(system, ScriptParts(["no-such-slave"], str(tmp_path), [str(output)]))
    assert run(script, 1, tmp_path).returncode == 127
    assert re.search("no-such-slave: (command )?not found", output.read_text())


def test_an_output_that_can_not_be_opened_is_said_where_it_is_found(tmp_path: Path) -> None:
    parts = ScriptParts(["true"], str(tmp_path), [f"{tmp_path}/missing/slave0.output"])
    done = run(render(SYSTEM, parts), 1, tmp_path)
    assert done.returncode == 1
    assert b"missing/slave0.output" in done.stderr


@pytest.mark.parametrize("kind", ["link", "dangling link", "FIFO", "folder"])
def test_an_output_that_is_no_plain_file_is_not_written_to(tmp_path: Path, kind: str) -> None:
    output, private = tmp_path / "slave0.output", tmp_path / "private"
    private.write_text("precious")
    if kind == "FIFO":
        os.mkfifo(output)
    elif kind == "folder":
        output.mkdir()
    else:
        output.symlink_to(private if kind == "link" else tmp_path / "nowhere")
    parts = ScriptParts(["echo"], str(tmp_path), [str(output)])
    done = run(render(SYSTEM, parts), 1, tmp_path)
    assert done.returncode == 1
    assert b"slave0.output is no plain file" in done.stderr
    assert private.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


def test_an_output_that_is_another_name_of_a_file_is_not_written_to(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.write_text("precious")
    os.link(private, tmp_path / "slave0.output")
    done = run(render(SYSTEM, writing_to(tmp_path)), 1, tmp_path)
    assert done.returncode == 1
    assert b"slave0.output has other names (hard links)" in done.stderr
    assert private.read_text() == "precious"


def test_an_output_that_belongs_to_another_user_is_not_written_to(tmp_path: Path) -> None:
    output = tmp_path / "slave0.output"
    output.write_text("theirs")
    output.chmod(0o666)
    tmp_path.chmod(0o755)
    run_as_root("chown", "nobody", str(output))
    done = run(render(SYSTEM, writing_to(tmp_path)), 1, tmp_path)
    assert done.returncode == 1
    assert b"slave0.output belongs to another user" in done.stderr
    assert output.read_text() == "theirs"


@pytest.mark.parametrize("kind", ["link", "hard link"])
def test_an_output_that_is_exchanged_while_it_is_opened_is_not_written_to(
    tmp_path: Path, kind: str
) -> None:
    private, exchanged = tmp_path / "private", tmp_path / "exchanged"
    private.write_text("precious")
    how = "-sf" if kind == "link" else "-f"
    exchange = f"[[ $BASH_COMMAND != 'exec 3<>'* ]] || ln {how} private slave0.output >exchanged"
    script = f"trap {quote(exchange)} DEBUG\n{render(SYSTEM, writing_to(tmp_path))}"
    done = run(script, 1, tmp_path)
    assert exchanged.exists()
    assert done.returncode == 1
    assert b"nothing is written to it" in done.stderr
    assert private.read_text() == "precious"


def test_the_masters_python_is_used_if_it_is_the_masters_file_whoever_can_write_to_it(
    tmp_path: Path,
) -> None:
    python = python_in(tmp_path)
    for path in (tmp_path, python.parent, python):
        path.chmod(0o777)
    done = run(render(SYSTEM, starting(python, masters_facts(python))), 1, tmp_path)
    assert (done.returncode, said_in(tmp_path)) == (0, "it runs\n")


@pytest.mark.parametrize("what", ["inode", "size", "mtime", "ctime"])
def test_another_file_at_the_path_of_the_masters_python_is_not_run_if_others_may_have_made_it(
    tmp_path: Path, what: str
) -> None:
    python = python_in(tmp_path)
    python.parent.chmod(0o777)
    facts = masters_facts(python).split(",")
    at = ["inode", "size", "mtime", "ctime"].index(what)
    facts[at] = str(int(facts[at]) + 1)
    done = run(render(SYSTEM, starting(python, ",".join(facts))), 1, tmp_path)
    assert done.returncode == 1
    line, more = said_in(tmp_path).splitlines()
    assert more == "More: imp-parallel explain untrusted-file"
    assert f"{python} is not used on " in line
    assert f"everybody can write to {python.parent}. Put the script's Python" in line


def test_another_file_at_the_path_of_the_masters_python_is_run_if_nobody_else_can_have_made_it(
    tmp_path: Path,
) -> None:
    python = python_in(tmp_path)
    done = run(render(SYSTEM, starting(python, "1,1,1,1")), 1, tmp_path)
    reason = trusted_paths.why_not(str(python))  # it depends on where the tests run
    assert done.returncode == (1 if reason else 0)
    assert (reason or "it runs") in said_in(tmp_path)


def test_a_job_checks_the_python_and_the_package_that_the_script_has(tmp_path: Path) -> None:
    def bootstrap(python: str, **more: Any) -> Bootstrap:
        return Bootstrap(0, python, str(tmp_path), None, [], **more)

    package = imp_parallel_core.__file__
    files = masters_files(bootstrap(sys.executable))
    assert list(files) == [sys.executable, package]
    stat = ["stat", "-c", "%i,%s,%Y,%Z", *files]
    told = subprocess.run(stat, capture_output=True, text=True, check=True).stdout
    assert told.split() == list(files.values())
    assert list(masters_files(bootstrap("module load imp; python"))) == [package]
    assert masters_files(bootstrap(sys.executable, has_own_files=True)) == {}


def python_in(folder: Path) -> Path:
    """Return what could be the master's Python."""
    python = folder / "bin/python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho it runs\n")
    python.chmod(0o755)
    return python


def masters_facts(path: Path) -> str:
    status = path.lstat()
    times = f"{int(status.st_mtime)},{int(status.st_ctime)}"
    return f"{status.st_ino},{status.st_size},{times}"


def said_in(folder: Path) -> str:
    return (folder / "slave0.output").read_text()


def starting(python: Path, facts: str) -> ScriptParts:
    """Return the parts of a script whose slave is started by a Python with these facts."""
    output = str(python.parents[1] / "slave0.output")
    files = {str(python): facts}
    return ScriptParts([str(python)], str(python.parents[1]), [output], masters_files=files)


def test_output_is_appended_to_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "slave0.output").write_text("before\n")
    assert run(render(SYSTEM, writing_to(tmp_path)), 1, tmp_path).returncode == 0
    assert (tmp_path / "slave0.output").read_text() == f"before\nfile {tmp_path}/1 warned 0\n"


def writing_to(folder: Path) -> ScriptParts:
    """Return the parts of a script whose slave writes its arguments to its output."""
    return ScriptParts(["echo"], str(folder), [f"{folder}/slave0.output"])


def test_warnings_end_neither_the_script_nor_a_wrapper_around_the_slave(tmp_path: Path) -> None:
    warn = " ".join(f"kill -{name} $PPID $$;" for name in ("USR1", "USR2", "XCPU"))
    kill = f"{warn} kill -TERM $PPID; exit 5"
    parts = ScriptParts(["bash", "-c", kill], str(tmp_path), [None])
    assert run(render(SYSTEM, parts), 1, tmp_path).returncode == 5


def started_anew(folder: Path, documents: Path) -> subprocess.Popen[bytes]:
    parts = ScriptParts(["bash", "-c", 'cat "$2" >told', "bash"], str(documents), [None])
    return subprocess.Popen(
        ["bash", "-c", render(SYSTEM, parts)],
        cwd=folder,
        env={**os.environ, "TASK_NUMBER": "1", "IS_AGAIN": "1"},
    )


def test_a_task_that_is_started_anew_waits_for_the_whole_of_its_document(tmp_path: Path) -> None:
    documents = tmp_path / "documents"
    documents.mkdir()
    with started_anew(tmp_path, documents) as job:
        for text in ("", '{"half', '{"half": 2}\n'):
            with pytest.raises(subprocess.TimeoutExpired):
                job.wait(1.5)
            (documents / "1").write_text(text)
        assert job.wait(20.0) == 0
    assert (tmp_path / "told").read_text() == '{"half": 2}\n'


def test_a_task_that_is_started_anew_does_not_wait_once_the_run_is_over(tmp_path: Path) -> None:
    with started_anew(tmp_path, tmp_path / "gone") as job:
        assert job.wait(20.0) == 1
    assert (tmp_path / "told").read_text() == ""


def test_what_a_task_left_before_it_was_started_anew_is_removed_before_it_waits(
    tmp_path: Path,
) -> None:
    (tmp_path / "1.exit").write_text("143\n")
    with started_anew(tmp_path, tmp_path) as job:
        wait_until(lambda: not (tmp_path / "1.exit").exists(), what="the removal")
        assert job.poll() is None
        (tmp_path / "1").write_text('{"half": 2}\n')
        assert job.wait(20.0) == 0
    assert (tmp_path / "1.exit").read_text() == "0\n"


def test_a_task_that_only_makes_the_array_large_enough_leaves_at_once(tmp_path: Path) -> None:
    class Large(System):
        least_tasks = 3

    parts = ScriptParts(["echo"], str(tmp_path), [f"{tmp_path}/slave0.output"])
    for number in (2, 3):
        done = run(render(Large(), parts), number, tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        assert not (tmp_path / "slave0.output").exists()
    assert run(render(Large(), parts), 1, tmp_path).returncode == 0
    assert (tmp_path / "slave0.output").exists()


LEAVES_LATE = """
import pathlib, signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: pathlib.Path("warned").touch())
pathlib.Path("runs").touch()
while not pathlib.Path("may_leave").exists():
    time.sleep(0.01)
sys.exit(5)
"""


def test_a_script_that_has_passed_a_warning_on_waits_for_the_slaves_own_end(tmp_path: Path) -> None:
    class Lonely(System):
        warns_children = False

    parts = ScriptParts([sys.executable, "-c", LEAVES_LATE], str(tmp_path), [None])
    environment = {**os.environ, "TASK_NUMBER": "1"}
    script = render(Lonely(), parts)
    with subprocess.Popen(
        ["bash", "-c", script], cwd=tmp_path, env=environment, start_new_session=True
    ) as job:
        wait_until((tmp_path / "runs").exists, what="the slave")
        for _ in range(2):
            job.send_signal(signal.SIGUSR1)
            wait_until((tmp_path / "warned").exists, what="the warning")
            with pytest.raises(subprocess.TimeoutExpired):
                job.wait(0.5)
            (tmp_path / "warned").unlink()
        (tmp_path / "may_leave").touch()
        assert job.wait(20.0) == 5
    assert (tmp_path / "1.exit").read_text() == "5\n"
