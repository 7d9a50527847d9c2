"""The supervisor's side of :mod:`.outlet`: what an item that has failed has printed."""

from __future__ import annotations

import os

from .._light_typing import TYPE_CHECKING, Protocol
from .outlet import BEGIN, FILE, ITEM, read_file

if TYPE_CHECKING:
    import selectors
    from collections.abc import Callable

    from .._wire.protocol import Message
    from .output_pipe import Sink
    from .runner_start import StartedRunner

_READ_S = 2.0  # to read the end of a file; a file system may hang


class RunnerOutput(Protocol):
    """The output of one runner."""

    def completed(self, outcome: Message) -> Message:
        """Return a runner's OUTCOME of an item that raised, with the item's output in it."""

    def of_item(self, item: int) -> bytes | None:
        """Return the output of the item that has ended the runner; None if it can't be known."""

    def close(self) -> None:
        """Take note that the runner has ended."""


def output_of(
    started: StartedRunner,
    selector: selectors.BaseSelector,
    sink: Sink | None,
    catch_up: Callable[[], None],
) -> RunnerOutput:
    """Return the output of a runner; the arguments are as for :class:`.output_pipe.OutputPipe`."""
    words = started.register.words
    if sink is not None:
        from .output_pipe import OutputPipe  # most slaves write to a file

        return OutputPipe(started.output, words, selector, sink, catch_up)
    return OutputInFile(words) if started.outlet == FILE else UnknownOutput()


class OutputInFile:
    """Output in a file; a runner that lives reads it by itself.

    Args:
        words: those of the register that is shared with the runner.
    """

    def __init__(self, words: memoryview[int]) -> None:
        self._words = words

    def completed(self, outcome: Message) -> Message:
        """Return the message as it is."""
        return outcome

    def of_item(self, item: int) -> bytes | None:
        """Read what the item has printed, in a thread that is not waited for if it takes long."""
        if self._words[ITEM] != item:
            return b""  # it was killed before it called anything
        from threading import Thread  # most runners are not lost

        found: list[bytes] = []

        def read() -> None:
            found.append(read_file(1, self._words[BEGIN], os.lseek(1, 0, os.SEEK_CUR)))

        reader = Thread(target=read, daemon=True)
        reader.start()
        reader.join(_READ_S)
        return found[0] if found else None

    def close(self) -> None:
        """Do nothing: the file is the slave's."""


class UnknownOutput:
    """Output that nobody can find."""

    def completed(self, outcome: Message) -> Message:
        """Return the message as it is."""
        return outcome

    def of_item(self, item: int) -> bytes | None:
        """Return None."""
        return None

    def close(self) -> None:
        """Do nothing."""
