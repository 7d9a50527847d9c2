"""The promises of a slave's life, whatever happens and in whatever order."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from imp_parallel_core import LaunchState
from imp_parallel_core._fleet.evidence import Evidence
from imp_parallel_core._fleet.state import Stage

from .performed_life import ENDED, FOR_LONG_S, QUEUED, RUNNING, SUSPENDED, PerformedLife

PICK = st.integers(0, 7)
STATES = st.sampled_from([RUNNING, QUEUED, SUSPENDED, ENDED])
EVIDENCE = st.builds(Evidence, st.none() | STATES)


class LifeMachine(RuleBasedStateMachine):
    """Everything that can happen to a slave, in every order."""

    @initialize(relaunches=st.integers(0, 2), keeps_launch=st.booleans())
    def start(self, relaunches: int, keeps_launch: bool) -> None:
        self.slave = PerformedLife(relaunches)
        self.slave.keeps_launch = keeps_launch

    # ---- its launches

    @rule()
    def launched(self) -> None:
        self.slave.launched()

    @rule(state=STATES, ago=st.integers(0, 1))
    def launch_state(self, state: LaunchState, ago: int) -> None:
        self.slave.launch_state(state, max(1, self.slave.launch - ago))

    @rule(ago=st.integers(0, 1))
    def launch_failed(self, ago: int) -> None:
        slave = self.slave
        launch = max(1, slave.launch - ago)
        slave.perform(slave.life.launch_failed(launch, "no licence", slave.now))

    @rule()
    def withdraw(self) -> None:
        self.slave.perform(self.slave.life.withdraw(self.slave.now))

    # ---- its streams

    @rule(resumable=st.booleans(), ago=st.none() | st.integers(0, 1))
    def offer(self, resumable: bool, ago: int | None) -> None:
        launch = None if ago is None else self.slave.launch - ago
        self.slave.offer(resumable=resumable, launch=launch)

    @rule(resumable=st.booleans())
    def connect(self, resumable: bool) -> None:
        if self.slave.life.stage is Stage.LAUNCHING:
            self.slave.connect(resumable=resumable)

    @rule(resume_fails=st.booleans())
    def come_back(self, resume_fails: bool) -> None:
        if self.slave.life.session is not None:
            self.slave.resume_fails = resume_fails
            self.slave.come_back()

    @precondition(lambda self: self.slave.listening)
    @rule(pick=PICK, has_token=st.booleans(), is_known_boot=st.booleans())
    def greet(self, pick: int, has_token: bool, is_known_boot: bool) -> None:
        session = self.slave.life.session
        boot = session.boot if session is not None and is_known_boot else ""
        token = "another" if session is None else session.token
        self.slave.greet(self.pick(pick), boot=boot, session=token if has_token else None)

    @precondition(lambda self: self.slave.listening)
    @rule(pick=PICK, refusal=st.none() | st.just("another Python"))
    def fail_to_introduce(self, pick: int, refusal: str | None) -> None:
        slave = self.slave
        why = "what it says can't be read"
        slave.perform(slave.life.not_introduced(self.pick(pick), why, refusal, slave.now))

    @precondition(lambda self: self.slave.listening)
    @rule(pick=PICK)
    def end_newcomer(self, pick: int) -> None:
        self.slave.end_stream(self.pick(pick))

    @precondition(lambda self: self.slave.life.session is not None)
    @rule(holds_items=st.booleans())
    def end_stream(self, holds_items: bool) -> None:
        self.slave.end_stream(self.slave.session.stream, holds_items=holds_items)

    @precondition(lambda self: self.slave.life.session is not None)
    @rule()
    def break_protocol(self) -> None:
        slave = self.slave
        slave.perform(slave.life.broken(slave.session.stream, "nonsense", slave.now))

    def pick(self, pick: int) -> int:
        return self.slave.listening[pick % len(self.slave.listening)]

    # ---- what it says

    @rule()
    def runner_ready(self) -> None:
        self.slave.say(lambda: self.slave.life.runner_ready(7, self.slave.now))

    @rule(blamed=st.integers(0, 1), exceeded_bytes=st.sampled_from([0, 0, 1000]))
    def runner_lost(self, blamed: int, exceeded_bytes: int) -> None:
        self.slave.lose_runner(blamed, exceeded_bytes)

    @rule(what=st.sampled_from(["leaving", "paused"]))
    def say(self, what: str) -> None:
        self.slave.say(lambda: getattr(self.slave.life, what)("has to", self.slave.now))

    @rule()
    def go_on(self) -> None:
        self.slave.say(lambda: self.slave.life.goes_on(self.slave.now))

    # ---- answers, the scheduler, time

    @precondition(lambda self: self.slave.questions)
    @rule(ago=st.integers(0, 2), evidence=EVIDENCE)
    def answer(self, ago: int, evidence: Evidence) -> None:
        questions = self.slave.questions
        self.slave.answer(evidence, questions[max(0, len(questions) - 1 - ago)])

    @rule(is_charged=st.booleans())
    def give_up(self, is_charged: bool) -> None:
        slave = self.slave
        slave.perform(slave.life.give_up("of no use", is_charged=is_charged, now=slave.now))

    @rule(is_aside=st.booleans())
    def set_aside(self, is_aside: bool) -> None:
        life, now = self.slave.life, self.slave.now
        self.slave.perform(life.set_aside(3, now) if is_aside else life.take_up(now))

    @rule(seconds=st.sampled_from([0.1, 1.0, 3.0, 9.0, 12.0, 30.0]), is_heard=st.booleans())
    def pass_time(self, seconds: float, is_heard: bool) -> None:
        self.slave.pass_time(seconds, is_heard=is_heard)

    @rule(seconds=st.sampled_from([5.0, 100.0]))
    def stand_still(self, seconds: float) -> None:
        self.slave.stand_still(seconds)

    @rule()
    def tick_too_early(self) -> None:
        self.slave.tick()

    # ---- what must hold

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "slave"):
            self.slave.check()

    def teardown(self) -> None:
        """Nothing more happens: the slave ends before long, unless somebody knows better."""
        if not hasattr(self, "slave"):
            return
        slave = self.slave
        ticks = len(slave.log)
        for _ in range(3):  # it may be launched again
            slave.pass_time(FOR_LONG_S)
            slave.check()
        assert len(slave.log) - ticks < 2000
        life = slave.life
        match life.stage:
            case Stage.LAUNCHING:
                assert slave.running_since is None, "it runs, and nobody misses it"
            case Stage.PRESENT:
                assert not slave.session.resumable
                assert slave.session.is_suspected, "a slave is silent, and nobody minds"
            case Stage.ABSENT | Stage.ENDING:
                raise AssertionError("it is waited for without end")


TestLife = LifeMachine.TestCase
TestLife.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
