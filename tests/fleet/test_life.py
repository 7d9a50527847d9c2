"""What follows from what happens to a slave, event by event."""

from __future__ import annotations

import pytest

from imp_parallel_core import LaunchState
from imp_parallel_core._fleet.actions import (
    Ask,
    Close,
    EndSession,
    LetGo,
    Listen,
    LookAfter,
    Lost,
    Ping,
    Refuse,
    Release,
    Tell,
    TellLaunch,
    Warn,
    Welcome,
)
from imp_parallel_core._fleet.evidence import Evidence
from imp_parallel_core._fleet.session_state import StreamSigns
from imp_parallel_core._fleet.state import SlaveState, Stage, Timeouts
from imp_parallel_core._scheduler.patience import LOOKS
from imp_parallel_core._scheduler.scheduler import Scheduler

from .performed_life import (
    CONNECT_S,
    ENDED,
    FOR_LONG_S,
    HEARTBEAT_S,
    QUEUED,
    RECONNECT_S,
    RUNNING,
    SUSPENDED,
    PerformedLife,
)


@pytest.fixture
def slave() -> PerformedLife:
    """Return a slave that is being launched."""
    return PerformedLife()


# ---- launches


def test_a_slave_that_runs_and_does_not_connect_is_asked_about_and_lost(
    slave: PerformedLife,
) -> None:
    slave.launch_state(RUNNING)
    slave.pass_time(CONNECT_S)
    assert slave.stage() is Stage.ENDING
    slave.answer(Evidence(RUNNING, "no licence", "python3 -m slave"))
    (loss,) = slave.losses
    assert loss.startswith("it was started, but did not connect within 10 s (connect_timeout)")
    assert "python3 -m slave" in loss


def test_a_slave_that_waits_in_a_queue_waits_as_long_as_it_takes(slave: PerformedLife) -> None:
    slave.launched()
    slave.launch_state(QUEUED._replace(detail="no host is free"))
    slave.pass_time(FOR_LONG_S)
    assert (slave.state(), slave.life.detail) == (SlaveState.QUEUED, "no host is free")


def test_a_slave_that_is_suspended_before_it_has_connected_is_shown_as_paused(
    slave: PerformedLife,
) -> None:
    slave.launch_state(RUNNING)
    slave.launch_state(SUSPENDED)
    assert (slave.state(), slave.life.detail) == (SlaveState.PAUSED, "suspended")
    slave.launch_state(SUSPENDED._replace(detail="by an administrator"))
    assert slave.life.detail == "suspended: by an administrator"
    slave.pass_time(FOR_LONG_S)
    assert slave.stage() is Stage.LAUNCHING
    slave.launch_state(RUNNING)
    assert (slave.state(), slave.life.detail) == (SlaveState.LAUNCHING, "")
    slave.connect()
    assert slave.state() is SlaveState.IDLE


@pytest.mark.parametrize("known", [None, QUEUED._replace(detail="no host is free")])
def test_the_detail_of_a_slave_says_that_its_launch_can_not_be_asked(
    slave: PerformedLife, known: LaunchState | None
) -> None:
    before = ""
    if known is not None:
        slave.launch_state(known)
        before = known.detail
    slave.perform(slave.life.poll_failed(slave.launch, "poll failed: no route", slave.now))
    assert slave.life.detail == "; ".join(filter(None, [before, "poll failed: no route"]))
    slave.perform(slave.life.poll_failed(slave.launch, "", slave.now))
    assert slave.life.detail == before
    slave.perform(slave.life.poll_failed(slave.launch - 1, "poll failed: late", slave.now))
    assert slave.life.detail == before


@pytest.mark.parametrize("state", [QUEUED, SUSPENDED])
def test_a_slave_that_is_stopped_or_queued_again_gets_its_whole_time_when_it_runs(
    slave: PerformedLife, state: LaunchState
) -> None:
    slave.launch_state(RUNNING)
    slave.pass_time(CONNECT_S - 1)
    slave.launch_state(state)
    slave.pass_time(1)
    slave.launch_state(RUNNING)
    slave.pass_time(CONNECT_S - 1)
    assert slave.stage() is Stage.LAUNCHING
    slave.pass_time(1)
    assert slave.stage() is Stage.ENDING


