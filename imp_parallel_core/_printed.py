"""What one attempt of a task has printed, as errors show it.

The slave sends the last lines as they were written; whatever they are, they are made printable.
"""

from __future__ import annotations

from ._printable import printable_lines

LIMIT_BYTES = 8192
"""How much a slave sends at most. No more characters than that are shown."""


class Attempt(str):
    """How one attempt of a task ended, in words: an element of ``TaskLostError.attempts``.

    Args:
        text: the words.
        output: see below.

    Attributes:
        output: the last lines that this attempt, and no other, wrote to its standard output and
            standard error, 8 KiB at most; "" if the whole slave was lost with it, or if that can't
            be known (then the words quote the end of the slave's output, if it is here).
    """

    __slots__ = ("output",)

    output: str

    def __new__(cls, text: str, output: str = "") -> Attempt:
        """Make the words with their output."""
        made = super().__new__(cls, text)
        made.output = output
        return made


def lost_attempt(text: str, printed: bytes) -> Attempt:
    """Return an attempt that has ended its runner; its words quote its output."""
    output = output_of(printed)
    quoted = f"the last lines that it printed:\n{quote(output)}" if output else "it printed nothing"
    return Attempt(f"{text}\n    {quoted}", output)


def output_of(printed: bytes) -> str:
    """Return an attempt's output as text that can be shown, of limited length."""
    text = printable_lines(without_marks(printed[-LIMIT_BYTES:].decode(errors="replace")))
    if len(text) <= LIMIT_BYTES:
        return text
    end = text[-LIMIT_BYTES:]
    begin = end.find("\n") + 1
    return end[begin:] if 0 < begin < len(end) else end


def without_marks(text: str) -> str:
    """Return some output without the marks of tasks that begin (see ``_slave.announced``)."""
    if "\x02" not in text:
        return text
    import re  # most scripts leave the output in files, without marks

    return re.sub("\x02imp_parallel:\\d+:\\d*\x03\n?", "", text)


def quote(output: str) -> str:
    """Return the lines of an output, each marked as such."""
    return "\n".join(f"    | {line}" for line in output.removesuffix("\n").split("\n"))
