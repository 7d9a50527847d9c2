"""What a launch says of one of its slaves, put into words."""

from __future__ import annotations

from .._light_typing import NamedTuple
from .._plugins.launch import LaunchPhase, LaunchState, quoted_output


class Evidence(NamedTuple):
    """The answer of a launch that was asked how a slave is; by default that of one that is mute."""

    state: LaunchState | None = None
    output: str = ""
    command: str = ""
    trouble: str = "it has not answered"
    """Why there is no state."""

    @property
    def has_ended(self) -> bool:
        """Whether the slave is known to have ended."""
        return self.state is not None and self.state.phase is LaunchPhase.ENDED

    @property
    def may_come_back(self) -> bool:
        """Whether the slave is stopped; or queued again, to be restarted."""
        phases = (LaunchPhase.SUSPENDED, LaunchPhase.QUEUED)
        return self.state is not None and self.state.phase in phases

    def of_end(self, how: str, output_path: str | None, *, has_joined: bool) -> str:
        """Return how a slave ended: in a line, with its command if it never ran, its output."""
        parts = [how]
        if self.state is not None and self.has_ended:
            parts.append(_describe_exit(self.state))
        text = "; ".join(part for part in parts if part)
        if not has_joined and self.command:
            text += f"\n    command: {self.command}"
        return text + self.of_output(output_path)

    def of_output(self, output_path: str | None) -> str:
        """Return the end of a slave's output, quoted, on lines of its own."""
        return quoted_output(output_path, self.output)


def _describe_exit(state: LaunchState) -> str:
    if state.exit_code is None:
        return state.detail
    if state.exit_code < 0:
        return f"killed by signal {-state.exit_code}"
    return f"exit code {state.exit_code}"