def test_news_of_a_slave_that_runs_do_not_give_it_more_time(slave: PerformedLife) -> None:
    slave.launch_state(RUNNING)
    slave.pass_time(CONNECT_S - 1)
    slave.launch_state(RUNNING._replace(detail="still"))
    slave.pass_time(1)
    assert slave.stage() is Stage.ENDING


def test_the_timers_of_an_earlier_launch_do_not_strike_a_later_one() -> None:
    slave = PerformedLife(relaunches=9)
    slave.launch_state(RUNNING)
    slave.pass_time(CONNECT_S - 1)
    stream = slave.connect(resumable=False)
    slave.end_stream(stream)
    slave.answer(Evidence(ENDED))
    assert slave.launch == 2
    slave.launch_state(RUNNING)
    slave.pass_time(CONNECT_S - 1)
    assert (slave.launch, slave.stage()) == (2, Stage.LAUNCHING)
    slave.pass_time(1)
    assert slave.stage() is Stage.ENDING


def test_a_launch_that_says_nothing_of_a_slave_costs_it_its_time_and_is_quoted(
    slave: PerformedLife,
) -> None:
    slave.pass_time(FOR_LONG_S)  # while the plugin launches it, nobody minds
    slave.launched()
    slave.pass_time(CONNECT_S)
    slave.answer(Evidence(trouble="poll failed: OSError: no route"))
    (loss,) = slave.losses
    assert loss.startswith("its launch has not said how it is within 10 s (connect_timeout)")
    assert "poll failed: OSError: no route" in loss


def test_a_launch_that_fails_costs_no_slave_that_is_connected(slave: PerformedLife) -> None:
    slave.connect()
    slave.perform(slave.life.launch_failed(1, "qsub has hung", slave.now))
    assert slave.state() is SlaveState.IDLE
    assert any("qsub has hung" in warning for warning in slave.warnings)


def test_a_launch_that_fails_is_the_end_of_a_slave_that_has_never_connected(
    slave: PerformedLife,
) -> None:
    slave.perform(slave.life.launch_failed(1, "qsub has hung", slave.now))
    assert slave.losses == ["qsub has hung"]
    assert slave.decided(LetGo(1.0))


def test_a_slave_that_connects_while_its_launch_is_asked_how_it_ended_is_let_in(
    slave: PerformedLife,
) -> None:
    slave.launch_state(RUNNING)
    slave.pass_time(CONNECT_S)
    assert slave.stage() is Stage.ENDING
    slave.connect()
    slave.answer(Evidence(RUNNING))
    slave.pass_time(HEARTBEAT_S, is_heard=True)
    assert slave.state() is SlaveState.IDLE


def test_a_slave_that_is_not_needed_is_withdrawn_from_a_queue_only(slave: PerformedLife) -> None:
    slave.perform(slave.life.withdraw(slave.now))
    assert slave.state() is SlaveState.LAUNCHING
    slave.launch_state(QUEUED)
    slave.perform(slave.life.withdraw(slave.now))
    assert slave.state() is SlaveState.GONE
    assert slave.told == ["slave_lost"]
    assert not slave.losses  # nothing went wrong


# ---- streams


def test_a_slave_begins_a_session_and_is_idle_when_its_runner_is_ready(
    slave: PerformedLife,
) -> None:
    stream = slave.offer()
    slave.greet(stream)
    assert [type(action) for action in slave.log if isinstance(action, Listen | Welcome)] == [
        Listen,
        Welcome,
    ]
    assert slave.decided(TellLaunch(is_connected=True))
    assert slave.state() is SlaveState.CONNECTED
    assert str(slave.life) == "slave 0 (host)"
    slave.say(lambda: slave.life.runner_ready(7, slave.now))
    assert slave.state() is SlaveState.IDLE
    assert slave.decided(Tell(Scheduler.runner_ready)) == 1


def test_of_many_streams_of_strangers_only_the_last_are_listened_to(slave: PerformedLife) -> None:
    streams = [slave.offer() for _ in range(10)]
    assert slave.listening == streams[-4:]


def test_a_second_stream_that_can_not_be_resumed_is_closed(slave: PerformedLife) -> None:
    first = slave.offer(resumable=False)
    slave.offer(resumable=False)
    assert slave.listening == [first]
    slave.greet(first)
    slave.offer(resumable=False)
    assert slave.listening == []


