"""Commands are run, bounded in time; files are private where they are said to be."""

from __future__ import annotations

import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imp_parallel_core import CommandHost, LocalHost

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
    begun = time.monotonic()
    line = f"sleep 600 & echo $! > {tmp_path}/pid; wait"
    with pytest.raises(TimeoutError, match=r"did not end within 0\.3 s"):
        HOST.run(["sh", "-c", line], timeout_s=0.3)
    assert time.monotonic() - begun < 10.0
    wait_for_end(int((tmp_path / "pid").read_text()))


def wait_for_end(pid: int) -> None:
    stat_file = Path(f"/proc/{pid}/stat")
    deadline = time.monotonic() + 5.0
    while stat_file.exists() and stat_file.read_text().rpartition(")")[2].split()[0] not in "ZX":
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("line", "is_done"), [("kill -STOP $$", False), ("sleep 0.5; echo >done", True)]
)
def test_a_command_that_hangs_is_not_left_when_the_script_ends_but_a_slow_one_does_its_work(
    tmp_path: Path, line: str, is_done: bool
) -> None:
    script = f"""
import threading, time
from pathlib import Path
from imp_parallel_core import LocalHost
command = ["sh", "-c", "echo $$ >pid; mv pid ready; {line}"]
run = threading.Thread(target=LocalHost().run, args=(command,), kwargs=dict(timeout_s=60))
run.daemon = True
run.start()
while not Path("ready").exists():
    time.sleep(0.01)
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, timeout=30)
    wait_for_end(int((tmp_path / "ready").read_text()))
    assert (tmp_path / "done").exists() == is_done


def test_a_child_that_keeps_the_output_open_is_not_waited_for() -> None:
    begun = time.monotonic()
    assert HOST.run(["sh", "-c", "sleep 3 & echo done"], timeout_s=60.0).stdout == "done\n"
    assert time.monotonic() - begun < 2.5


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
    HOST.remove_file(file)
    HOST.remove_file(file)
    HOST.remove_folder(folder)
    HOST.remove_folder(folder)
    assert list(tmp_path.iterdir()) == []


def test_the_home_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert HOST.home() == str(tmp_path)
