"""Make text of other programs printable, so that it can't control a terminal or fake a line.

Text of slaves, servers and batch systems appears on terminals and in logs. A terminal would obey
escape sequences in it, and after a line break a line could look like one of ours.
"""

from __future__ import annotations


def printable(text: str) -> str:
    r"""Return a text on one line, with characters that can't be printed escaped as by ``repr``.

    >>> printable("a\x1b[31m\nb")
    'a\\x1b[31m\\nb'
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def printable_lines(text: str) -> str:
    """Return a text of several lines, each made printable by :func:`printable`; tabs are kept."""
    if text.isprintable():
        return text
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)


def _escaped(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