def test_the_stream_of_an_earlier_launch_is_closed(slave: PerformedLife) -> None:
    slave.begin_launch()
    stream = slave.offer(launch=1)
    assert slave.decided(Close(stream))


def test_who_can_not_show_the_session_is_refused(slave: PerformedLife) -> None:
    slave.connect()
    session = slave.session
    for boot, token in [("", None), (session.boot, "a guess"), ("", session.token)]:
        stream = slave.offer()
        slave.greet(stream, boot=boot, session=token)
        assert slave.decided(Refuse(stream, "slave 0 is there already, on host"))
    stream = slave.offer()
    slave.greet(stream, boot=session.boot)  # its first WELCOME did arrive
    assert isinstance(slave.log[-1], Refuse)


def test_a_slave_whose_welcome_never_arrived_goes_on_with_its_session(
    slave: PerformedLife,
) -> None:
    slave.greet(slave.offer())
    stream = slave.offer()
    slave.greet(stream, boot=slave.session.boot)
    assert slave.session.stream == stream


def test_a_slave_that_does_not_fit_is_refused_and_lost(slave: PerformedLife) -> None:
    stream = slave.offer()
    slave.perform(slave.life.not_introduced(stream, "Python 2", "Python 2", slave.now))
    assert slave.decided(Refuse(stream, "Python 2"))
    slave.answer(Evidence(ENDED))
    assert slave.losses == ["Python 2; exit code 3"]


def test_a_stranger_that_does_not_fit_costs_a_connected_slave_nothing(
    slave: PerformedLife,
) -> None:
    slave.connect()
    stream = slave.offer()
    slave.perform(slave.life.not_introduced(stream, "Python 2", "Python 2", slave.now))
    assert slave.state() is SlaveState.IDLE


# ---- absences


def test_a_slave_that_comes_back_goes_on_with_its_session(slave: PerformedLife) -> None:
    stream = slave.connect()
    slave.end_stream(stream, "its connection broke")
    assert (slave.state(), slave.life.detail) == (SlaveState.RECONNECTING, "its connection broke")
    assert slave.told[-1] == "slave_away"
    slave.pass_time(HEARTBEAT_S - 1)
    slave.come_back()
    assert slave.state() is SlaveState.IDLE
    assert slave.told[-1] == "slave_back"


def test_a_slave_that_does_not_come_back_is_asked_about_soon_and_then_given_up(
    slave: PerformedLife,
) -> None:
    begun_at = slave.now
    slave.end_stream(slave.connect(), "its connection broke")
    asked_after = []
    while not slave.is_gone:
        if slave.life.question is not None:
            asked_after.append(slave.now - begun_at)
            slave.answer(Evidence(RUNNING))
        slave.pass_time(0.5)
    assert asked_after[:6] == [0.0, 1.0, 2.0, 3.0, 4.0, 6.0]  # by looks, too, each 2 s
    assert slave.now - begun_at <= HEARTBEAT_S + RECONNECT_S + 2.5
    (loss,) = slave.losses
    assert loss == "its connection broke, and it did not come back within 28 s"
    assert slave.decided(Lost(loss, is_charged=False))


def test_a_slave_that_has_ended_while_it_had_no_stream_is_lost_at_once(
    slave: PerformedLife,
) -> None:
    slave.end_stream(slave.connect(), "its connection broke")
    slave.answer(Evidence(ENDED))
    assert slave.decided(Lost("its connection broke; exit code 3", is_charged=True))


@pytest.mark.parametrize("state", [SUSPENDED, QUEUED])
def test_a_slave_that_its_launch_knows_to_come_back_is_waited_for(
    slave: PerformedLife, state: LaunchState
) -> None:
    slave.end_stream(slave.connect(), "its connection broke")
    for _ in range(20):
        slave.pass_time(HEARTBEAT_S)
        slave.answer(Evidence(state._replace(detail="by an administrator")))
    assert (slave.state(), slave.life.detail) == (SlaveState.RECONNECTING, "by an administrator")
    slave.come_back()
    assert slave.state() is SlaveState.IDLE


