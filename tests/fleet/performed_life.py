"""Performs what the life of a slave decides, as the fleet does, and checks each action."""

from __future__ import annotations

from collections.abc import Callable

from imp_parallel_core import LaunchPhase, LaunchState
from imp_parallel_core._fleet.actions import (
    Ask,
    Close,
    EndSession,
    LaunchAgain,
    LetGo,
    LifeAction,
    Listen,
    LookAfter,
    LookAt,
    Lost,
    Ping,
    Refuse,
    Release,
    Resume,
    Tell,
    TellLaunch,
    Warn,
    Welcome,
)
from imp_parallel_core._fleet.evidence import Evidence
from imp_parallel_core._fleet.life import SlaveLife
from imp_parallel_core._fleet.session_state import Greeting, SessionState, StreamSigns
from imp_parallel_core._fleet.state import Purpose, SlaveState, Stage, Timeouts

HEARTBEAT_S, CONNECT_S, RECONNECT_S = 8.0, 10.0, 20.0
TIMEOUTS = Timeouts(HEARTBEAT_S, CONNECT_S, RECONNECT_S, surplus_s=30.0)
FOR_LONG_S = 200.0  # longer than all of these together

RUNNING = LaunchState(LaunchPhase.RUNNING)
QUEUED = LaunchState(LaunchPhase.QUEUED)
SUSPENDED = LaunchState(LaunchPhase.SUSPENDED)
ENDED = LaunchState(LaunchPhase.ENDED, exit_code=3)


