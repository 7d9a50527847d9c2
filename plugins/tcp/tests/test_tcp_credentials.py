"""A run's certificate is good as long as the run is, whatever the clocks say."""

from __future__ import annotations

import os
import ssl
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from imp_parallel_tcp._credentials import RunCredentials
from imp_parallel_tcp._tls import TOKEN_BYTES

from imp_parallel_core import Manager
from tests.support import file_launcher
from tests.support.file_launcher import FileSlave
from tests.support.packages import need, need_programs


def test_a_certificate_is_valid_in_every_year_that_a_clock_may_show() -> None:
    certificate = x509.load_der_x509_certificate(RunCredentials().certificate)
    assert certificate.not_valid_before_utc == datetime(1970, 1, 1, tzinfo=UTC)
    assert certificate.not_valid_after_utc.year == 9999


def test_every_run_and_every_slave_has_its_own_token() -> None:
    one, other = RunCredentials(), RunCredentials()
    secrets = [run.secret(index) for run in (one, other) for index in range(3)]
    assert len({secret[:TOKEN_BYTES] for secret in secrets}) == len(secrets)
    assert len({secret[TOKEN_BYTES:] for secret in secrets}) == 2


def test_what_a_slave_gets_holds_no_private_key() -> None:
    run = RunCredentials()
    assert run.secret(3)[TOKEN_BYTES:] == run.certificate
    x509.load_der_x509_certificate(run.certificate)  # with nothing behind it


@pytest.fixture(scope="session")
def libfaketime() -> Path:
    """Return the library that gives a process another clock."""
    need("with other clocks", lambda: need_programs({"faketime": "faketime"}))
    return next(Path("/usr/lib").glob("**/libfaketime.so.1"))


@pytest.mark.parametrize("offset", ["-30y", "+30y"])
def test_a_slave_whose_clock_is_decades_off_works(
    offset: str, libfaketime: Path, tmp_path: Path
) -> None:
    python = (
        f"env LD_PRELOAD={libfaketime} FAKETIME={offset} DONT_FAKE_MONOTONIC=1 "
        f"FAKETIME_DONT_FAKE_MONOTONIC=1 {sys.executable}"
    )
    with Manager(host="localhost", python=python, plugins=[file_launcher]) as manager:
        manager.add_slave(FileSlave())
        context = manager.get_context()
        context.add_task(lambda: datetime.now(UTC).year)
        (year,) = context.get_results_unordered()
    assert abs(year - datetime.now(UTC).year) >= 29


@pytest.mark.parametrize("has_memory_files", [True, False])
def test_the_key_is_in_no_file_once_it_has_been_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, has_memory_files: bool
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    if not has_memory_files:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    modes = []
    load = ssl.SSLContext.load_cert_chain

    def watch(context: ssl.SSLContext, path: str) -> None:
        modes.append(Path(path).stat().st_mode & 0o077 if path.startswith("/tmp") else 0)
        load(context, path)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", watch)
    RunCredentials()
    assert modes == [0]
    assert list(tmp_path.iterdir()) == []