def test_the_tasks_of_a_slave_that_is_queued_again_begin_elsewhere_at_once(
    slave: PerformedLife,
) -> None:
    slave.end_stream(slave.connect(), "its connection broke")
    slave.answer(Evidence(RUNNING))
    assert slave.told[-1] == "slave_away"
    slave.pass_time(1.0)
    slave.answer(Evidence(QUEUED._replace(detail="no host is free")))
    assert slave.told[-1] == "slave_suspected"
    assert (slave.state(), slave.life.detail) == (SlaveState.RECONNECTING, "no host is free")
    assert slave.decided(Warn("slave 0 (host) waits in a queue again: no host is free")) == 1
    slave.pass_time(1.0)
    slave.answer(Evidence(QUEUED))
    assert slave.told.count("slave_suspected") == 1
    slave.greet(slave.offer())
    assert slave.told[-1] == "slave_restarted"


def test_a_launch_that_never_answers_is_not_waited_for_without_end(slave: PerformedLife) -> None:
    slave.end_stream(slave.connect(), "its connection broke")
    slave.pass_time(FOR_LONG_S)
    assert len(slave.losses) == 1


def test_a_slave_whose_stream_is_final_ends_with_it(slave: PerformedLife) -> None:
    slave.end_stream(slave.connect(resumable=False), "its connection ended")
    slave.answer(Evidence(ENDED, "killed"))
    assert slave.losses == ["its connection ended; exit code 3"]
    assert slave.decided(Lost(slave.losses[0], is_charged=True))


def test_a_leaving_slave_is_gone_when_it_holds_nothing_and_awaited_while_it_does(
    slave: PerformedLife,
) -> None:
    stream = slave.connect()
    slave.say(lambda: slave.life.leaving("has reached its time limit", slave.now))
    slave.end_stream(stream, holds_items=True)
    assert slave.state() is SlaveState.RECONNECTING
    slave.end_stream(slave.come_back(), holds_items=False)
    assert (slave.state(), slave.losses) == (SlaveState.LEAVING, [])
    slave.answer(Evidence(ENDED))
    assert slave.losses == ["left: it has reached its time limit"]


def test_a_slave_that_leaves_since_it_is_queued_again_is_waited_for(slave: PerformedLife) -> None:
    leave(slave)
    slave.answer(Evidence(RUNNING._replace(detail="COMPLETING")))
    assert (slave.state(), slave.losses) == (SlaveState.LEAVING, [])
    assert not slave.decided(LetGo(1.0)), "its launch may end what waits in the queue"
    slave.pass_time(1.0)
    slave.answer(Evidence(QUEUED._replace(detail="PENDING")))
    assert slave.told[-1] == "slave_suspected"
    assert slave.warnings[-1] == "slave 0 (host) waits in a queue again: PENDING"
    for _ in range(20):
        slave.pass_time(HEARTBEAT_S)
        slave.answer(Evidence(QUEUED))
    assert (slave.state(), slave.losses) == (SlaveState.RECONNECTING, [])
    slave.greet(slave.offer())
    assert slave.told[-1] == "slave_restarted"
    assert slave.stage() is Stage.PRESENT


def test_a_slave_that_has_left_and_is_not_known_to_come_back_is_given_up(
    slave: PerformedLife,
) -> None:
    leave(slave)
    slave.answer(Evidence(RUNNING))
    slave.pass_time(FOR_LONG_S)
    (loss,) = slave.losses
    assert loss.startswith("left: it received SIGTERM, and it did not come back within ")


def test_a_slave_that_only_the_core_launches_again_is_gone_when_it_has_left() -> None:
    slave = PerformedLife(relaunches=1)
    leave(slave)
    assert slave.losses == ["left: it received SIGTERM"]


def leave(slave: PerformedLife) -> None:
    """Let a slave connect, announce that it leaves, and do so."""
    stream = slave.connect()
    slave.say(lambda: slave.life.leaving("received SIGTERM", slave.now))
    slave.end_stream(stream, holds_items=False)


# ---- silence


def test_a_silent_slave_is_suspected_and_its_launch_told(slave: PerformedLife) -> None:
    slave.connect()
    slave.pass_time(HEARTBEAT_S)
    assert (slave.state(), slave.life.detail) == (SlaveState.SUSPECTED, "not heard for 8 s")
    assert slave.told[-1] == "slave_suspected"
    assert slave.decided(TellLaunch(is_connected=False)) == 1


