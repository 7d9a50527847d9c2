"""The files of known hosts say the same here as they say to ssh-keygen."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imp_parallel_ssh._identity.known_hosts import add_known_key, known_keys, name_of

from tests.support.sshd import make_key, run

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBX0Z3sz9A3rGJH0J5G3h0w0Yq9kq0mYk7ZRJ0h0w0Yq"


def keygen_finds(path: Path, name: str) -> bool:
    command = ["ssh-keygen", "-F", name, "-f", str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("names", "name", "found"),
    [
        ("host", "host", True),
        ("host,10.0.0.1", "10.0.0.1", True),
        ("Host", "host", True),
        ("host", "hos", False),
        ("*.example.org", "a.example.org", True),
        ("*.example.org,!b.example.org", "b.example.org", False),
        ("h?st", "host", True),
        ("[host]:2222", "[host]:2222", True),
        ("[host]:2222", "host", False),
        ("host", "[host]:2222", False),
        ("[*]:2222", "[host]:2222", True),
        ("[h]ost", "host", False),
    ],
)
def test_names_and_patterns_are_understood(
    tmp_path: Path, names: str, name: str, found: bool
) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(f"# a comment\n\n{names} {KEY} a comment\n")
    assert bool(known_keys([str(path)], name)) == found == keygen_finds(path, name)


def test_hashed_names_are_found_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(f"host {KEY}\n[host]:2222 {KEY}\n")
    run("ssh-keygen", "-H", "-f", str(path))
    assert "host" not in path.read_text()
    assert [key.line for key in known_keys([str(path)], "host")] == [1]
    assert [key.line for key in known_keys([str(path)], "[host]:2222")] == [2]
    assert not known_keys([str(path)], "other")


def test_fingerprints_are_those_that_ssh_keygen_prints(tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    public = (tmp_path / "key.pub").read_text()
    (tmp_path / "known_hosts").write_text("host " + public)
    (key,) = known_keys([str(tmp_path / "known_hosts")], "host")
    assert key.fingerprint in run("ssh-keygen", "-lf", str(tmp_path / "key.pub"))


def test_markers_are_kept_and_unknown_ones_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    path.write_text(f"@revoked host {KEY}\n@cert-authority * {KEY}\n@what host {KEY}\n")
    markers = [key.marker for key in known_keys([str(path)], "host")]
    assert markers == ["@revoked", "@cert-authority"]


def test_a_key_is_added_on_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "known_hosts"
    add_known_key(str(path), "one", "ssh-ed25519", b"first")
    path.write_bytes(path.read_bytes().rstrip())
    add_known_key(str(path), "two", "ssh-ed25519", b"second")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [key.blob for name in ("one", "two") for key in known_keys([str(path)], name)] == [
        b"first",
        b"second",
    ]


@given(st.lists(st.text(), max_size=5))
def test_no_file_is_so_broken_that_it_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str]
) -> None:
    path = tmp_path_factory.mktemp("known") / "known_hosts"
    path.write_text("\n".join([*lines, f"\nhost {KEY}"]), errors="surrogateescape")
    known_keys([str(path)], "host")


def test_a_host_at_another_port_has_another_name() -> None:
    assert (name_of("Host", 22), name_of("Host", 2222)) == ("host", "[host]:2222")
