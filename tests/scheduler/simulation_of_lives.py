"""A cluster whose slaves live: they are launched, queued, cut off, restarted, lost and relaunched.

The real lives of slaves stand between the slaves and the real scheduler, as the fleet has it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from imp_parallel_core import LaunchPhase, LaunchState
from imp_parallel_core._fleet.actions import (
    Ask,
    EndSession,
    LaunchAgain,
    LifeAction,
    LookAt,
    Lost,
    Release,
    Resume,
    Tell,
)
from imp_parallel_core._fleet.evidence import Evidence
from imp_parallel_core._fleet.life import SlaveLife
from imp_parallel_core._fleet.session_state import Greeting, StreamSigns
from imp_parallel_core._fleet.state import Timeouts
from imp_parallel_core._scheduler.actions import (
    Action,
    EndAttempt,
    GiveUp,
    NextRunner,
    Relaunch,
    TakeBack,
)

from .simulation import PATIENCE_S, RESTART_S, WIRE_S, SimulatedSlave, Simulation

TIMEOUTS = Timeouts(PATIENCE_S, 60.0, 60.0, 30.0)
ANSWER_S = 0.2  # a launch takes so long to answer, …
P_NO_ANSWER = 0.1  # … if it does

P_LAUNCH_FAILS = 0.02
P_NEVER_CONNECTS = 0.02
P_IS_STOPPED_BEFORE = 0.2  # it is suspended before it has connected
P_STREAM_BREAKS = 0.003  # for each item
P_IS_PAUSED = 0.002


class LivingSlave(SimulatedSlave):
    """A slave's process, as it is in truth, and its life, as the master knows it."""

    __slots__ = (
        "boot",
        "has_process",
        "held",
        "inbox",
        "is_between_runners",
        "launch",
        "life",
        "outbox",
        "stream",
        "streams",
    )

    def __init__(self, id: int) -> None:
        super().__init__(id)
        self.life = SlaveLife(f"slave {id}", None, TIMEOUTS, is_relaunchable=True, now=0.0)
        self.launch = 0
        self.boot = 0
        self.streams = 0
        self.stream = 0  # the one that is open; 0 for none
        self.has_process = False
        self.is_between_runners = False  # drops what was meant for the runner that died
        self.inbox: list[Callable[[], None]] = []  # what reaches it when it can be reached again
        self.outbox: list[Callable[[], None]] = []
        self.held: list[Callable[[], None]] = []

    @property
    def is_reached(self) -> bool:
        return self.stream != 0 and not self.is_cut_off


