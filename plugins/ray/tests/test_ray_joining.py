"""A Ray that is not there is said within seconds, by whichever address it is meant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.as_root import as_me, as_root, can_be_root
from tests.support.packages import CanNotBeHad, need

pytestmark = pytest.mark.timeout(180)

_ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_AT_MOST_S = 25.0  # on a busy machine; Ray itself tries for a minute at least


def _need_root() -> None:
    if not can_be_root():
        raise CanNotBeHad("only root can hide the Ray of other tests")


def failure_of(folder: Path, address: str, **environment: str) -> str:
    """Return the text of the step that fails of a check that sees no process of others."""
    need("without a Ray", _need_root)
    words = ["-m", "imp_parallel_core", "check", f"RaySlaveArray(1, address={address!r})", "--json"]
    done = subprocess.run(
        as_root(*_ALONE, *as_me(sys.executable, *words)),
        cwd=folder,
        env={**os.environ, "RAY_TMPDIR": str(folder), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = json.loads(done.stdout)
    assert found["failed"] == ["checked"], done.stderr
    (step,) = [each for each in found["steps"] if each["status"] == "failed"]
    assert step["at_s"] < _AT_MOST_S
    return str(step["text"])


def test_where_no_ray_runs_auto_says_so_and_how_to_start_or_name_one(tmp_path: Path) -> None:
    text = failure_of(tmp_path, "auto")
    assert 'no Ray cluster is found for address="auto": ' in text
    assert "start one here by `ray start --head`, or give RaySlaveArray the address=" in text
    assert ".." not in text


def test_auto_names_the_place_where_a_ray_was_that_has_gone(tmp_path: Path) -> None:
    left = tmp_path / "ray/ray_current_cluster"  # by a `ray start` that was killed
    left.parent.mkdir()
    left.write_text("127.0.0.1:1")
    text = failure_of(tmp_path, "auto")
    assert ":1 (Ray has found that on this machine): ConnectionRefusedError: " in text
    assert "`ray start` says its address" in text


@pytest.mark.parametrize("named", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_auto_names_the_place_that_the_environment_names(tmp_path: Path, named: str) -> None:
    text = failure_of(tmp_path, "auto", RAY_ADDRESS=named)
    assert "at 127.0.0.1:1 (RAY_ADDRESS names that): ConnectionRefusedError: " in text


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_an_address_where_nobody_answers_is_named(tmp_path: Path, address: str) -> None:
    text = failure_of(tmp_path, address)
    assert f"can't join the Ray cluster at {address}: ConnectionRefusedError: " in text
