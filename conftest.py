"""What all tests need of the process that they run in."""

import gc
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from imp_parallel_core._explained import forget_what_was_said

pytest.register_assert_rewrite("tests.support.batch_suite")

# How long an example takes depends on what else the machine does; each test has a time limit.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# A shell that runs something in the background has it ignore these, and what tests start would
# inherit that.
for _number, _default in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _default)


@pytest.fixture(autouse=True)
def _nothing_has_been_explained_before() -> None:
    """Let the first message of each test that is said again and again have its last line."""
    forget_what_was_said()


@pytest.fixture(autouse=True, scope="module")
def _what_a_module_leaves_unclosed_fails_it() -> Iterator[None]:
    """Have the warning of what was not closed, which is an error, come in its own module."""
    yield
    gc.collect()
