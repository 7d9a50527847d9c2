"""Quoting for bash, whatever the text is: the name of a folder may hold anything."""

from __future__ import annotations

import os
import shlex


def quote(text: str) -> str:
    """Return text as one word of bash, in printable ASCII and on one line, if it is in one."""
    if text.isascii() and text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(map(_escape, os.fsencode(text))) + "'"


def _escape(byte: int) -> str:
    character = chr(byte)
    if character in "\\'":
        return "\\" + character
    if character == "\n":
        return "\\n"
    # three octal digits: unlike \xHH they can't swallow a digit that follows
    return character if 32 <= byte < 127 else f"\\{byte:03o}"
