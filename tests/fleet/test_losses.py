"""What befalls a hundred slaves in one way is said once, with their number."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from imp_parallel_core import Bootstrap, NoSlaveStartedError, Slave
from imp_parallel_core._fleet.losses import LossLog, hopeless
from imp_parallel_core._fleet.record import SlaveRecord
from imp_parallel_core._fleet.state import Timeouts


def lost(index: int, how: str, host: str = "") -> SlaveRecord:
    """Return the record of a slave that was lost; ``how`` may name its output by ``{path}``."""
    path = f"/somewhere/slave{index}.output"
    bootstrap = Bootstrap(index, "python", "/somewhere", path, [])
    record = SlaveRecord(Slave(), bootstrap, Timeouts(1.0, 1.0, 1.0, 1.0))
    record.life.host = host
    record.failure = f"{record}: " + how.format(path=path, name=record.name, host=host)
    return record


HOW = (
    "its connection ended; exit code 3 on {host}\n    command: python -c …\n"
    "    the end of its output ({path}):\n    | no licence for {name}"
)


def test_a_hundred_slaves_that_failed_alike_take_one_paragraph() -> None:
    records = [lost(index, HOW, f"node{index}.cluster") for index in range(100)]
    error = hopeless(records)
    text = str(error)
    assert text.count("no licence") == 1
    assert "100 slaves (0-99), all alike. slave 0 (node0.cluster): its connection ended" in text
    assert "(/somewhere/slave0.output)" in text
    assert len(text.splitlines()) < 8
    assert isinstance(error, NoSlaveStartedError)
    assert [failure.partition(":")[0] for failure in error.failures][99] == (
        "slave 99 (node99.cluster)"
    )


def test_slaves_whose_failures_quote_the_outputs_of_all_are_alike() -> None:
    how = "qsub refused the array\n    | /somewhere/slave0.output\n    | /somewhere/slave11.output"
    text = str(hopeless([lost(index, how) for index in range(12)]))
    assert "12 slaves (0-11), all alike" in text
    assert text.count("refused") == 1


def test_losses_that_differ_are_reported_apart() -> None:
    how = "exit code {}\n    its output ({{path}}) is empty"
    codes = [1, 2, 1, 1, 3, 1]
    records = [lost(index, how.format(code)) for index, code in enumerate(codes)]
    text = str(hopeless(records))
    assert "4 slaves (0, 2-3, 5), all alike. slave 0: exit code 1" in text
    assert "- slave 1: exit code 2" in text
    assert "- slave 4: exit code 3" in text


def test_how_a_stream_broke_is_no_difference() -> None:
    records = [
        lost(0, "its connection ended; exit code 1"),
        lost(1, "its connection broke: [Errno 104] Connection reset by peer; exit code 1"),
    ]
    assert "2 slaves (0-1), all alike" in str(hopeless(records))


def test_a_hundred_that_failed_differently_are_cut_short_and_all_kept() -> None:
    error = hopeless([lost(index, f"reason {chr(1000 + index)}") for index in range(100)])
    assert len(str(error).splitlines()) < 15
    assert "90 more in other ways" in str(error)
    assert len(error.failures) == 100


def test_the_log_tells_one_and_then_how_many_more(caplog: pytest.LogCaptureFixture) -> None:
    due: list[Callable[[], None]] = []
    log = LossLog(lambda _when, then: due.append(then))
    with caplog.at_level(logging.WARNING, "imp_parallel"):
        for index in range(100):
            log.note(lost(index, HOW))
        assert caplog.messages == []  # an error may tell it
        tell_all(due)
        log.note(lost(100, "another way"))
        for index in range(101, 200):
            log.note(lost(index, HOW))
        tell_all(due)
        alike, more, other = caplog.messages
        assert "lost 100 slaves (0-99), all alike. slave 0: its connection ended" in alike
        assert alike.count("no licence") == 1
        how = "its connection ended; exit code 3 on "
        assert more == f"lost 99 slaves (101-199) in the same way: {how}"
        assert "another way" in other
        tell_all(due)
        log.note(lost(0, HOW))  # later: it is told anew
        log.tell_all()
        assert len(caplog.messages) == 4
        assert "no licence" in caplog.messages[3]
    for then in due:  # at the end
        then()
    assert len(caplog.messages) == 4


def test_the_log_warns_of_nothing_that_the_error_says(caplog: pytest.LogCaptureFixture) -> None:
    due: list[Callable[[], None]] = []
    log = LossLog(lambda _when, then: due.append(then))
    with caplog.at_level(logging.INFO, "imp_parallel"):
        again = lost(0, "exit code 1")
        log.note(again)
        again.failure += "\n    it had been launched again 3 times (the Manager's max_relaunches)"
        log.note(again)
        other = lost(1, "its host is down")
        log.note(other)
        other.failure = f"{other}: its host is unknown"  # when it was launched again
        log.note(other)
        log.error_given([again, other])
        assert [record.levelname for record in caplog.records] == ["INFO", "INFO"]
        tell_all(due)
        log.tell_all()
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warned == ["lost slave 1: its host is down"]


def tell_all(due: list[Callable[[], None]]) -> None:
    """Let the time pass for which losses are held back that have been noted so far."""
    for then in due.copy():
        due.remove(then)
        then()