class PerformedLife:
    """A slave's life, with all that belongs to it: its launches, streams, timers and messages.

    Args:
        relaunches: how often the scheduler has the slave launched again; 0 if it never does so.
        timeouts: the slave's.
    """

    def __init__(self, relaunches: int = 0, timeouts: Timeouts = TIMEOUTS) -> None:
        self.now = 1000.0
        self.life = SlaveLife(
            "slave 0", None, timeouts, is_relaunchable=relaunches > 0, now=self.now
        )
        self.relaunches_left = relaunches
        self.log: list[LifeAction] = []
        # what the scheduler has been told
        self.told: list[str] = []
        self.losses: list[str] = []
        self.is_gone = self.is_suspected = self.has_runner = False
        # launches
        self.launch = 0
        self.has_launch = False
        self.keeps_launch = True  # also of a slave that was let go of
        self.running_since: float | None = None
        # streams
        self.streams: dict[int, str] = {}
        self.resume_fails = False
        self.heard_at = self.now
        self.read_bytes = 0
        self.boots = 0
        # messages, questions, timers
        self.held: list[Callable[[], list[LifeAction]]] = []
        self.taken = 0
        self.questions: list[int] = []
        self.answered: set[int] = set()
        self.timers: list[float] = []
        self.begin_launch()

    # ---- what happens

    def begin_launch(self) -> None:
        self.launch += 1
        self.has_launch = True
        self.running_since = None
        self.perform(self.life.launch_begun(self.launch, self.now))

    def launched(self) -> None:
        self.perform(self.life.launched(self.launch, self.now))

    def launch_state(self, state: LaunchState, launch: int | None = None) -> None:
        launch = self.launch if launch is None else launch
        if launch == self.launch and self.life.stage is Stage.LAUNCHING:
            if state.phase is not LaunchPhase.RUNNING:
                self.running_since = None
            elif self.running_since is None:
                self.running_since = self.now
        self.perform(self.life.launch_state(launch, state, self.now))

    def offer(self, *, resumable: bool = True, launch: int | None = None) -> int:
        """Offer a stream; return its number."""
        number = len(self.streams) + 1
        self.streams[number] = "offered"
        life = self.life
        self.perform(life.stream_made(number, resumable=resumable, launch=launch, now=self.now))
        return number

    def greet(self, stream: int, *, boot: str = "", session: str | None = None) -> None:
        """Introduce a peer; by default it is another start of the slave."""
        if not boot:
            self.boots += 1
            boot = f"boot {self.boots}"
        self.heard_at = self.now
        greeting = Greeting("host", 1, boot, session)
        token = f"token {stream}"
        is_fresh = self.read_bytes == 0
        actions = self.life.greeted(stream, greeting, token, is_fresh=is_fresh, now=self.now)
        self.perform(actions)

    def connect(self, *, resumable: bool = True) -> int:
        """Let the slave connect, and get a runner; return the number of its stream."""
        stream = self.offer(resumable=resumable)
        self.greet(stream)
        self.say(lambda: self.life.runner_ready(7, self.now))
        return stream

    def come_back(self) -> int:
        """Let a slave go on with its session; return the number of its stream."""
        session = self.session
        stream = self.offer()
        self.greet(stream, boot=session.boot, session=session.token)
        return stream

    def end_stream(self, stream: int, how: str = "it ended", *, holds_items: bool = True) -> None:
        if self.streams[stream] == "listening":
            self.streams[stream] = "closed"
        self.perform(self.life.stream_ended(stream, how, holds_items=holds_items, now=self.now))

    def say(self, tell: Callable[[], list[LifeAction]]) -> None:
        """Let a message come."""
        session = self.life.session
        if session is None or not session.is_open:
            return
        self.heard_at = self.now
        self.read_bytes += 1
        self._take(tell)

    def _take(self, tell: Callable[[], list[LifeAction]]) -> None:
        """Take a message as :mod:`imp_parallel_core._fleet.inbound` does."""
        session = self.life.session
        if session is None:
            return
        if session.is_suspected:
            self.perform(self.life.heard(self.now))
        if session.is_explaining:
            self.held.append(tell)
            return
        self.taken += 1
        self.perform(tell())

    def lose_runner(self, blamed: int, exceeded_bytes: int = 0) -> None:
        self.say(
            lambda: self.life.runner_lost(
                blamed, "died", "its runner died", self.now, exceeded_bytes=exceeded_bytes
            )
        )

    def answer(self, evidence: Evidence, question: int | None = None) -> None:
        """Let the launch answer a question, by default the last one."""
        question = self.questions[-1] if question is None else question
        self.answered.add(question)
        self.perform(self.life.answer(question, evidence, self.now))

    def pass_time(self, seconds: float, *, is_heard: bool = False) -> None:
        """Let time pass; timers go off when they are due."""
        end = self.now + seconds
        while self.timers and min(self.timers) <= end:
            due = min(self.timers)
            self.timers.remove(due)
            self.now = max(self.now, due)
            if is_heard:
                self.hear()
            self.tick()
        self.now = end

    def stand_still(self, seconds: float) -> None:
        """Let time pass in which the master's process does not run."""
        self.now += seconds
        self.pass_time(0.0)

    def hear(self) -> None:
        """Let a heartbeat come, which is no message."""
        if self.life.session is not None and self.life.session.is_open:
            self.heard_at = self.now
            self.read_bytes += 1

    def tick(self) -> None:
        signs = StreamSigns(heard_at=self.heard_at, read_bytes=self.read_bytes)
        self.perform(self.life.tick(signs, self.now))

    # ---- what can be asked

    @property
    def session(self) -> SessionState:
        assert self.life.session is not None
        return self.life.session

    def state(self) -> SlaveState:
        return self.life.state

    def stage(self) -> Stage:
        return self.life.stage

    def decided(self, action: LifeAction) -> int:
        """Return how often it has decided on an action."""
        return sum(type(each) is type(action) and each == action for each in self.log)

    @property
    def listening(self) -> list[int]:
        return [number for number, state in self.streams.items() if state == "listening"]

    @property
    def warnings(self) -> list[str]:
        return [action.text for action in self.log if isinstance(action, Warn)]

    # ---- what it decides

    def perform(self, actions: list[LifeAction]) -> None:
        self.log += actions
        for action in actions:
            self._perform(action)

    def _perform(self, action: LifeAction) -> None:
        match action:
            case Tell(event, _):
                self._tell(event.__name__)
            case Lost(text, _):
                self._lose(text)
            case LookAt(when):
                self.timers.append(when)
            case Ask(question, _):
                assert self.has_launch or not self.keeps_launch, "a launch that was let go is asked"
                assert question > max(self.questions, default=0)
                self.questions.append(question)
            case TellLaunch():
                assert self.has_launch or not self.keeps_launch
            case LaunchAgain():
                assert not self.has_launch, "two launches are there"
                self.begin_launch()
            case LookAfter():
                self.has_launch = self.keeps_launch
            case LetGo():
                self.has_launch = False
            case Release():
                held, self.held = self.held, []
                for tell in held:
                    self._take(tell)
                self.perform(self.life.released(holds_items=True, now=self.now))
            case _:
                self._perform_on_stream(action)

    def _perform_on_stream(self, action: LifeAction) -> None:
        match action:
            case Listen(stream):
                assert self.streams[stream] == "offered"
                self.streams[stream] = "listening"
            case Close(stream):
                assert self.streams[stream] in ("offered", "listening")
                self.streams[stream] = "closed"
            case Refuse(stream, why):
                assert why
                assert self.streams[stream] == "listening"
                self.streams[stream] = "closed"
            case Welcome(stream):
                assert self.streams[stream] == "listening"
                assert "session" not in self.streams.values(), "two sessions"
                self.streams[stream] = "session"
                self.held, self.read_bytes = [], 0
            case Resume(stream):
                assert self.streams[stream] == "listening"
                self._end_session()
                self.streams[stream] = "session"
                if self.resume_fails:
                    self.perform(self.life.broken(stream, "it can't have so many", self.now))
                else:
                    self.perform(self.life.resumed(stream, self.now))
            case EndSession():
                self.held = []
                self._end_session()
            case Ping():
                assert "session" in self.streams.values()

    def _end_session(self) -> None:
        for number, state in self.streams.items():
            if state == "session":
                self.streams[number] = "closed"

    def _tell(self, event: str) -> None:
        self.told.append(event)
        assert not self.is_gone or event == "slave_restarted", f"{event} of a slave that has gone"
        match event:
            case "slave_restarted":
                self.is_gone = self.is_suspected = self.has_runner = False
            case "slave_suspected":
                assert not self.is_suspected, "suspected twice"
                self.is_suspected = True
            case "slave_heard":
                assert self.is_suspected, "heard, and was not suspected"
                self.is_suspected = False
            case "runner_ready":
                self.has_runner = True
            case "runner_lost" | "memory_exceeded":
                self.has_runner = False
            case "slave_present":
                assert self.has_runner
                assert not self.is_suspected
            case "slave_lost":
                self.is_gone = True

    def _lose(self, text: str) -> None:
        assert not self.is_gone, "lost twice"
        assert text
        if "did not connect within" in text:
            assert self.running_since is not None, "a time-out of an earlier launch"
            assert self.now >= self.running_since + CONNECT_S, "a time-out of an earlier launch"
        self.is_gone, self.is_suspected, self.has_runner = True, False, False
        self.losses.append(text)
        if self.relaunches_left:
            self.relaunches_left -= 1
            self.is_gone = False
            self.perform(self.life.launch_again(self.now))
        self.perform(self.life.loss_told(self.now))

    # ---- what must hold between the events

    def check(self) -> None:
        life, session, question = self.life, self.life.session, self.life.question
        assert (life.stage is Stage.GONE) == self.is_gone
        assert (life.state is SlaveState.GONE) == self.is_gone
        assert (session is not None) == (life.stage in (Stage.PRESENT, Stage.ABSENT))
        assert (session is not None) == ("session" in self.streams.values())
        assert sorted(life.newcomers) == self.listening
        assert len(self.listening) <= 4
        assert "offered" not in self.streams.values(), "nobody has decided on a stream"
        purpose = None if question is None else question.purpose
        assert (life.stage is Stage.ENDING) == (purpose is Purpose.END)
        is_explaining = session is not None and session.is_explaining
        assert is_explaining == (purpose is Purpose.RUNNER)
        assert not self.held or is_explaining, "messages are held that nobody will take"
        if session is not None:
            assert self.is_suspected == session.is_suspected
        due = life._next_look()
        assert due == float("inf") or min(self.timers) <= due, "nobody will look in time"
