"""Each check of a transport finds one that has that one thing wrong, and says so."""

from __future__ import annotations

import unittest
from pathlib import Path

import pytest

from imp_parallel_core import testing
from imp_parallel_core.testing import _listening, _strangers
from tests.support.harness import Processes, processes
from tests.support.unix_transport import UnixTransport, connect
from tests.testing import transports

__all__ = ["processes"]  # a fixture


@pytest.fixture(autouse=True)
def _in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: Processes) -> None:
    monkeypatch.chdir(tmp_path)


def check_named(name: str, limit_s: float = 60.0) -> testing.TransportCheck:
    return next(each for each in testing.transport_checks(limit_s=limit_s) if each.name == name)


@pytest.mark.parametrize("check", testing.transport_checks())
def test_a_transport_with_nothing_wrong_passes(
    tmp_path: Path, check: testing.TransportCheck
) -> None:
    check(transports.Right, output_folder=tmp_path, connect=connect)


NUMBER = "each_slave_is_handed_over_under_its_number"
MODULES = "the_slaves_side_needs_its_modules_alone"
NONSENSE = "strangers_who_talk_nonsense_get_no_further"
MIDDLE = "strangers_who_stop_in_the_middle_get_no_further"
SECRET = "a_wrong_secret_opens_nothing"
CLOSE = "close_ends_listening_and_may_be_called_twice"
AGAIN = "a_slave_whose_stream_has_broken_dials_again"
GONE = "a_slave_whose_master_has_gone_leaves"
SESSION = "a_session_goes_on_over_another_stream"

WRONG = [
    (NUMBER, transports.ForgetsNumbers, r"accept\(\) was called with 0 when slave 1 had"),
    (
        "both_ends_agree_whether_a_stream_can_be_made_again",
        transports.DisagreesAboutResumption,
        "resumable is False on the master, and True on the slave",
    ),
    (MODULES, transports.NamesTooFewModules, "does not name the module tests.support.unix_dial"),
    (MODULES, transports.NeedsMoreModules, "greedy_dial:dial needs: .*No module named.*_loop"),
    (
        "arguments_and_results_of_any_size_travel",
        transports.LosesLargeBlocks,
        "nothing came within 3 s; slave 0",
    ),
    (
        "a_slave_of_another_version_is_told_why_it_is_refused",
        transports.ForgetsWhatIsNotSentWhenItCloses,
        "was refused, but the reason did not arrive: b''",
    ),
    (
        NONSENSE,
        transports.LetsAnybodyIn,
        r"(?i)stranger.*accept\(|accept\(.*stranger",
    ),
    (NONSENSE, transports.HearsOneAfterTheOther, r"strangers had connected; then dial\(\) ended"),
    (MIDDLE, transports.KeepsStrangers, r"a stranger who said b'', and no more, is kept connected"),
    (SECRET, transports.LooksAtHalfTheSecret, r"accept\(\) was called, with 0, for who has anoth"),
    (CLOSE, transports.GoesOnListening, r"after close\(\), somebody still listens at "),
    (CLOSE, transports.CanNotBeClosedTwice, r"close\(\) raised OSError.* when called again"),
    (AGAIN, transports.LetsASlaveInOnce, r"dial\(\) ended the process of slave 3, whose secret is"),
    (GONE, transports.LetsErrorsThrough, r"dial\(\) raised ConnectionRefused.*must call sys.exit"),
    (SESSION, transports.LetsASlaveInOnce, "nothing came within 3 s; slave 0.*: reconnecting"),
]
GETS_STUCK = {
    transports.LosesLargeBlocks,
    transports.HearsOneAfterTheOther,
    transports.LetsASlaveInOnce,
}


# what is wrong with such a transport may leave sockets open, until Python collects them
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("name", "wrong", "words"), WRONG)
def test_a_transport_with_one_thing_wrong_is_found(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    wrong: type[UnixTransport],
    words: str,
) -> None:
    monkeypatch.setattr(_strangers, "_ENDED_S", 2.0)
    monkeypatch.setattr(_listening, "_DIALS_S", 2.0)
    made: list[UnixTransport] = []

    def make() -> UnixTransport:
        made.append(wrong())
        return made[-1]

    check = check_named(name, 3.0 if wrong in GETS_STUCK else 60.0)
    with pytest.raises(AssertionError, match=f"(?s){words}"):
        check(make, output_folder=tmp_path, connect=connect)
    for each in made:
        UnixTransport.close(each)


def test_each_check_is_shown_to_find_something() -> None:
    of_streams = {check.name for check in testing.stream_checks()}  # shown elsewhere
    found = {name for name, *_ in WRONG}
    assert found | of_streams == {check.name for check in testing.transport_checks()}


def test_the_checks_that_a_transport_can_not_be_put_to_are_left_out_under_their_names(
    tmp_path: Path,
) -> None:
    left_out = testing.check_transport(UnixTransport, output_folder=tmp_path, connect=connect)
    assert left_out.keys() == {AGAIN, SESSION}
    folder = tmp_path / "again"
    folder.mkdir()
    with pytest.raises(unittest.SkipTest, match=f"{AGAIN}: the streams of this transport can't"):
        check_named(AGAIN)(UnixTransport, output_folder=folder, connect=connect)