class LifeSimulation(Simulation):
    """A simulation in which whatever becomes of a slave goes through its life."""

    slaves: list[LivingSlave]

    def __init__(self, seed: int, slaves: int, tasks: int) -> None:
        self.seen: Counter[str] = Counter()
        super().__init__(seed, slaves, tasks)

    def run(self) -> None:
        """Run until each task has an outcome; slaves that live would be looked at for ever."""
        self._add()
        while self._missing and self._heap:
            self._step()

    # ---- launches

    def _new_slave(self, id: int) -> LivingSlave:
        return LivingSlave(id)

    def _launch(self, slave: LivingSlave) -> None:
        slave.launch += 1
        launch, life = slave.launch, slave.life
        self._decided(slave, life.launch_begun(launch, self.now))
        self._later(0.5, self._launched, slave, launch)

    def _launched(self, slave: LivingSlave, launch: int) -> None:
        life = slave.life
        if self.dice.random() < P_LAUNCH_FAILS and life.has_joined:
            self._decided(slave, life.launch_failed(launch, "no licence", self.now))
            return
        self._decided(slave, life.launched(launch, self.now))
        self._report(slave, launch, LaunchPhase.QUEUED)
        queued_s = self.dice.uniform(0.0, 100.0)
        self._later(queued_s, self._report, slave, launch, LaunchPhase.RUNNING)
        if self.dice.random() < P_IS_STOPPED_BEFORE:
            self._later(queued_s + 1.0, self._report, slave, launch, LaunchPhase.SUSPENDED)
            queued_s += 100.0
            self._later(queued_s, self._report, slave, launch, LaunchPhase.RUNNING)
        if self.dice.random() >= P_NEVER_CONNECTS or not life.has_joined:
            self._later(queued_s + self.dice.uniform(1.1, 50.0), self._starts, slave, launch)

    def _report(self, slave: LivingSlave, launch: int, phase: LaunchPhase) -> None:
        self._decided(slave, slave.life.launch_state(launch, LaunchState(phase), self.now))

    def _starts(self, slave: LivingSlave, launch: int) -> None:
        if launch == slave.launch:
            slave.has_process = True
            slave.boot += 1
            self._connect(slave, None)
            self._later(RESTART_S, self._runner_starts, slave, slave.generation)

    def _connect(self, slave: LivingSlave, session: str | None) -> None:
        slave.streams += 1
        slave.stream = stream = slave.streams
        life = slave.life
        self._decided(slave, life.stream_made(stream, resumable=True, now=self.now))
        greeting = Greeting("host", slave.id, str(slave.boot), session)
        token = f"token {slave.boot}"
        actions = life.greeted(stream, greeting, token, is_fresh=False, now=self.now)
        self._decided(slave, actions)
        is_known = life.session is not None and life.session.stream == stream
        if not is_known:  # it is refused, and leaves
            slave.has_process, slave.stream = False, 0
            self._forget(slave)

    # ---- what befalls slaves

    def _begin_first(self, slave: Any) -> None:
        if self.dice.random() < P_STREAM_BREAKS:
            self._later(WIRE_S, self._stream_breaks, slave, slave.stream)
        if self.dice.random() < P_IS_PAUSED:
            self._later(WIRE_S, self._is_paused, slave, slave.generation)
        super()._begin_first(slave)

    def _stream_breaks(self, slave: LivingSlave, stream: int) -> None:
        if slave.stream == stream and slave.has_process:
            self._stream_ends(slave)
            self._later(self.dice.uniform(0.2, 80.0), self._comes_back, slave, slave.boot)

    def _stream_ends(self, slave: LivingSlave) -> None:
        stream, slave.stream = slave.stream, 0
        holds_items = self.scheduler.items_of(slave.id) > 0
        how = "its connection broke"
        life = slave.life
        self._decided(slave, life.stream_ended(stream, how, holds_items=holds_items, now=self.now))

    def _comes_back(self, slave: LivingSlave, boot: int) -> None:
        if slave.boot == boot and slave.has_process:
            self._connect(slave, f"token {boot}")
            self._catch_up(slave)

    def _catch_up(self, slave: LivingSlave) -> None:
        """Deliver in both directions what has waited."""
        while slave.is_reached and (slave.inbox or slave.outbox):
            (slave.inbox or slave.outbox).pop(0)()

    def _slave_dies(self, slave: Any, generation: int, _: float) -> None:
        if generation == slave.generation:
            self._forget(slave)
            slave.has_process = False
            slave.inbox, slave.outbox = [], []
            if slave.stream:
                self._stream_ends(slave)

    def _slave_is_cut_off(self, slave: Any, generation: int, duration_s: float) -> None:
        if generation == slave.generation:
            slave.is_cut_off = True
            self._later(self.dice.uniform(1.0, 150.0), self._is_reached_again, slave, slave.boot)
            self._later(duration_s, self._item_ends, slave, generation, duration_s)

    def _is_reached_again(self, slave: LivingSlave, boot: int) -> None:
        slave.is_cut_off = False
        if slave.boot == boot and slave.has_process and slave.stream:
            if slave.life.session is None:  # it was given up: its stream is closed
                self._slave_dies(slave, slave.generation, 0.0)
            self._catch_up(slave)

    def _is_paused(self, slave: LivingSlave, generation: int) -> None:
        if generation == slave.generation:
            life = slave.life
            self._tell_life(slave, lambda: life.paused("will be stopped", self.now))
            self._later(20.0, self._goes_on, slave, slave.boot)

    def _goes_on(self, slave: LivingSlave, boot: int) -> None:
        if slave.boot == boot and slave.has_process:
            self._tell_life(slave, lambda: slave.life.goes_on(self.now))

    # ---- what slaves say

    def _runner_starts(self, slave: Any, generation: int) -> None:
        if generation == slave.generation:
            slave.is_between_runners = False
            self._tell_life(slave, lambda: slave.life.runner_ready(1, self.now))

    def _runner_ends(self, slave: Any, charged: int) -> None:
        self._forget(slave)
        slave.is_between_runners = True
        life = slave.life
        self._tell_life(slave, lambda: life.runner_lost(charged, "died", "killed", self.now))

    def _say(self, slave: Any, tell: Callable[[], list[Action]]) -> None:
        self._speak(slave, lambda: self._perform(tell()))

    def _tell_life(self, slave: LivingSlave, tell: Callable[[], list[LifeAction]]) -> None:
        self._speak(slave, lambda: self._decided(slave, tell()))

    def _speak(self, slave: LivingSlave, act: Callable[[], None]) -> None:
        if slave.is_reached:
            self._take(slave, act)
        else:
            slave.outbox.append(lambda: self._take(slave, act))

    def _take(self, slave: LivingSlave, act: Callable[[], None]) -> None:
        """Take a message as :mod:`imp_parallel_core._fleet.inbound` does."""
        session = slave.life.session
        if session is None:
            return
        if session.is_suspected:
            self._decided(slave, slave.life.heard(self.now))
        if session.is_explaining:
            slave.held.append(act)
        else:
            act()

    # ---- what the scheduler decides

    def _send(self, slave: Any, items: list[tuple[int, Any]]) -> None:
        self._arrive(slave, lambda: self._given(slave, items))

    def _perform_rare(self, action: Action, slave: Any) -> None:
        life: SlaveLife = slave.life
        if isinstance(action, Relaunch):
            self._decided(slave, life.launch_again(self.now))
        elif isinstance(action, GiveUp):
            assert slave.is_deaf, "a slave that answers is given up"
            self.given_up += 1
            self._decided(
                slave, life.give_up(action.why, is_charged=action.is_charged, now=self.now)
            )
        elif isinstance(action, NextRunner):
            later = super()._perform_rare
            if life.session is not None:
                self._arrive(slave, lambda: later(action, slave), is_for_runner=False)
        elif isinstance(action, TakeBack | EndAttempt):
            act = super()._perform_rare
            self._arrive(slave, lambda: act(action, slave))

    def _arrive(
        self, slave: LivingSlave, act: Callable[[], None], *, is_for_runner: bool = True
    ) -> None:
        """Bring something to a slave when it can be reached, if its session lasts until then."""
        session = slave.life.session

        def arrive() -> None:
            is_meant = slave.life.session is session and slave.has_process
            if is_meant and not (is_for_runner and slave.is_between_runners):
                act()

        if session is None:
            return
        if slave.is_reached:
            arrive()
        else:
            slave.inbox.append(arrive)

    # ---- what lives decide

    def _decided(self, slave: LivingSlave, actions: list[LifeAction]) -> None:
        for action in actions:
            match action:
                case Tell(event, arguments):
                    self.seen[event.__name__] += 1
                    self._perform(event(self.scheduler, slave.id, *arguments, self.now))
                case LookAt(when):
                    self._later(max(0.0, when - self.now), self._look, slave)
                case Lost(text, is_charged):
                    self.seen["slave_lost"] += 1
                    self.seen[text.partition(" ")[0]] += 1
                    lost = self.scheduler.slave_lost(slave.id, is_charged, text, self.now)
                    self._perform(lost)
                    self._decided(slave, slave.life.loss_told(self.now))
                case LaunchAgain():
                    self.seen["launch_again"] += 1
                    self._end_process(slave)
                    self._launch(slave)
                case EndSession():
                    slave.held = []
                    if not slave.is_cut_off:  # its stream is closed, and it leaves
                        self._end_process(slave)
                case Ask(question):
                    if self.dice.random() >= P_NO_ANSWER:
                        self._later(ANSWER_S, self._answer, slave, question)
                case Release():
                    held, slave.held = slave.held, []
                    for act in held:
                        self._take(slave, act)
                    self._decided(slave, slave.life.released(holds_items=True, now=self.now))
                case Resume(stream):
                    self._decided(slave, slave.life.resumed(stream, self.now))

    def _end_process(self, slave: LivingSlave) -> None:
        self._forget(slave)
        slave.has_process, slave.stream = False, 0
        slave.inbox, slave.outbox = [], []

    def _answer(self, slave: LivingSlave, question: int) -> None:
        phase = LaunchPhase.RUNNING if slave.has_process else LaunchPhase.ENDED
        evidence = Evidence(LaunchState(phase))
        self._decided(slave, slave.life.answer(question, evidence, self.now))

    def _look(self, slave: LivingSlave) -> None:
        is_heard = slave.is_reached and slave.has_process
        signs = StreamSigns(self.now if is_heard else 0.0, int(self.now * 1000) if is_heard else 0)
        self._decided(slave, slave.life.tick(signs, self.now))
