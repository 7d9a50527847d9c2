"""What a host says of many files is taken apart as it was put together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imp_parallel_ssh._login_node.file_scripts import split_files


def said(contents: list[bytes]) -> bytes:
    return b"".join(b"%d\n%b" % (len(content), content) for content in contents)


@given(st.lists(st.one_of(st.binary(max_size=100), st.from_regex(rb"[0-9]{1,3}\n.*"))))
def test_the_contents_of_files_are_told_apart_whatever_is_in_them(contents: list[bytes]) -> None:
    assert split_files(said(contents), len(contents)) == contents


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=5), st.data())
def test_what_a_host_has_not_said_to_the_end_is_an_error(
    contents: list[bytes], data: st.DataObject
) -> None:
    whole = said(contents)
    with pytest.raises(ValueError, match="missing"):
        split_files(whole[: data.draw(st.integers(0, len(whole) - 1))], len(contents))


@given(st.binary(max_size=40))
def test_what_is_no_answer_is_an_error_or_read_as_it_says(noise: bytes) -> None:
    try:
        (content,) = split_files(noise, 1)
    except ValueError:
        return
    assert content in noise
