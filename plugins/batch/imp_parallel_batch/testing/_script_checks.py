"""Checks of the job script, which bash runs in folders with hostile names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from .._job_script import ScriptParts, render
from .._system import BatchSystem

_NAMES = (
    "a b",
    "a'; echo foo",
    'quote"s',
    "new\nline",
    "$HOME",
    "*",
    "b\\",
    "`id`",
    "%a %t",
    "caf\N{LATIN SMALL LETTER E WITH ACUTE}",
    "\n#$ -l x=1\n#SBATCH -x\n#PBS -x\n#BSUB -x",
)
_DIRECTIVES = ("#$", "#SBATCH", "#PBS", "#BSUB", "#FLUX", "#COBALT")
_SLAVE = "import json, os, sys; print(json.dumps([sys.argv[1:], os.getcwd()])); sys.exit({code})"
_CODE = 7
_LIMIT_S = 60.0


def check_the_script_runs_in_hostile_folders(system: BatchSystem, folder: Path) -> None:
    """Each task's script starts its own slave, whatever the folders are called.

    Args:
        system: the batch system.
        folder: an empty folder.
    """
    for place, name in enumerate(_NAMES):
        work = folder / str(place) / name
        work.mkdir(parents=True)
        _check_tasks(system, work, name)
    for code in system.reserved_exit_codes:
        script, _ = _script(system, folder, "", code)
        done = _run(system, script, folder, system.first_task)
        assert done.returncode not in system.reserved_exit_codes, f"a job ends with {code}"
        kept = (folder / f"{system.first_task}.exit").read_text()
        assert kept == f"{code}\n", f"the exit code {code} is kept as {kept!r}"


def _check_tasks(system: BatchSystem, work: Path, name: str) -> None:
    script, outputs = _script(system, work, name, _CODE)
    _check_text(script)
    for place, output in enumerate(outputs):
        task = system.first_task + place
        done = _run(system, script, work.parent, task)
        written = output.read_text() if output.exists() else ""
        words = (done.stdout + done.stderr).decode(errors="replace")
        assert (done.returncode, words) == (_CODE, ""), (
            f"task {task} in {str(work)!r} ends with {done.returncode}: {words}{written}"
        )
        try:
            argv, cwd = json.loads(written)
        except ValueError:
            raise AssertionError(
                f"the script of task {task} (notice(), restarted) says: {written}"
            ) from None
        *first, notice = argv
        assert first == [name, "file", f"{work}/{task}", "warned"], f"the slave was given {argv}"
        assert notice.isdecimal(), f"notice() sets notify to {notice!r}, which is no number"
        assert cwd == os.path.realpath(work), f"the slave of {str(work)!r} is in {cwd!r}"
        kept = (work / f"{task}.exit").read_text()
        assert kept == f"{_CODE}\n", f"the exit code {_CODE} is kept as {kept!r}"


def _check_text(script: str) -> None:
    assert script.isascii(), "the script is not ASCII"
    for line in script.splitlines()[1:]:
        assert line.isprintable(), f"the script holds {line!r}"
        assert not line.startswith(_DIRECTIVES), f"a line would be taken for options: {line!r}"


def _script(system: BatchSystem, work: Path, name: str, code: int) -> tuple[str, list[Path]]:
    """Return the script of three tasks in a folder, and the paths of their outputs."""
    outputs = [work / f"slave{place}.output" for place in range(3)]
    parts = ScriptParts(
        command=[sys.executable, "-c", _SLAVE.format(code=code), name],
        folder=str(work),
        output_paths=[str(path) for path in outputs],
        environment={"COLOUR": name},
        cwd=str(work),
    )
    return render(system, parts), outputs


def _run(
    system: BatchSystem, script: str, folder: Path, task: int
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["/bin/bash"],
        input=script.encode(),
        cwd=folder,
        env={**os.environ, system.task_variable: str(task)},
        capture_output=True,
        timeout=_LIMIT_S,
        check=False,
    )
