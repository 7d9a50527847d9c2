"""What a run that was killed has left is removed by a later one."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from imp_parallel_batch._cluster import Cluster
from imp_parallel_batch._leftovers import note_name, note_number, sweep
from made_up_host import MadeUpHost

from tests.support.waiting import wait_until


def test_what_a_run_left_is_removed_by_one_for_the_same_cluster_alone_once_its_job_has_gone(
    host: MadeUpHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = type("Other", (type(host.queue),), {"cluster_variables": ("CLUSTER", "CELL")})()
    cluster = Cluster(system, host)
    host.lines = ["7 NAME 1 runs"]
    folders = {}
    for name, where, job in (
        ("own", "here", "5"),
        ("others", "there", "6"),
        ("waits", "here", "7"),
        ("gone", "here", "8"),
    ):
        monkeypatch.setenv("CLUSTER", where)
        folders[name] = Path(host.make_private_folder(str(host.folder), ".imp_parallel-"))
        note_name(cluster, str(folders[name]), "it's $HOME")
        note_number(cluster, str(folders[name]), job)
        assert (folders[name] / "job").read_text() == f"it's $HOME\nqueue\n{where}\n\n"
        if name != "own":
            os.utime(folders[name], (0.0, 0.0))
    sweep(cluster, str(folders["own"]))
    wait_until(lambda: not folders["gone"].exists(), what="the removal")
    wait_until(lambda: "imp_parallel leftovers" not in map(_name, threading.enumerate()))
    left = {name for name, folder in folders.items() if folder.exists()}
    assert left == {"own", "others", "waits"}


def test_the_job_that_needs_documents_is_noted_before_they_are_written(
    host: MadeUpHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[bool] = []
    write_files = host.write_files

    def watched(folder: str, files: Mapping[str, bytes], *, mode: int = 0o600) -> None:
        noted.append(Path(folder, "job").read_text() != "")
        write_files(folder, files, mode=mode)

    monkeypatch.setattr(host, "write_files", watched)
    host.end(host.launch())
    assert noted == [True]


def _name(thread: threading.Thread) -> str:
    return thread.name
