"""The benchmarks measure, or say why they can't."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from imp_parallel_local import LocalSlave

from imp_parallel_core import Manager

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def test_a_benchmark_whose_slaves_do_not_come_fails_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    peers = importlib.import_module("peers")
    monkeypatch.setattr(
        "imp_parallel_core.Manager", lambda output: Manager("/no/such/python", output=output)
    )
    with pytest.raises(RuntimeError, match=r"of [12] slaves have gone: .*/no/such/python"):
        peers.Ours().__enter__()


def test_a_benchmark_begins_when_all_its_slaves_are_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    slaves = importlib.import_module("slaves")
    with Manager(output=None) as manager:
        manager.add_slave(LocalSlave())
        slaves.wait_until_idle(manager)
        assert [slave.state for slave in manager.slaves] == ["idle"]
