"""Text from elsewhere, made printable: nothing in it steers a terminal or begins another line.

What a slave, a server or a batch system says comes to terminals and logs. Escape sequences would
be obeyed there; line breaks could make a line look like one of ours.
"""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return a text on one line, in which whatever can't be printed is escaped, as by ``repr``.

    >>> printable("a\x1b[31m\nb")
    'a\\x1b[31m\\nb'
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def printable_lines(text: str) -> str:
    """Return a text of several lines, each as by :func:`printable`; tabs are kept."""
    if text.isprintable():
        return text
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)


def _escaped(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