def test_a_suspected_slave_that_is_heard_goes_on_and_is_not_given_up(
    slave: PerformedLife,
) -> None:
    slave.connect()
    slave.pass_time(HEARTBEAT_S + RECONNECT_S)
    assert slave.life.question is not None
    late = slave.questions[-1]
    slave.say(lambda: slave.life.runner_ready(8, slave.now))
    assert slave.state() is SlaveState.IDLE
    slave.answer(Evidence(RUNNING), late)
    assert slave.state() is SlaveState.IDLE


def test_people_are_told_of_a_long_silence_ever_more_seldom(slave: PerformedLife) -> None:
    slave.connect(resumable=False)
    slave.pass_time(100 * HEARTBEAT_S)
    said = [warning for warning in slave.warnings if "still not been heard" in warning]
    assert [warning.rpartition("for ")[2] for warning in said] == [
        "16 s now",
        "32 s now",
        "64 s now",
        "128 s now",
        "256 s now",
        "512 s now",
    ]


def test_a_slave_is_not_blamed_for_a_time_in_which_the_master_stood_still(
    slave: PerformedLife,
) -> None:
    slave.connect()
    slave.pass_time(HEARTBEAT_S, is_heard=True)
    slave.stand_still(1000 * HEARTBEAT_S)
    assert slave.state() is SlaveState.IDLE
    slave.pass_time(2 * HEARTBEAT_S, is_heard=True)
    assert "slave_suspected" not in slave.told


def test_a_slave_that_starts_is_not_blamed_for_it_either(slave: PerformedLife) -> None:
    slave.launch_state(RUNNING)
    slave.stand_still(1000 * CONNECT_S)
    assert slave.stage() is Stage.LAUNCHING
    slave.connect()
    assert slave.state() is SlaveState.IDLE


def test_a_slave_that_can_dial_again_hears_the_master(slave: PerformedLife) -> None:
    slave.connect()
    slave.pass_time(HEARTBEAT_S - 1, is_heard=True)
    assert slave.decided(Ping()) == 3


def test_a_slave_that_is_heard_must_have_a_runner_in_time(slave: PerformedLife) -> None:
    slave.greet(slave.offer())
    slave.pass_time(CONNECT_S + HEARTBEAT_S / 4, is_heard=True)
    slave.answer(Evidence(RUNNING))
    (loss,) = slave.losses
    assert loss.startswith("it is heard, but has had no runner for 10 s (connect_timeout)")


def test_a_slave_that_is_heard_and_has_a_runner_is_said_to_be_present(
    slave: PerformedLife,
) -> None:
    slave.connect()
    slave.pass_time(HEARTBEAT_S, is_heard=True)
    assert slave.told.count("slave_present") == 4
    slave.say(lambda: slave.life.paused("is going to be stopped", slave.now))
    slave.pass_time(HEARTBEAT_S, is_heard=True)
    assert slave.told.count("slave_present") == 4


# ---- runners


def test_the_messages_of_the_next_runner_wait_until_the_loss_of_the_last_is_explained(
    slave: PerformedLife,
) -> None:
    slave.connect()
    slave.lose_runner(blamed=5)
    slave.say(lambda: slave.life.runner_ready(8, slave.now))
    assert slave.told[-1] == "runner_ready"
    assert slave.state() is SlaveState.CONNECTED
    slave.answer(Evidence(RUNNING, "Segmentation fault"))
    assert slave.told[-2:] == ["runner_lost", "runner_ready"]
    assert slave.state() is SlaveState.IDLE
    assert not slave.held


def test_a_runner_that_was_ended_for_its_memory_is_told_as_that_when_it_has_been_explained(
    slave: PerformedLife,
) -> None:
    slave.connect()
    slave.lose_runner(blamed=5, exceeded_bytes=1000)
    slave.answer(Evidence(RUNNING, "some output"))
    assert slave.told[-1] == "memory_exceeded"
    assert slave.decided(Release())


def test_a_runner_that_the_master_had_asked_to_end_blames_nothing_for_its_memory(
    slave: PerformedLife,
) -> None:
    slave.connect()
    slave.lose_runner(blamed=0, exceeded_bytes=1000)
    assert slave.told[-1] == "runner_lost"


