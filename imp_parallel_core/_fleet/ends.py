"""How a slave or its runner ended: the launch is asked, and then the scheduler is told.

At most one question is open about a slave. Each has a number: an answer to another one is void, and
an answer that does not come in time counts as one that says nothing.
"""

from __future__ import annotations

from .._explained import explained
from .._scheduler.scheduler import Scheduler
from . import newcomers
from .actions import Ask, ForgetRunner, Lost, Tell, TellLaunch
from .evidence import Evidence
from .session_state import SessionState
from .state import LifeState, Purpose, Question, Stage

_ANSWER_S = 1.0  # how long the scheduler waits to be told; then it goes on without
_ASKED = 4  # so often a launch is asked that may be slow to answer


def ask(
    life: LifeState,
    purpose: Purpose,
    now: float,
    *,
    how: str,
    has_ended: bool,
    is_charged: bool = False,
    blamed: int = 0,
    exceeded_bytes: int = 0,
    names_trouble: bool = False,
) -> None:
    """Ask the launch, unless it is being asked something that matters as much."""
    if life.question is not None and life.question.purpose.value >= purpose.value:
        return
    life.questions += 1
    patience_s = _ANSWER_S
    if purpose is Purpose.SILENCE:  # its tasks begin elsewhere: nothing waits for the answer
        patience_s = max(patience_s, life.timeouts.heartbeat_s)
    number, answer_by = life.questions, now + patience_s
    life.question = Question(
        number, purpose, answer_by, how, is_charged, blamed, exceeded_bytes, names_trouble
    )
    life.actions.append(Ask(number, has_ended))


def drop_question(life: LifeState, *purposes: Purpose) -> None:
    """Forget the question that is open, if it was asked for one of these purposes."""
    if life.question is not None and life.question.purpose in purposes:
        life.question = None


def answer(life: LifeState, number: int, evidence: Evidence, now: float) -> None:
    """Do what follows from an answer."""
    question = life.question
    if question is None or question.number != number:
        return  # it comes too late, or nobody needs it any more
    life.question = None
    match question.purpose:
        case Purpose.END:
            how = f"{question.how}: {evidence.trouble}" if question.names_trouble else question.how
            lost(life, _of_end(life, evidence, how), is_charged=question.is_charged)
        case Purpose.RUNNER:
            cause = question.how + _of_output(life, evidence)
            _tell_runner_lost(life, question.blamed, cause, question.exceeded_bytes)
            life.releases_messages = True
        case Purpose.RETURN:
            if life.stage is Stage.ABSENT and evidence.has_ended:
                has_left = life.session is not None and life.session.has_left
                how = question.how if has_left else _of_end(life, evidence, question.how)
                lost(life, how, is_charged=not has_left)
        case Purpose.SILENCE:
            _give_up_silent(life, question.how, evidence)


def _give_up_silent(life: LifeState, how: str, evidence: Evidence) -> None:
    """A slave was silent for too long; but its launch may know that it will come back."""
    session = life.session
    if session is None or not session.is_suspected:
        return
    session.unanswered = session.unanswered + 1 if evidence.state is None else 0
    if evidence.state is not None and evidence.may_come_back:
        session.shown_absence = evidence.state.detail
    elif evidence.state is not None or session.unanswered >= _ASKED:
        lost(life, how, is_charged=False)


def lose(
    life: LifeState, how: str, now: float, *, is_charged: bool, names_trouble: bool = False
) -> None:
    """A slave has ended, or is given up: ask how it ended before anything is decided."""
    if life.stage in (Stage.ENDING, Stage.GONE):
        return
    life.end_session()
    life.stage = Stage.ENDING
    ask(
        life,
        Purpose.END,
        now,
        how=how,
        has_ended=not names_trouble,
        is_charged=is_charged,
        names_trouble=names_trouble,
    )


def lost(life: LifeState, text: str, *, is_charged: bool) -> None:
    """A slave has gone for good; perhaps another takes its place."""
    if life.stage is Stage.GONE:
        return
    life.stage = Stage.GONE
    life.question = None
    text = explained(text)  # it may quote errors
    life.how_it_went = text.partition("\n")[0]
    newcomers.close_all(life)
    life.end_session()
    life.actions += [TellLaunch(is_connected=False), Lost(text, is_charged)]


def lose_runner(
    life: LifeState,
    session: SessionState,
    blamed: int,
    how: str,
    cause: str,
    exceeded_bytes: int,
    now: float,
) -> None:
    """A runner has ended: ask what it wrote last, if an item is to blame and that is not known."""
    session.runner_pid = None
    session.without_runner_since = now
    session.runner_end = f"its runner {how}"
    if blamed:
        life.warn(f": its runner {how}")
    if blamed and type(cause) is str:  # no Attempt, of which the output is known
        session.is_explaining = True
        ask(
            life,
            Purpose.RUNNER,
            now,
            how=cause,
            has_ended=False,
            blamed=blamed,
            exceeded_bytes=exceeded_bytes,
        )
    else:
        _tell_runner_lost(life, blamed, cause, exceeded_bytes)


def _tell_runner_lost(life: LifeState, blamed: int, cause: str, exceeded_bytes: int) -> None:
    """The loss of a runner has been explained. What was sent meanwhile, the slave has dropped."""
    if life.session is not None:
        life.session.is_explaining = False
    tell = Tell(Scheduler.runner_lost, (blamed, cause))
    if blamed and exceeded_bytes:
        tell = Tell(Scheduler.memory_exceeded, (blamed, cause, exceeded_bytes))
    life.actions += [ForgetRunner(), tell]


def _of_end(life: LifeState, evidence: Evidence, how: str) -> str:
    return evidence.of_end(how, life.output_path, has_joined=life.has_joined)


def _of_output(life: LifeState, evidence: Evidence) -> str:
    return evidence.of_output(life.output_path)
