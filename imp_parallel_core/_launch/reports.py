"""What the thread of a launch tells the fleet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._plugins.launch import LaunchState

if TYPE_CHECKING:
    from .._wire.stream import Stream


class LaunchReports:
    """What a watch tells, from its thread."""

    def launched(self) -> None:
        """The plugin has launched the slaves, and is asked from now on how they are."""

    def launch_failed(self, indices: Sequence[int], error: BaseException) -> None:
        """The plugin could not launch these slaves."""

    def stream_made(self, index: int, stream: Stream) -> None:
        """The launch made a slave's stream."""

    def launch_state(self, index: int, state: LaunchState) -> None:
        """What the launch knows of a slave that has not connected has changed."""

    def poll_failed(self, indices: Sequence[int], trouble: str) -> None:
        """The launch can't say how these slaves are, and why; "" when it can again."""

    def explained(
        self,
        index: int,
        question: int,
        state: LaunchState | None,
        tail: str,
        command: str,
        trouble: str,
    ) -> None:
        """The answer to :meth:`LaunchWatch.explain`.

        Args:
            index: the slave's.
            question: the number of the question.
            state: the slave's; None if it is not known.
            tail: the end of its output.
            command: the command line that was run for it.
            trouble: why there is no state.
        """
