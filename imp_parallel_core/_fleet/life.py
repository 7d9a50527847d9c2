"""The life of one slave: a pure state machine. Events in, actions out; no clock, socket or thread.

The fleet calls one method for each thing that happens to a slave, with the time of it, and has
:mod:`.performer` perform the actions that come back. What a slave says about tasks goes straight to
the scheduler.

===================  ==========================================  ===================================
in the stage …       after the event …                           it enters the stage: and decides on
===================  ==========================================  ===================================
LAUNCHING            launch_begun                                LAUNCHING: nothing of an earlier
                                                                 launch holds any more
LAUNCHING            launch_state: queued, running, suspended    LAUNCHING; once it runs, it must
                                                                 connect in time
LAUNCHING            launch_state: ended; not_introduced; tick:  ENDING: Ask
                     not connected, or no state, in time
LAUNCHING            launch_failed                               GONE: Lost
LAUNCHING            withdraw, if it is queued                   GONE: Tell slave_lost
LAUNCHING, ENDING    greeted, and it had never connected         PRESENT: Welcome, TellLaunch
PRESENT              runner_ready, paused, goes_on, leaving      PRESENT: Tell
PRESENT              runner_lost                                 PRESENT: Tell; if an item is to
                                                                 blame, Ask first, and hold messages
PRESENT, ABSENT      tick: silent for long; heard                as it was: Tell slave_suspected,
                                                                 slave_heard
PRESENT              stream_ended, and it can be resumed         ABSENT: Tell slave_away, Ask
PRESENT              stream_ended, and it has left as announced  ABSENT: Tell slave_away, Ask; but
                                                                 GONE: Lost, if nobody but the core
                                                                 starts it anew
PRESENT              stream_ended for good                       ENDING: Ask
PRESENT, ABSENT      greeted: goes on with the session           PRESENT: Resume, Tell slave_back
PRESENT, ABSENT      broken; give_up; tick: no runner in time,   ENDING: EndSession, Ask
                     takes nothing of what it is sent
ABSENT               answer: it waits in a queue again           ABSENT: Tell slave_suspected
PRESENT, ABSENT      answer: it has ended, or won't come back    GONE: Lost
ABSENT, ENDING,      greeted: its batch system has started it    PRESENT: Tell slave_restarted,
GONE (or suspected)  anew                                        Welcome, TellLaunch
ENDING               answer, or tick: there is none in time      GONE: Lost
GONE                 loss_told                                   GONE: LetGo
GONE                 launch_again                                LAUNCHING: LetGo, LaunchAgain
===================  ==========================================  ===================================

Other events change no stage: people are told, streams that nobody waits for are closed, and peers
that come too late are refused. That a slave is suspected, paused or leaving, and that its messages
are held, belongs to a session and ends with it. Launches, sessions and questions are numbered, and
each takes its time-outs with it when it ends: a tick only says that it is time to look, so a timer
of an earlier launch never strikes a later one.
"""

from __future__ import annotations

from .._plugins.launch import LaunchPhase, LaunchState
from .._scheduler.scheduler import Scheduler
from . import ends, newcomers, sessions, silence
from .actions import Close, Inform, LaunchAgain, LetGo, LifeAction, Refuse, Tell, Warn
from .evidence import Evidence
from .session_state import NEVER, Greeting, StreamSigns
from .state import NO_LAUNCH, LifeState, SlaveState, Stage

_LEAVING_S = 1.0  # for what is left of a slave that was lost, before it is ended by force

Actions = list[LifeAction]


