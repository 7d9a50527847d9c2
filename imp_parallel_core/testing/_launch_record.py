"""Launches that note what the core asks of them, and what they answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from .._plugins.launch import LaunchPhase, LaunchState
from .._plugins.registry import Plugins

if TYPE_CHECKING:
    from .._plugins.bootstrap import Bootstrap
    from .._plugins.launch import Launch
    from .._plugins.slaves import Slave
    from .._wire.stream import Accept

_OPTIONAL = ("withdraw", "end_slave", "note_connections")


class RecordedLaunch:
    """Passes everything on to a launch.

    Attributes:
        launch: the plugin's.
        changes: what poll() said differently of slaves that it had said to have ended.
        cancel_s: how long cancel() took; None before it has come to its end.
        problem: what cancel() raised; None for nothing.
        is_cancelled: set when cancel() has come to its end.
        wants_words: whether log_tail() is to be asked of all slaves before they are cancelled.
        words: what log_tail() said then, by the slaves' numbers.
        has_words: set when it has been asked.
    """

    def __init__(self, launch: Launch, indices: Sequence[int], grace_s: float) -> None:
        self.launch = launch
        self.wants_words = False
        self.words: dict[int, str] = {}
        self.has_words = threading.Event()
        self._indices = indices
        self.changes: list[str] = []
        self.cancel_s: float | None = None
        self.problem: Exception | None = None
        self.is_cancelled = threading.Event()
        self._grace_s = grace_s
        self._ended: dict[int, LaunchState] = {}

    @property
    def command(self) -> Sequence[str] | Mapping[int, Sequence[str]]:
        """The command line, or that of each slave."""
        return self.launch.command

    def commands(self) -> list[Sequence[str]]:
        """Return the command lines."""
        command = self.launch.command
        return list(command.values()) if isinstance(command, Mapping) else [command]

    def poll(self) -> Mapping[int, LaunchState]:
        """Ask the launch, and ask again when slaves have ended."""
        states = self.launch.poll()
        self._note(states)
        if self._ended:
            self._note(self.launch.poll())
        return states

    def _note(self, states: Mapping[int, LaunchState]) -> None:
        for index, before in self._ended.items():
            now = states.get(index)
            is_code_kept = now is not None and before.exit_code in (None, now.exit_code)
            if now is None or now.phase is not LaunchPhase.ENDED or not is_code_kept:
                self.changes.append(f"slave {index}: {before}, and later {now}")
        ended = {i: state for i, state in states.items() if state.phase is LaunchPhase.ENDED}
        self._ended.update(ended)

    def cancel(self, grace_s: float) -> None:
        """Cancel the launch, with a grace of so long at least."""
        if self.wants_words:
            self._note_words()
        began_at = time.monotonic()
        try:
            self.launch.cancel(max(grace_s, self._grace_s))
        except Exception as problem:  # the core goes on
            self.problem = problem
            raise
        finally:
            self.cancel_s = time.monotonic() - began_at
            self.is_cancelled.set()

    def _note_words(self) -> None:
        """Ask for the slaves' last words here, since a launch is asked in its own thread alone."""
        for index in self._indices:
            try:
                self.words[index] = self.launch.log_tail(index)
            except Exception as problem:  # the plugin's; it is told
                self.words[index] = f"log_tail({index}) raised {problem!r}"
        self.has_words.set()

    def log_tail(self, index: int) -> str:
        """Return the end of a slave's output."""
        return self.launch.log_tail(index)


def record(launch: Launch, indices: Sequence[int], grace_s: float) -> RecordedLaunch:
    """Return a launch that passes on what that one can do, and no more: the core looks."""
    more = {name: _passing_on(name) for name in _OPTIONAL if hasattr(launch, name)}
    kind: type[RecordedLaunch] = type("RecordedLaunch", (RecordedLaunch,), more)
    return kind(launch, indices, grace_s)


def _passing_on(name: str) -> Callable[..., object]:
    def pass_on(recorded: RecordedLaunch, *arguments: int | Collection[int]) -> object:
        return getattr(recorded.launch, name)(*arguments)

    return pass_on


class RecordingPlugins(Plugins):
    """The plugins of a Manager, whose launches are noted.

    Args:
        plugins: the plugins.
        change: makes another bootstrap of each that they are given; None for the same.
        note: is given each launch.
        grace_s: the least grace that each gets.
    """

    def __init__(
        self,
        plugins: Plugins,
        change: Callable[[Bootstrap], Bootstrap] | None,
        note: Callable[[RecordedLaunch], None],
        grace_s: float,
    ) -> None:
        self.__dict__.update(vars(plugins))
        self._change = change
        self._note = note
        self._grace_s = grace_s

    def launch(self, slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Accept) -> Launch:
        """Have slaves launched."""
        if self._change is not None:
            bootstraps = [self._change(bootstrap) for bootstrap in bootstraps]
        launch = super().launch(slaves, bootstraps, accept)
        recorded = record(launch, [bootstrap.index for bootstrap in bootstraps], self._grace_s)
        self._note(recorded)
        return recorded
