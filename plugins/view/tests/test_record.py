"""A record holds what has happened, whatever becomes of the script, and spoils nobody's file."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imp_parallel_local import LocalSlave
from imp_parallel_view import Record
from imp_parallel_view._reading import RecordError, RecordReader
from imp_parallel_view._record_lines import NotARecord, event_of, header, lines_of
from view_events import any_event

from imp_parallel_core import Event, Manager, TasksDone


@given(st.lists(any_event()))
def test_what_is_written_is_read_again(written: list[Event]) -> None:
    lines = lines_of(written).splitlines(keepends=True)
    assert [event_of(line) for line in lines] == written
    assert "".join(lines).isascii()


@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_a_line_that_is_none_is_refused_or_ignored(line: str) -> None:
    try:
        assert event_of(line) is None
    except NotARecord:
        pass


@given(any_event(), st.data())
def test_a_line_with_another_value_somewhere_is_refused_or_read(
    event: Event, data: st.DataObject
) -> None:
    fields = json.loads(lines_of([event]))
    name = data.draw(st.sampled_from(sorted(fields)))
    fields[name] = data.draw(st.none() | st.text() | st.lists(st.text()) | st.floats(-1e9, 1e9))
    try:
        event_of(json.dumps(fields))
    except NotARecord:
        pass


def test_lines_of_later_versions_are_read_as_far_as_they_are_known() -> None:
    assert event_of('{"event":"TasksFused","at":1.0}') is None
    line = '{"event":"TasksAdded","at":1.0,"context":1,"count":2,"total":3,"urgent":true}'
    known = event_of(line)
    assert repr(known) == "TasksAdded(at=1.0, context=1, count=2, total=3)"


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.gz"])
def test_a_record_tells_all_outcomes_of_a_run(name: str, tmp_path: Path) -> None:
    with Manager(output=None, plugins=[Record(name)]) as manager:
        for _ in range(2):
            manager.add_slave(LocalSlave())
        context = manager.get_context(name="scoring")
        for number in range(500):
            context.add_task(divmod, 100, number)
        list(context.get_results_unordered(on_error="return"))
    path = tmp_path / name
    assert (path.read_bytes()[:2] == b"\x1f\x8b") == name.endswith(".gz")
    reader = RecordReader(path)
    ended = [task for event in reader if isinstance(event, TasksDone) for task in event]
    assert sorted(task.task for task in ended) == list(range(500))
    assert [task.task for task in ended if task.error] == [0]
    assert (reader.is_cut_off, reader.unreadable) == (False, 0)
    assert reader.facts["script"]


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.gz"])
def test_a_record_of_a_script_that_was_killed_is_complete_to_the_last_second(
    name: str,
    tmp_path: Path,
    write_script: Callable[[str], list[str]],
    started: list[subprocess.Popen[str]],
) -> None:
    source = f"""
        import time
        from imp_parallel_core import Manager
        from imp_parallel_local import LocalSlave
        from imp_parallel_view import Record

        with Manager(output=None, plugins=[Record({name!r})]) as manager:
            manager.add_slave(LocalSlave())
            context = manager.get_context()
            for number in range(100):
                context.add_task(abs, number)
            print(sum(context.get_results_unordered()), flush=True)
            time.sleep(100)
    """
    process = subprocess.Popen(write_script(source), stdout=subprocess.PIPE, text=True)
    started.append(process)
    assert process.stdout is not None
    assert process.stdout.readline() == f"{sum(range(100))}\n"
    deadline = time.monotonic() + 30.0
    while outcomes_in(tmp_path / name) < 100:  # within a second, if the machine is not busy
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert outcomes_in(tmp_path / name) == 100


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.gz"])
def test_a_full_disk_ends_the_record_and_not_the_run(
    name: str, tmp_path: Path, write_script: Callable[[str], list[str]]
) -> None:
    source = f"""
        import resource, signal, time
        from imp_parallel_core import Manager
        from imp_parallel_local import LocalSlave
        from imp_parallel_view import Record

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with Manager(output=None, plugins=[Record({name!r})]) as manager:
            manager.add_slave(LocalSlave())
            context = manager.get_context()
            context.add_task(abs, -1)
            list(context.get_results())
            time.sleep(1.5)  # so that what there is has been written
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
            for number in range(30_000):
                context.add_task(str, number)
            print(len(list(context.get_results())), flush=True)
    """
    done = subprocess.run(write_script(source), capture_output=True, text=True, timeout=100)
    assert done.stdout == "30000\n"
    assert "Traceback" not in done.stderr
    assert f"{name} ends here: File too large" in done.stderr
    assert done.stderr.count("is not called again") == 1
    assert 1 <= outcomes_in(tmp_path / name) < 30_000


@pytest.mark.parametrize("path", [None, 3, b"run.jsonl"])
def test_a_path_that_is_none_is_refused(path: object) -> None:
    with pytest.raises(TypeError, match="it needs the path of a file"):
        Record(path)  # type: ignore[arg-type]  # which is the test


def outcomes_in(path: Path) -> int:
    """Return how many outcomes a record holds that may still be written."""
    return sum(len(event) for event in RecordReader(path) if isinstance(event, TasksDone))


def test_a_record_that_is_cut_anywhere_is_read_up_to_there(tmp_path: Path) -> None:
    with Manager(output=None, plugins=[Record("run.jsonl"), Record("run.jsonl.gz")]) as manager:
        manager.add_slave(LocalSlave())
        context = manager.get_context()
        context.add_task(abs, -1)
        assert list(context.get_results()) == [1]
    for name in ("run.jsonl", "run.jsonl.gz"):
        whole = (tmp_path / name).read_bytes()
        number = len(list(RecordReader(tmp_path / name)))
        for length in range(len(whole) // 2, len(whole) - 1):
            (tmp_path / "cut").write_bytes(whole[:length])
            try:
                assert len(list(RecordReader(tmp_path / "cut"))) <= number
            except RecordError:  # not even its first line is there
                assert name.endswith(".gz")


@pytest.mark.parametrize(
    "content",
    [b"my results\n", b"\x1f\x8bnothing", gzip.compress(b"mine", mtime=0)],
    ids=["text", "magic", "gzip"],
)
def test_a_file_that_is_no_record_is_left_alone(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_bytes(content)
    with pytest.raises(FileExistsError, match="is no record"):
        Record(path)
    assert path.read_bytes() == content


def test_what_is_no_plain_file_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FileExistsError, match="is no plain file"):
        Record(tmp_path / "pipe")


@pytest.mark.parametrize("name", ["run.jsonl", "run.jsonl.gz"])
def test_a_record_of_an_earlier_run_is_overwritten(name: str, tmp_path: Path) -> None:
    for _ in range(2):
        with Manager(output=None, plugins=[Record(name)]):
            pass
    assert [type(event).__name__ for event in RecordReader(tmp_path / name)] == [
        "RunBegan",
        "RunEnded",
    ]


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    first = Record(tmp_path / "run.jsonl")
    with pytest.raises(BlockingIOError, match="another run is writing"):
        Record(tmp_path / "run.jsonl")
    with Manager(output=None, plugins=[first]):
        pass
    Record(tmp_path / "run.jsonl")


def test_a_record_goes_where_the_script_was_when_it_was_made(tmp_path: Path) -> None:
    record = Record("run.jsonl")
    (tmp_path / "elsewhere").mkdir()
    os.chdir(tmp_path / "elsewhere")
    with Manager(output=None, plugins=[record]):
        pass
    assert len(list(RecordReader(tmp_path / "run.jsonl"))) == 2


def test_a_record_of_another_format_says_which_version_to_install(tmp_path: Path) -> None:
    (tmp_path / "run.jsonl").write_text(header({}).replace('"format": 1', '"format": 2'))
    with pytest.raises(RecordError, match="its format is 2, and this version reads 1: install"):
        RecordReader(tmp_path / "run.jsonl")