class SlaveLife(LifeState):
    """Decides what follows from what happens to a slave."""

    # ---- events: its launch

    def launch_begun(self, launch: int, now: float) -> Actions:
        """A launch has begun under this number: reports of earlier launches are void."""
        self.begin_launch(launch)
        return self.flush(now)

    def launched(self, launch: int, now: float) -> Actions:
        """The plugin has launched the slave, and will report its state."""
        if launch == self.launching.number and not self.has_connected:
            self.launching.launched(now)
        return self.flush(now)

    def launch_state(self, launch: int, state: LaunchState, now: float) -> Actions:
        """The launch reports the slave's state."""
        if launch == self.launching.number and self.stage is Stage.LAUNCHING:
            if state.phase is LaunchPhase.ENDED:
                how = "it ended before it had connected"
                ends.lose(self, how, now, is_charged=False)
            else:
                self.launching.note(state, now)
        return self.flush(now)

    def poll_failed(self, launch: int, trouble: str, now: float) -> Actions:
        """The launch can't be asked for the slave's state; "" when it can be again."""
        if launch == self.launching.number:
            self.launching.trouble = trouble
        return self.flush(now)

    def launch_failed(self, launch: int, why: str, now: float) -> Actions:
        """The plugin could not launch the slave."""
        if launch == self.launching.number and self.stage is not Stage.GONE:
            if self.has_connected:
                text = f"the launch of {self} failed, which is connected: {why}"
                self.actions.append(Warn(text))
            else:
                ends.lost(self, why, is_charged=False)
        return self.flush(now)

    def withdraw(self, now: float) -> Actions:
        """The slave waits in a queue, and is not needed."""
        if self.state is SlaveState.QUEUED and self.stage is Stage.LAUNCHING:
            self.stage = Stage.GONE
            self.how_it_went = "not needed: there are fewer tasks than slaves"
            self.actions.append(Tell(Scheduler.slave_lost, (False, "")))
        return self.flush(now)

    # ---- events: its streams

    def stream_made(
        self, stream: int, *, resumable: bool, now: float, launch: int | None = None
    ) -> Actions:
        """There is a stream whose peer claims to be this slave; a launch may have made it."""
        newcomers.add(self, stream, resumable=resumable, launch=launch)
        return self.flush(now)

    def stream_unusable(self, stream: int, why: str, now: float) -> Actions:
        """A stream can't be read: that of a plugin may fail in any way."""
        self.newcomers.pop(stream, None)
        text = f"its stream can't be used: {why}"
        self.warn(f": {text}")
        self.actions.append(Close(stream))
        self._lose_unconnected(text, now)
        return self.flush(now)

    def not_introduced(self, stream: int, why: str, refusal: str | None, now: float) -> Actions:
        """A peer's introduction can't be read, or does not fit; then the peer gets the refusal."""
        if self.newcomers.pop(stream, None) is not None:
            self.actions.append(Close(stream) if refusal is None else Refuse(stream, refusal))
            self._lose_unconnected(why, now)
        return self.flush(now)

    def greeted(
        self, stream: int, greeting: Greeting, token: str, *, is_fresh: bool, now: float
    ) -> Actions:
        """A peer has introduced itself: begin a session, go on with one, or refuse it.

        Args:
            stream: its stream.
            greeting: what it says.
            token: for the session that may begin.
            is_fresh: whether nothing has been received in the session that there is, if any.
            now: the time.
        """
        if (resumable := self.newcomers.pop(stream, None)) is not None:
            sessions.greet(
                self, stream, greeting, token, resumable=resumable, is_fresh=is_fresh, now=now
            )
        return self.flush(now)

    def resumed(self, stream: int, now: float) -> Actions:
        """The slave has come back to its session, and goes on where it was."""
        if self.session is not None and self.session.stream == stream:
            sessions.resumed(self, self.session, now)
        return self.flush(now)

    def stream_ended(self, stream: int, how: str, *, holds_items: bool, now: float) -> Actions:
        """A stream has ended; the slave holds items of the scheduler's, or none."""
        session = self.session
        if (resumable := self.newcomers.pop(stream, None)) is not None:
            if not resumable:
                self._lose_unconnected(how, now)
        elif session is not None and session.stream == stream and session.is_open:
            session.is_open, session.ended_how = False, how
            sessions.go_on_without_stream(self, session, holds_items, now)
        return self.flush(now)

    def broken(self, stream: int, how: str, now: float) -> Actions:
        """The slave has broken the protocol, or its session can't go on for another reason."""
        if self.session is not None and self.session.stream == stream:
            ends.lose(self, how, now, is_charged=True)
        return self.flush(now)

    # ---- events: what the slave says; that of a session that is over is void

    def heard(self, now: float) -> Actions:
        """A message has come from the slave, which may be suspected."""
        if self.session is not None and self.session.is_suspected:
            self.session.heard_at = max(self.session.heard_at, now)
            silence.hear(self, self.session)
        return self.flush(now)

    def runner_ready(self, pid: int, now: float) -> Actions:
        """The slave's runner waits for its first item."""
        if self.session is not None:
            self.session.runner_pid = pid
            self.session.runner_end = ""
            self.has_joined = True
            self.actions.append(Tell(Scheduler.runner_ready))
        return self.flush(now)

    def runner_lost(
        self, blamed: int, how: str, cause: str, now: float, *, exceeded_bytes: int = 0
    ) -> Actions:
        """The slave's runner has ended.

        Until the loss has been explained, messages are held: they are the next runner's.

        Args:
            blamed: the item that is to blame; 0 for none.
            how: how it ended.
            cause: the same, for the history of the item's task. Its launch is asked for the end of
                its output if this is no Attempt.
            now: the time.
            exceeded_bytes: how much memory that item held, if it was ended for that.
        """
        if self.session is not None:
            ends.lose_runner(self, self.session, blamed, how, cause, exceeded_bytes, now)
        return self.flush(now)

    def released(self, *, holds_items: bool, now: float) -> Actions:
        """The messages that were held have been taken."""
        session = self.session
        if session is not None and not session.is_open and not session.is_explaining:
            sessions.go_on_without_stream(self, session, holds_items, now)
        return self.flush(now)

    def leaving(self, reason: str, now: float) -> Actions:
        """The slave announces that it will be ended."""
        if self.session is not None:
            self.session.is_leaving = True
            self.session.leaves_because = reason
            self.warn(f" leaves: it {reason}", "slave-leaves")
            self.actions.append(Tell(Scheduler.slave_leaving))
        return self.flush(now)

    def paused(self, reason: str, now: float) -> Actions:
        """The slave announces that it will be stopped."""
        if self.session is not None:
            self.session.is_paused = True
            self.session.paused_because = reason
            self.warn(f" gets no tasks for a while: it {reason}", "slave-set-aside")
            self.actions.append(Tell(Scheduler.slave_away))
        return self.flush(now)

    def goes_on(self, now: float) -> Actions:
        """The slave was stopped, and goes on."""
        if self.session is not None:
            self.session.is_paused = False
            self.warn(" was stopped, and goes on")
            self.actions.append(Tell(Scheduler.slave_back))
        return self.flush(now)

    # ---- events: answers, and time

    def answer(self, question: int, evidence: Evidence, now: float) -> Actions:
        """The launch has answered a question."""
        if self.question is not None and self.question.number == question:
            silence.note_queue(self, evidence)
        ends.answer(self, question, evidence, now)
        return self.flush(now)

    def tick(self, signs: StreamSigns, now: float) -> Actions:
        """Time has passed (see LookAt)."""
        late_s = now - self.look_at
        if late_s >= 0.0:
            self.look_at = NEVER
        if late_s > self.check_s:  # this process did not run, and could hear nobody
            soon = now + self.check_s  # the slave may have been about to do what was waited for
            self.launching.excuse(late_s, soon)
            if self.session is not None:
                self.session.excuse(late_s, signs.heard_at, now)
        if self.question is not None and self.question.answer_by <= now:
            ends.answer(self, self.question.number, Evidence(), now)
        if self.stage is Stage.LAUNCHING and (overdue := self.launching.overdue(now)):
            text, names_trouble = overdue
            ends.lose(self, text, now, is_charged=False, names_trouble=names_trouble)
        if self.session is not None and self.session.check_at <= now:
            silence.look(self, self.session, signs, now)
        if self.session is not None and self.session.ask_at <= now:
            silence.ask_soon_for_end(self, self.session, now)
        return self.flush(now)

    # ---- events: what the scheduler decides

    def give_up(self, why: str, *, is_charged: bool, now: float) -> Actions:
        """The slave is heard, and the scheduler has no use for it."""
        if self.session is not None:
            ends.lose(self, why, now, is_charged=is_charged)
        return self.flush(now)

    def set_aside(self, deaths: int, now: float) -> Actions:
        """The slave gets no tasks for a while: so many have died there, one after the other."""
        self.aside = f"{deaths} tasks in a row have died here, while other slaves work"
        self.warn(f" gets no tasks for a while: {self.aside}", "slave-set-aside")
        return self.flush(now)

    def take_up(self, now: float) -> Actions:
        """The slave was set aside, and is tried again."""
        self.aside = ""
        self.actions.append(Inform(f"{self} is tried again"))
        return self.flush(now)

    def launch_again(self, now: float) -> Actions:
        """The slave was lost, and is launched again."""
        if self.stage is Stage.GONE:
            self.begin_launch(NO_LAUNCH)
            text = f"{self.name} is launched again"
            self.actions += [Inform(text), LetGo(0.0), LaunchAgain()]
        return self.flush(now)

    def loss_told(self, now: float) -> Actions:
        """The scheduler knows of the loss: let the slave go, unless it has been launched again."""
        if self.stage is Stage.GONE:
            self.actions.append(LetGo(_LEAVING_S))
        return self.flush(now)

    # ---- what follows

    def _lose_unconnected(self, how: str, now: float) -> None:
        if not self.has_connected:
            ends.lose(self, how, now, is_charged=False)