def test_a_runner_that_nobody_blames_needs_no_explanation(slave: PerformedLife) -> None:
    slave.connect()
    slave.lose_runner(blamed=0)
    assert slave.told[-1] == "runner_lost"
    assert not slave.questions


def test_a_launch_that_does_not_explain_a_runners_end_is_waited_for_a_second(
    slave: PerformedLife,
) -> None:
    slave.connect()
    slave.lose_runner(blamed=5)
    slave.pass_time(1.0)
    assert slave.told[-1] == "runner_lost"
    assert slave.decided(Release())


def test_a_runner_is_explained_also_while_the_launch_is_asked_whether_a_silent_slave_comes_back(
    slave: PerformedLife,
) -> None:
    slave.connect()
    slave.pass_time(HEARTBEAT_S + RECONNECT_S)
    assert slave.life.question is not None
    slave.lose_runner(blamed=5)
    slave.say(lambda: slave.life.runner_ready(8, slave.now))
    slave.pass_time(1.0, is_heard=True)
    assert slave.told[-2:] == ["runner_lost", "runner_ready"]


def test_a_stream_that_ends_while_messages_are_held_ends_the_slave_when_they_are_taken(
    slave: PerformedLife,
) -> None:
    stream = slave.connect(resumable=False)
    slave.lose_runner(blamed=5)
    slave.say(lambda: slave.life.runner_ready(8, slave.now))
    slave.end_stream(stream, "its connection ended")
    assert slave.stage() is Stage.PRESENT
    slave.answer(Evidence(RUNNING))
    assert slave.told[-2:] == ["runner_lost", "runner_ready"]
    assert slave.stage() is Stage.ENDING


def test_messages_are_taken_when_all_else_that_was_decided_has_been_performed(
    slave: PerformedLife,
) -> None:
    slave.connect(resumable=False)
    for _ in range(10):  # each is explained a second after the one before
        slave.lose_runner(blamed=1)
    slave.pass_time(FOR_LONG_S)  # so one is explained just when the slave has been silent for long
    assert "slave_heard" in slave.told
    slave.check()


def test_a_slave_that_was_suspended_for_long_has_time_to_come_back_when_its_stream_ends(
    slave: PerformedLife,
) -> None:
    stream = slave.connect()
    slave.pass_time(HEARTBEAT_S + RECONNECT_S)
    for _ in range(10):
        slave.pass_time(HEARTBEAT_S / 4)
        slave.answer(Evidence(SUSPENDED))
    slave.end_stream(stream)
    for _ in range(10):
        slave.pass_time(HEARTBEAT_S / 4)
        slave.answer(Evidence(RUNNING))
        assert slave.stage() is Stage.ABSENT
    slave.come_back()
    assert slave.stage() is Stage.PRESENT
    assert not slave.losses


def test_messages_that_are_held_go_with_the_session(slave: PerformedLife) -> None:
    slave.connect()
    slave.lose_runner(blamed=5)
    slave.say(lambda: slave.life.runner_ready(8, slave.now))
    slave.perform(slave.life.broken(slave.session.stream, "nonsense", slave.now))
    assert slave.decided(EndSession())
    assert not slave.held
    slave.answer(Evidence(ENDED))
    assert "runner_lost" not in slave.told


# ---- ends


def test_an_answer_to_an_earlier_question_is_void(slave: PerformedLife) -> None:
    slave.connect()
    slave.lose_runner(blamed=5)
    earlier = slave.questions[-1]
    slave.perform(slave.life.give_up("of no use", is_charged=False, now=slave.now))
    slave.answer(Evidence(RUNNING, "an old story"), earlier)
    assert slave.stage() is Stage.ENDING
    slave.answer(Evidence(ENDED))
    assert slave.losses == ["of no use; exit code 3"]


def test_a_slave_is_asked_how_it_ended_for_a_second_at_most(slave: PerformedLife) -> None:
    slave.end_stream(slave.connect(resumable=False))
    assert slave.decided(Ask(1, has_ended=True))
    slave.pass_time(1.0)
    assert slave.stage() is Stage.GONE


