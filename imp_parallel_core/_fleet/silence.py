"""What is expected of a slave that has connected: to be heard, to have a stream, a runner, to work.

A session is looked at four times in its ``heartbeat_timeout``.
"""

from __future__ import annotations

from .._plugins.launch import LaunchPhase
from .._scheduler.patience import LOOKS
from .._scheduler.scheduler import Scheduler
from . import ends
from .actions import Ping, Tell, TellLaunch
from .evidence import Evidence
from .session_state import NEVER, SessionState, StreamSigns
from .state import LifeState, Purpose, Stage

_FIRST_PAUSE_S = 1.0  # between the questions whether a slave without a stream has ended; …
_LAST_PAUSE_S = 4.0  # … they double, and then follow the looks
_BUFFERED = 4  # times as long, for a slave that may not have got what was written
_LEAST_BYTES_PER_S = 512  # of something large that is on its way: a slow modem manages more


def look(life: LifeState, session: SessionState, signs: StreamSigns, now: float) -> None:
    """Look at a session, and do what follows from its silence, or from what it does not do."""
    session.check_at = now + life.check_s
    session.heard_at = max(session.heard_at, signs.heard_at)
    silent_s = now - session.heard_at
    is_silent = silent_s >= life.timeouts.heartbeat_s
    if not is_silent:
        if session.is_suspected and session.is_open:  # else it is queued again
            hear(life, session)
    elif not session.is_suspected:
        _suspect(life, session, silent_s)
    elif session.silence_told.remind(silent_s):
        life.warn(f" has still not been heard, for {silent_s:.0f} s now")
    if session.resumable:
        # whoever ends a stream, such as a slave that was stopped, may be about to come back
        waited_s = min(silent_s, now - session.absent_since)
        if waited_s >= life.timeouts.heartbeat_s + life.timeouts.reconnect_s:
            _ask_before_giving_up(life, session, waited_s, now)
        elif session.is_open:
            life.actions.append(Ping())
        else:
            _ask_for_end(life, session, now, has_ended=False)
    if session.is_open and not is_silent:
        _expect(life, session, signs, now)


def hear(life: LifeState, session: SessionState) -> None:
    """A suspected slave is heard again."""
    life.warn(" is heard again")
    session.is_suspected = False
    session.shown_absence = ""
    session.unanswered = 0
    ends.drop_question(life, Purpose.SILENCE)
    life.actions += [TellLaunch(is_connected=True), Tell(Scheduler.slave_heard)]


def _suspect(life: LifeState, session: SessionState, silent_s: float) -> None:
    """A slave has not been heard for long: its tasks may begin elsewhere."""
    life.warn(f" has not been heard for {silent_s:.1f} s", "slave-not-heard")
    session.is_suspected = True
    session.silence = f"not heard for {silent_s:.0f} s"
    session.silence_told.note_told(silent_s)
    life.actions += [TellLaunch(is_connected=False), Tell(Scheduler.slave_suspected)]


def _ask_before_giving_up(
    life: LifeState, session: SessionState, waited_s: float, now: float
) -> None:
    how = f"not heard for {waited_s:.0f} s"
    if life.stage is Stage.ABSENT:
        how = f"{session.absence}, and it did not come back within {waited_s:.0f} s"
    ends.ask(life, Purpose.SILENCE, now, how=how, has_ended=True)


# ---- slaves without a stream


def await_return(life: LifeState, session: SessionState, how: str, now: float) -> None:
    """A slave may dial again, unless its launch knows that it has ended."""
    life.warn(f": {how}; it may come back")
    _await(life, session, how, now)


def await_next_start(life: LifeState, session: SessionState, how: str, now: float) -> None:
    """A slave has left as its batch system warned it, which may have put it in the queue again."""
    session.has_left = True
    ends.drop_question(life, Purpose.RETURN)  # it was asked before the slave had left
    _await(life, session, how, now)


