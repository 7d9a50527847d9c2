"""What a user may call a host."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imp_parallel_ssh._target import Target, parse_target


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host", Target("host")),
        ("user@host", Target("host", "user")),
        ("user@host:2222", Target("host", "user", 2222)),
        ("host.example.org:22", Target("host.example.org", None, 22)),
        ("me@corp.org@host", Target("host", "me@corp.org")),
        ("10.0.0.1", Target("10.0.0.1")),
        ("::1", Target("::1")),
        ("[::1]", Target("::1")),
        ("[::1]:22", Target("::1", None, 22)),
        ("u@[fe80::1%eth0]:2", Target("fe80::1%eth0", "u", 2)),
    ],
)
def test_a_host_is_read_as_it_is_written_for_ssh(text: str, expected: Target) -> None:
    assert parse_target(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "@host",
            "user@",
            "host:",
            "host:0",
            "host:65536",
            "host:x",
            "host:٣",
            "a b",
            "-oX=y",
        ),
        *("-l@host", "u@-host", "[host]:22", "[::1", "[::1]22", "::1]:22", "host;ls", "$(ls)", "é"),
        *("-oX=y", "host\n", "u\n@host", "ssh://host", "host/path", "u;ls@host", "u\u200b@host"),
    ],
)
def test_what_can_not_be_a_host_is_refused_with_the_way_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="host"):
        parse_target(text)


@given(st.text())
def test_nothing_that_is_read_could_be_taken_for_an_option_or_for_two_words(text: str) -> None:
    try:
        target = parse_target(text)
    except ValueError:
        return
    for part in filter(None, (target.host, target.user)):
        assert not part.startswith("-")
        assert part.isprintable()
        assert not set(part) & set(" \t\n'\"`$;&|<>\\")


names = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,20}", fullmatch=True)
addresses = st.ip_addresses(v=6).map(str)
users = st.from_regex(r"[a-z_][a-z0-9_.-]{0,20}", fullmatch=True)


@given(names | addresses, st.none() | users, st.none() | st.integers(1, 65535))
def test_a_target_is_written_as_it_is_read(host: str, user: str | None, port: int | None) -> None:
    target = Target(host, user, port)
    assert parse_target(str(target)) == target
