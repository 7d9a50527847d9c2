"""Nobody else reads a secret; and no folder's name changes what is written where."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.as_root import as_root
from tests.support.batch_suite.cluster import BatchCluster
from tests.support.batch_suite.slaves import manager_of, squared, squares, wait_for
from tests.support.waiting import wait_until

__all__ = [
    "test_folders_with_hostile_names_are_no_hindrance",
    "test_the_documents_are_private_and_each_slave_has_its_own_output",
    "test_the_secrets_are_where_nobody_else_can_read_them",
]
_HOSTILE = ['a b\' $(echo "x"); *,:', "$HOME", "%u %a", "back\\slash", "new\n#$ -l line"]


@pytest.mark.parametrize("name", _HOSTILE)
def test_folders_with_hostile_names_are_no_hindrance(
    batch: BatchCluster, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    with manager_of(batch, 2) as manager:
        wait_for(manager, "idle", "idle")
        context = manager.get_context()
        for _ in range(2):
            context.add_task(lambda: (print("said"), os.getcwd())[1])  # noqa: PTH109
        assert set(context.get_results_unordered()) == {str(folder)}
    said = "".join(path.read_text() for path in folder.glob("slave?.output"))
    assert said == "said\n" * 2
    assert list(folder.iterdir()) == list(folder.glob("slave?.output"))


def test_the_documents_are_private_and_each_slave_has_its_own_output(
    batch: BatchCluster, tmp_path: Path
) -> None:
    with manager_of(batch, 3, batch.held) as manager:
        wait_for(manager, "queued", "queued", "queued")
        (folder,) = tmp_path.glob(".imp_parallel-*")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        documents = [folder / str(number) for number in (1, 2, 3)]
        assert {stat.S_IMODE(file.stat().st_mode) for file in documents} == {0o600}
        batch.release(batch.held_job())
        wait_for(manager, "idle", "idle", "idle")
        wait_until(lambda: not any(map(Path.exists, documents)), what="their removal")
        context = manager.get_context(lambda: print("set up"))
        squares(context, 12, 0.2)
        assert sorted(context.get_results_unordered()) == squared(12)
    outputs = [(tmp_path / f"slave{number}.output").read_text() for number in range(3)]
    assert outputs == ["set up\n"] * 3
    assert list(tmp_path.glob(".imp*")) == []


def test_the_secrets_are_where_nobody_else_can_read_them(
    batch: BatchCluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    with manager_of(batch, 1, batch.held) as manager:
        wait_for(manager, "queued")
        (document,) = tmp_path.glob(".imp_parallel-*/1")
        secret = json.loads(document.read_text())["secret"]
        assert len(secret) > 20
        pieces = [secret[start : start + 20] for start in range(0, len(secret) - 20, 200)]
        assert "Permission denied" in _read_as_another_user(document)
        job = batch.held_job()
        shown = [batch.description(job), _all_files_in(batch.spool)]
        batch.release(job)
        wait_for(manager, "idle")
        shown += [batch.description(job), _all_files_in(batch.spool), caplog.text]
        shown += [path.read_text() for path in tmp_path.glob("slave*.output")]
        for process in Path("/proc").glob("[0-9]*"):
            for name in ("cmdline", "environ"):
                try:
                    shown.append((process / name).read_text(errors="replace"))
                except OSError:
                    continue
        assert any(str(document.parent) in text for text in shown)  # the script has been seen
        assert not [piece for piece in pieces if any(piece in text for text in shown)]


def _read_as_another_user(path: Path) -> str:
    """Return what another user's ``cat`` says of a file, which root alone can find out."""
    another = as_root("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    done = subprocess.run([*another, "cat", str(path)], capture_output=True, text=True)
    return done.stdout + done.stderr


def _all_files_in(folder: Path) -> str:
    command = as_root("find", str(folder), "-type", "f", "-exec", "cat", "{}", "+")
    return subprocess.run(command, capture_output=True).stdout.decode(errors="replace")