def _await(life: LifeState, session: SessionState, how: str, now: float) -> None:
    if life.stage is not Stage.ABSENT:
        life.stage = Stage.ABSENT
        life.actions += [TellLaunch(is_connected=False), Tell(Scheduler.slave_away)]
    session.absence = how
    session.absent_since = now
    session.pause_s = _FIRST_PAUSE_S
    ask_soon_for_end(life, session, now)


def ask_soon_for_end(life: LifeState, session: SessionState, now: float) -> None:
    """Ask again and again at first: a batch system takes seconds to notice an end."""
    _ask_for_end(life, session, now, has_ended=True)
    if session.pause_s <= _LAST_PAUSE_S:
        session.ask_at = now + session.pause_s
        session.pause_s *= 2
    else:
        session.ask_at = NEVER


def note_queue(life: LifeState, evidence: Evidence) -> None:
    """Have a slave's tasks begin elsewhere at once if it has no stream, and is queued again.

    Its process has gone, and nobody knows when its batch system starts another.
    """
    session, state = life.session, evidence.state
    if life.stage is not Stage.ABSENT or session is None or session.is_suspected:
        return
    if state is not None and state.phase is LaunchPhase.QUEUED:
        detail = f": {state.detail}" if state.detail else ""
        life.warn(f" waits in a queue again{detail}")
        session.is_suspected = True
        session.shown_absence = state.detail
        life.actions.append(Tell(Scheduler.slave_suspected))


def _ask_for_end(life: LifeState, session: SessionState, now: float, *, has_ended: bool) -> None:
    ends.ask(life, Purpose.RETURN, now, how=session.absence, has_ended=has_ended)


# ---- slaves that are heard


def _expect(life: LifeState, session: SessionState, signs: StreamSigns, now: float) -> None:
    """A slave that is heard must have a runner, take what it is sent, and do what it owes."""
    if session.is_paused or session.is_explaining:
        return
    if session.runner_pid is not None:
        if _has_all(life, session, signs, now):
            life.actions.append(Tell(Scheduler.slave_present, (life.timeouts.heartbeat_s,)))
        return
    waited_s = now - session.without_runner_since
    if waited_s >= life.timeouts.connect_s:
        text = f"it is heard, but has had no runner for {waited_s:.0f} s (connect_timeout)"
        ends.lose(life, text, now, is_charged=False)


def _has_all(life: LifeState, session: SessionState, signs: StreamSigns, now: float) -> bool:
    """Whether a slave has been heard since the last look, and would have answered by now."""
    before, session.signs = session.signs, signs
    if signs.read_bytes == before.read_bytes:
        return False  # it may be stopped
    if signs.has_unsent:
        if not signs.holds_descriptors:  # those may wait for what other slaves hold
            _expect_to_take(life, session, before, now)
        return False
    session.not_taken = 0
    if signs.unfinished_bytes and signs.unfinished_bytes != before.unfinished_bytes:
        least = _LEAST_BYTES_PER_S * life.timeouts.heartbeat_s / LOOKS
        if signs.read_bytes - before.read_bytes >= least:
            return False  # its answer waits behind something large
    session.not_acknowledged = 0 if signs.is_acknowledged else session.not_acknowledged + 1
    return session.not_acknowledged % _BUFFERED == 0  # the network's buffers may hold much


def _expect_to_take(
    life: LifeState, session: SessionState, before: StreamSigns, now: float
) -> None:
    """A slave must take what it is sent, however slowly."""
    has_taken = session.signs.written_bytes != before.written_bytes
    session.not_taken = 0 if has_taken else session.not_taken + 1
    if session.not_taken > LOOKS:
        timeout_s = life.timeouts.heartbeat_s
        text = f"it is heard, but has taken nothing of what it was sent for {timeout_s:g} s"
        ends.lose(life, f"{text} (heartbeat_timeout)", now, is_charged=False)