def test_after_its_end_nothing_is_decided_but_that_who_comes_too_late_is_refused(
    slave: PerformedLife,
) -> None:
    stream = slave.connect()
    slave.perform(slave.life.launch_failed(1, "it has hung", slave.now))
    slave.perform(slave.life.broken(stream, "nonsense", slave.now))
    slave.answer(Evidence(ENDED))
    slave.log.clear()
    life, now = slave.life, slave.now
    slave.launch_state(RUNNING)
    slave.perform(life.launch_failed(1, "again", now))
    slave.perform(life.stream_ended(stream, "ended", holds_items=True, now=now))
    slave.perform(life.broken(stream, "nonsense", now))
    slave.perform(life.give_up("of no use", is_charged=True, now=now))
    slave.perform(life.runner_ready(7, now))
    slave.perform(life.released(holds_items=True, now=now))
    slave.pass_time(FOR_LONG_S)
    assert slave.log == []
    slave.life.is_relaunchable = True  # so that it is no restart either
    late = slave.offer()
    slave.greet(late)
    assert slave.decided(Refuse(late, "slave 0 has been given up: nonsense; exit code 3"))


def test_a_slave_that_its_batch_system_starts_anew_takes_its_own_place(
    slave: PerformedLife,
) -> None:
    slave.end_stream(slave.connect(), "its host has gone")
    slave.connect()
    assert slave.told[-2:] == ["slave_restarted", "runner_ready"]
    assert slave.decided(LookAfter())
    slave.perform(slave.life.broken(slave.session.stream, "nonsense", slave.now))
    slave.answer(Evidence(ENDED))
    assert slave.is_gone
    slave.connect()  # also of one that had been lost
    assert slave.state() is SlaveState.IDLE


def test_a_slave_that_is_heard_is_not_replaced_by_another_start(slave: PerformedLife) -> None:
    slave.connect()
    stream = slave.offer()
    slave.greet(stream)
    assert isinstance(slave.log[-1], Refuse)


def test_what_the_core_launches_again_is_no_restart() -> None:
    slave = PerformedLife(relaunches=1)
    slave.end_stream(slave.connect(), "its host has gone")
    slave.greet(slave.offer())
    assert isinstance(slave.log[-1], Refuse)


def test_a_slave_that_is_launched_again_has_never_connected() -> None:
    slave = PerformedLife(relaunches=1)
    slave.end_stream(slave.connect(resumable=False))
    slave.answer(Evidence(ENDED))
    assert slave.state() is SlaveState.LAUNCHING
    assert (slave.life.host, slave.life.pid) == ("", None)
    assert slave.decided(LetGo(0.0)) == 1
    assert not slave.decided(LetGo(1.0))


def test_a_slave_that_is_set_aside_says_why_whatever_state_it_is_in(slave: PerformedLife) -> None:
    slave.connect()
    slave.perform(slave.life.set_aside(3, slave.now))
    assert slave.state() is SlaveState.SET_ASIDE
    slave.end_stream(slave.session.stream)
    assert slave.state() is SlaveState.RECONNECTING
    slave.come_back()
    assert slave.life.detail.startswith("3 tasks in a row have died here")
    slave.perform(slave.life.take_up(slave.now))
    assert (slave.state(), slave.life.detail) == (SlaveState.IDLE, "")


def test_how_long_a_slave_has_been_in_a_state_counts_from_the_change(slave: PerformedLife) -> None:
    slave.pass_time(3.0)
    slave.launch_state(RUNNING._replace(detail="on host 1"))
    assert slave.life.state_since == 1000.0
    slave.launch_state(QUEUED)
    assert slave.life.state_since == 1003.0


# ---- what would be taken for something else


def test_news_of_an_earlier_launch_say_nothing_about_a_later_one(slave: PerformedLife) -> None:
    slave.begin_launch()
    slave.launch_state(ENDED, launch=1)
    slave.perform(slave.life.launched(1, slave.now))
    slave.pass_time(FOR_LONG_S)
    assert slave.stage() is Stage.LAUNCHING


def test_no_question_outlasts_what_it_was_asked_for(slave: PerformedLife) -> None:
    slave.end_stream(slave.connect())
    assert slave.life.question is not None
    slave.come_back()
    assert slave.life.question is None
    slave.pass_time(HEARTBEAT_S + RECONNECT_S)
    assert slave.life.question is not None
    slave.say(lambda: slave.life.goes_on(slave.now))
    assert slave.life.question is None


