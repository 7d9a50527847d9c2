"""A small batch system for tests, whose commands are put, list and drop; jobs run on this machine.

This file is all three programs: see ``install``.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def install(folder: Path) -> Path:
    """Put the programs into a folder; return its path. They keep what they know beside it."""
    programs = folder / "bin"
    programs.mkdir()
    (folder / "tasks").mkdir()
    for name in ("put", "list", "drop"):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {sys.executable} {__file__} {name} {folder} "$@"\n')
        program.chmod(0o755)
    return programs


def tasks(folder: Path) -> Iterator[tuple[Path, str, int, str, int]]:
    """Yield the files of the tasks that are there, with job, number, name and pid (0: it waits)."""
    for path in sorted((folder / "tasks").iterdir()):
        job, _, number = path.name.partition(".")
        name, pid = path.read_text().split()
        if int(pid) == 0 or state_of(int(pid)) not in "ZX":
            yield path, job, int(number), name, int(pid)


def state_of(pid: int) -> str:
    """Return the letter of a process's state; X if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def put(folder: Path, options: list[str]) -> None:
    """Start the tasks of a job, or have them wait."""
    given: dict[str, str] = {}
    while options:
        option = options.pop(0)
        if option in ("--hold", "--first-is-0", "--several"):
            given[option] = ""
        elif option in ("--name", "--output", "--tasks"):
            given[option] = options.pop(0)
        else:
            sys.exit(f"put: there is no option {option}")
    if int(given["--tasks"]) < 2 and "--several" in given:
        sys.exit("put: a job has two tasks at least")
    jobs = {int(path.name.partition(".")[0]) for path in (folder / "tasks").iterdir()}
    job = max(jobs, default=6) + 1
    script = folder / f"{job}.script"
    script.write_text(sys.stdin.read())
    first = 0 if "--first-is-0" in given else 1
    for number in range(first, first + int(given["--tasks"])):
        pid = 0
        if "--hold" not in given:
            with open(given["--output"].replace("%t", str(number)), "wb") as output:  # noqa: PTH123
                pid = subprocess.Popen(
                    ["bash", script],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env={**os.environ, "TASK_NUMBER": str(number)},
                    start_new_session=True,
                ).pid
        (folder / f"tasks/{job}.{number}").write_text(f"{given['--name']} {pid}")
    print(f"job {job}")


def show(folder: Path) -> None:
    """List the tasks."""
    for _, job, number, name, pid in tasks(folder):
        state = (
            "runs" if pid and state_of(pid) != "T" else "stopped" if pid else "waits held by you"
        )
        print(job, name, number, state)
    print("end")


def drop(folder: Path, job: str, ranges: list[str]) -> None:
    """Delete a job, or ranges of its tasks."""
    limits = [tuple(map(int, re.findall(r"\d+", each))) for each in ranges]
    for path, its_job, number, _, pid in tasks(folder):
        if its_job == job and (not limits or any(a <= number <= b for a, b in limits)):
            if pid:
                os.killpg(pid, signal.SIGKILL)
            path.unlink()


def main() -> None:
    """Be the program that the first argument names."""
    what, folder, *arguments = sys.argv[1:]
    if what == "put":
        put(Path(folder), arguments)
    elif what == "list":
        show(Path(folder))
    else:
        drop(Path(folder), arguments[0], arguments[1:])


if __name__ == "__main__":
    main()
