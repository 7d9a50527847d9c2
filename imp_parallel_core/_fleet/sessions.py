"""Who gets a session, and how it goes on: begun, resumed, begun anew, without its stream."""

from __future__ import annotations

from .._scheduler.scheduler import Scheduler
from . import ends, newcomers, silence
from .actions import ForgetRunner, LookAfter, Refuse, Resume, Tell, TellLaunch, Welcome
from .session_state import NEVER, Greeting, SessionState
from .state import LifeState, Purpose, Stage


def greet(
    life: LifeState,
    stream: int,
    greeting: Greeting,
    token: str,
    *,
    resumable: bool,
    is_fresh: bool,
    now: float,
) -> None:
    """A peer has introduced itself: begin a session, go on with one, or refuse it."""
    is_new = not life.has_connected and life.stage is not Stage.GONE
    if is_new and greeting.session is None:
        _begin(life, stream, resumable, greeting, token, now)
    elif _may_take_the_place(life, greeting):
        _restart(life)
        _begin(life, stream, resumable, greeting, token, now)
    elif reason := _reason_to_refuse(life, greeting, is_fresh):
        life.actions.append(Refuse(stream, reason))
    elif life.session is not None:
        life.session.stream = stream
        life.actions.append(Resume(stream, greeting.received))


def _begin(
    life: LifeState, stream: int, resumable: bool, greeting: Greeting, token: str, now: float
) -> None:
    """Begin a session over a stream whose peer has introduced itself."""
    life.question = None
    life.stage = Stage.PRESENT
    life.has_connected = True
    life.host, life.pid = greeting.host, greeting.pid
    boot, check_at = greeting.boot, now + life.check_s
    life.session = SessionState(stream, resumable, token, boot, now, check_at)
    life.last_boot = boot
    life.actions += [ForgetRunner(), Welcome(stream), TellLaunch(is_connected=True)]


def _restart(life: LifeState) -> None:
    """Another start takes the place of the one before, whose items go back."""
    life.warn(" has been started anew by its batch system")
    newcomers.close_all(life)
    life.end_session()
    cause = f"on {life}, its batch system started the slave anew"
    life.actions += [LookAfter(), Tell(Scheduler.slave_restarted, (cause,))]


def _may_take_the_place(life: LifeState, greeting: Greeting) -> bool:
    """Whether a HELLO is of another start of this slave, which its batch system has restarted.

    The start before has gone then, or is not heard. What the core itself launches again comes
    as a new slave, and what is not needed has never joined.
    """
    if greeting.session is not None or life.is_relaunchable or greeting.boot == life.last_boot:
        return False
    if life.stage is Stage.GONE:
        return life.has_joined
    session = life.session
    return session is None or not session.is_open or session.is_suspected


def _reason_to_refuse(life: LifeState, greeting: Greeting, is_fresh: bool) -> str:
    """Return why a peer that does not begin a session can't go on with one; "" if it can."""
    session = life.session
    if life.stage is Stage.GONE:
        return f"{life.name} has been given up: {life.detail}"
    if session is None:
        return f"the session of {life.name} is over"
    # else it shows the session's token; or it is one whose WELCOME never arrived
    is_known = is_fresh if greeting.session is None else greeting.session == session.token
    if session.resumable and greeting.boot == session.boot and is_known:
        return ""
    return f"{life.name} is there already, on {life.host}"


def resumed(life: LifeState, session: SessionState, now: float) -> None:
    """The slave has come back, over another stream, and goes on where it was."""
    life.stage = Stage.PRESENT
    session.is_open, session.ended_how, session.has_left = True, "", False
    session.shown_absence = ""
    session.ask_at = NEVER
    session.heard_at = max(session.heard_at, now)
    life.warn(" is back")
    ends.drop_question(life, Purpose.RETURN, Purpose.SILENCE)
    life.actions.append(TellLaunch(is_connected=True))
    if not session.is_paused:
        life.actions.append(Tell(Scheduler.slave_back))
    if session.is_suspected:
        silence.hear(life, session)


def go_on_without_stream(
    life: LifeState, session: SessionState, holds_items: bool, now: float
) -> None:
    """The session's stream has ended: wait for another, or let the slave end."""
    has_left = session.is_leaving and not holds_items
    if session.resumable and not has_left:
        if life.stage is not Stage.ABSENT:
            silence.await_return(life, session, session.ended_how, now)
    elif session.is_explaining:
        pass  # it goes on when the messages that are held have been taken
    elif session.is_leaving:
        how = f"left: it {session.leaves_because}"
        if session.resumable and not life.is_relaunchable:
            silence.await_next_start(life, session, how, now)
        else:
            ends.lost(life, how, is_charged=False)
    else:
        ends.lose(life, session.ended_how, now, is_charged=True)
