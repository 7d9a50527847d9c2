"""How far one slave has come, how it has ended, and what it writes."""

from __future__ import annotations

import threading

from imp_parallel_core import Bootstrap, LaunchPhase, LaunchState, read_tail

from .._channel_wait import exit_status_at_end
from .._connection import Channel
from .._programs.bridge.exit_codes import ENDED_UNSEEN, FAILED, STREAM_ENDED
from . import output_files

_STATUS_S = 0.5  # how long after a channel's end its exit status may come
_TAIL_BYTES = 4096


class Progress:
    """What a launch tells of one slave. All methods may be called from any thread.

    Args:
        bootstrap: the slave's.
        target: the host, as the user calls it.
    """

    def __init__(self, bootstrap: Bootstrap, target: str) -> None:
        self._output_path = bootstrap.output_path
        self._target = target
        self._lock = threading.Lock()
        self._state = LaunchState(LaunchPhase.QUEUED, f"connecting to {target}")
        self._last_errors = b""

    @property
    def state(self) -> LaunchState:
        """How far it has come."""
        return self._state

    @property
    def has_ended(self) -> bool:
        """Whether it has ended for certain, or could not be started."""
        return self._state.phase is LaunchPhase.ENDED

    def note(self, detail: str) -> None:
        """Note what is being done for it."""
        self._enter(LaunchState(LaunchPhase.RUNNING, detail))

    def end(self, detail: str, exit_code: int | None = None) -> None:
        """Note that it has ended; what was noted first of its end stays."""
        self._enter(LaunchState(LaunchPhase.ENDED, detail, exit_code))

    def _enter(self, state: LaunchState) -> None:
        with self._lock:
            if self._state.phase is not LaunchPhase.ENDED:
                self._state = state

    def end_as_told(self, channel: Channel) -> bool:
        """Note how it has ended, if its bridge, whose stream has ended, says so; return whether."""
        code = exit_status_at_end(channel, _STATUS_S)
        if code is None or code < 0 or code in (STREAM_ENDED, FAILED):
            return False
        if code == ENDED_UNSEEN:
            self.end("it has ended, nobody saw how")
        else:
            self.end("", code if code <= 128 else 128 - code)
        return True

    def end_without_bridge(self, channel: Channel | None, noise: bytes) -> None:
        """Note that a login shell or a ``python=`` line ended before there was a bridge.

        Args:
            channel: where the bridge was to begin.
            noise: what was said there instead.
        """
        code = None if channel is None else exit_status_at_end(channel, _STATUS_S)
        output_files.append(self._output_path, noise)
        if self._output_path is None:
            words = (noise + self._last_errors).decode(errors="replace").strip()
            self.end(f"{self._target}: exit code {code}: {words}")
        elif code is None:
            self.end(f"the connection to {self._target} ended")
        else:
            self.end("", code)

    # ---- what it writes

    def take_errors(self, data: bytes) -> None:
        """Append to its output file what came on a channel's standard error; never waits."""
        self._last_errors = (self._last_errors + data)[-_TAIL_BYTES:]
        output_files.append(self._output_path, data)

    def log_tail(self) -> str:
        """Return the end of its output."""
        output_files.flush()
        return read_tail(self._output_path)
