"""What attempts have printed, as errors show it."""

from __future__ import annotations

import copy
import pickle

from hypothesis import given
from hypothesis import strategies as st

from imp_parallel_core import Attempt
from imp_parallel_core._printed import LIMIT_BYTES, lost_attempt, output_of, quote


@given(st.binary(max_size=3 * LIMIT_BYTES))
def test_an_output_is_printable_and_limited_whatever_was_written(printed: bytes) -> None:
    output = output_of(printed)
    assert len(output) <= LIMIT_BYTES
    assert output.replace("\n", "").replace("\t", "").isprintable()
    assert quote(output).count("\n    | ") == output.removesuffix("\n").count("\n")


def test_an_output_ends_as_it_was_written() -> None:
    assert output_of(b"") == ""
    assert output_of("ä\r\nö\n".encode()) == "ä\nö\n"
    assert output_of(b"\x1b[31m\xff") == "\\x1b[31m�"
    rubbish = output_of(b"line\n" + bytes(LIMIT_BYTES - 10) + b"\nlast\n")
    assert rubbish == "last\n"  # the line before it is too long when it is shown


def test_an_attempt_is_text_with_an_output_that_stays_with_it() -> None:
    attempt = lost_attempt("on slave 0", b"words\n")
    assert attempt == "on slave 0\n    the last lines that it printed:\n    | words"
    for same in (copy.deepcopy(attempt), pickle.loads(pickle.dumps(attempt))):
        assert isinstance(same, Attempt)
        assert (same, same.output) == (attempt, "words\n")
    assert lost_attempt("on slave 0", b"") == "on slave 0\n    it printed nothing"
