"""Commands are run, bounded in time; files are private where they are said to be."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from imp_parallel_core import CommandHost, LocalHost
from tests.support.waiting import is_alive, wait_until

HOST: CommandHost = LocalHost()


def test_a_command_gets_its_words_and_input_and_tells_how_it_ended(tmp_path: Path) -> None:
    program = "import os, sys; print(sys.argv[1:], sys.stdin.read(), os.getcwd()); sys.exit(3)"
    done = HOST.run(
        [sys.executable, "-c", program, "a b", "$HOME"],
        input=b"given",
        cwd=str(tmp_path),
        timeout_s=20.0,
    )
    assert done == (3, f"['a b', '$HOME'] given {tmp_path}\n", "")
    assert done.words == done.stdout.strip()
    assert HOST.run(["sh", "-c", "kill -9 $$"], timeout_s=20.0).exit_code == -9


def test_a_command_that_hangs_is_killed_with_what_it_started(tmp_path: Path) -> None:
    started = tmp_path / "started"
    line = f"sleep 600 & echo $! >pid; mv pid {started}; wait"
    timeout_s = 0.3
    while not started.exists():  # on a busy machine, that may take longer
        with pytest.raises(TimeoutError, match=f"did not end within {timeout_s:g} s"):
            HOST.run(["sh", "-c", line], timeout_s=timeout_s, cwd=str(tmp_path))
        timeout_s *= 2
    wait_until(lambda: not is_alive(int(started.read_text())))


@pytest.mark.parametrize(
    ("line", "is_done"), [("kill -STOP $$", False), ("read line <end; echo >done", True)]
)
def test_a_command_that_hangs_is_not_left_when_the_script_ends_but_a_slow_one_does_its_work(
    tmp_path: Path, line: str, is_done: bool
) -> None:
    script = f"""
import threading, time
from pathlib import Path
from imp_parallel_core import LocalHost
command = ["sh", "-c", "exec 3<>end; echo $$ >pid; mv pid ready; {line}"]
run = threading.Thread(target=LocalHost().run, args=(command,), kwargs=dict(timeout_s=60))
run.daemon = True
run.start()
while not Path("ready").exists():
    time.sleep(0.01)
with open("end", "w") as end:
    end.write("of the script\\n")
"""
    os.mkfifo(tmp_path / "end")
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    pid = int((tmp_path / "ready").read_text())
    wait_until(lambda: not is_alive(pid))
    assert (tmp_path / "done").exists() == is_done


def test_a_child_that_keeps_the_output_open_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "end")
    child = f"sh -c 'read line <{tmp_path}/end'"
    done = HOST.run(["sh", "-c", f"{child} & echo $!"], timeout_s=50.0)
    assert is_alive(int(done.stdout))
    (tmp_path / "end").write_text("of the test\n")
    wait_until(lambda: not is_alive(int(done.stdout)))


def test_a_command_that_is_not_there_is_an_oserror(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="no-such-program"):
        HOST.run(["no-such-program"], timeout_s=1.0)
    assert HOST.find_program("no-such-program") is None
    monkeypatch.setenv("PATH", "/nowhere")
    assert HOST.search_path() == "/nowhere"


def test_private_files_are_private_and_never_written_through_a_link(tmp_path: Path) -> None:
    folder = HOST.make_private_folder(str(tmp_path), ".private-")
    assert stat.S_IMODE(Path(folder).stat().st_mode) == 0o700
    file = f"{folder}/file"
    HOST.write_file(file, b"0123456789")
    assert stat.S_IMODE(Path(file).stat().st_mode) == 0o600
    assert HOST.read_file(file, limit_bytes=4) == b"6789"
    Path(folder, "link").symlink_to(tmp_path / "elsewhere")
    for taken in ("file", "link"):
        with pytest.raises(FileExistsError):
            HOST.write_file(f"{folder}/{taken}", b"")
    HOST.remove_files([file])
    HOST.remove_files([file])
    HOST.remove_folder(folder)
    HOST.remove_folder(folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["link", "FIFO", "folder"])
def test_only_a_plain_file_is_read_and_nothing_is_waited_for(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "path"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        (tmp_path / "file").write_text("text")
        path.symlink_to("file")
    with pytest.raises(OSError, match="path"):
        HOST.read_file(str(path), limit_bytes=10)


def test_the_home_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert HOST.home() == str(tmp_path)