def test_a_paused_slave_that_comes_back_gets_no_tasks_before_it_goes_on(
    slave: PerformedLife,
) -> None:
    stream = slave.connect()
    slave.say(lambda: slave.life.paused("will be stopped", slave.now))
    slave.end_stream(stream)
    slave.come_back()
    assert slave.state() is SlaveState.PAUSED
    assert "slave_back" not in slave.told
    slave.say(lambda: slave.life.goes_on(slave.now))
    assert slave.told[-1] == "slave_back"


def test_a_slave_that_was_withdrawn_and_starts_all_the_same_is_refused(
    slave: PerformedLife,
) -> None:
    slave.launch_state(QUEUED)
    slave.perform(slave.life.withdraw(slave.now))
    stream = slave.offer()
    slave.greet(stream)
    assert isinstance(slave.log[-1], Refuse)
    assert slave.is_gone


def test_a_session_whose_stream_is_final_is_not_resumed(slave: PerformedLife) -> None:
    slave.connect(resumable=False)
    stream = slave.come_back()
    assert slave.decided(Refuse(stream, "slave 0 is there already, on host"))


def test_a_runner_that_is_ready_and_not_heard_yet_is_not_missed() -> None:
    slave = PerformedLife(timeouts=Timeouts(0.4, 0.5, 20.0, 30.0))
    slave.connect()
    slave.lose_runner(blamed=5)
    slave.say(lambda: slave.life.runner_ready(8, slave.now))
    slave.pass_time(0.9, is_heard=True)
    assert slave.stage() is Stage.PRESENT


# ---- what a slave that is heard should do


def look(slave: PerformedLife, signs: StreamSigns) -> bool:
    """Look at a slave's session with these signs; return whether it is said to be present."""
    before = slave.told.count("slave_present")
    slave.now = slave.session.check_at
    slave.perform(slave.life.tick(signs._replace(heard_at=slave.now), slave.now))
    return slave.told.count("slave_present") > before


def test_a_slave_from_which_nothing_came_since_the_last_look_may_be_stopped(
    slave: PerformedLife,
) -> None:
    slave.connect()
    assert look(slave, StreamSigns(read_bytes=5))
    assert not look(slave, StreamSigns(read_bytes=5))
    assert look(slave, StreamSigns(read_bytes=6))


def test_a_slave_that_may_not_have_got_what_was_written_has_four_times_as_long(
    slave: PerformedLife,
) -> None:
    slave.connect()
    signs = StreamSigns(is_acknowledged=False)
    looks = [look(slave, signs._replace(read_bytes=number)) for number in range(1, 9)]
    assert looks == [False, False, False, True, False, False, False, True]


def test_a_slave_that_takes_nothing_of_what_it_is_sent_is_given_up(slave: PerformedLife) -> None:
    slave.connect()
    signs = StreamSigns(has_unsent=True)
    for number in range(1, 20):
        look(slave, signs._replace(read_bytes=number, written_bytes=number))
    assert slave.stage() is Stage.PRESENT  # however slowly
    for number in range(20, 21 + LOOKS):
        assert slave.stage() is Stage.PRESENT
        look(slave, signs._replace(read_bytes=number, written_bytes=19))
    assert slave.stage() is Stage.ENDING


def test_what_waits_for_another_slaves_memory_is_not_held_against_a_slave(
    slave: PerformedLife,
) -> None:
    slave.connect()
    signs = StreamSigns(has_unsent=True, holds_descriptors=True)
    for number in range(1, 20):
        look(slave, signs._replace(read_bytes=number))
    assert slave.stage() is Stage.PRESENT


def test_an_answer_behind_something_large_is_waited_for_while_that_comes_at_a_fair_pace(
    slave: PerformedLife,
) -> None:
    slave.connect()
    assert not look(slave, StreamSigns(read_bytes=10_000, unfinished_bytes=10_000))
    assert not look(slave, StreamSigns(read_bytes=20_000, unfinished_bytes=20_000))
    assert look(slave, StreamSigns(read_bytes=20_001, unfinished_bytes=20_001))
