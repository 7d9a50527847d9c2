"""Asking the person at the terminal for a secret, if there is one."""

from __future__ import annotations

import atexit
import os
import termios
import threading

_one_at_a_time = threading.Lock()


def why_nobody_can_be_asked() -> str:
    """Return why there is nobody to ask; "" if there is somebody.

    A script in the background has a terminal too, but would be stopped if it read from it.
    """
    try:
        descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return "there is no terminal to ask on"
    try:
        if os.tcgetpgrp(descriptor) != os.getpgrp():
            return "this script is not in the foreground of its terminal"
    except OSError:
        return "there is no terminal to ask on"
    finally:
        os.close(descriptor)
    return ""


def ask_secret(question: str) -> str:
    """Ask on the terminal, whatever stdin and stdout are; what is typed is not shown.

    Call it from any thread. Raises OSError if there is nobody to ask, EOFError for Ctrl-D.
    """
    with _one_at_a_time:
        why = why_nobody_can_be_asked()
        if why:
            raise OSError(why)
        descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
        try:
            return _ask(descriptor, question)
        finally:
            os.close(descriptor)


def _ask(descriptor: int, question: str) -> str:
    before = termios.tcgetattr(descriptor)
    silent = list(before)
    silent[3] = before[3] & ~termios.ECHO

    def restore() -> None:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

    # the main thread may end the process meanwhile, by Ctrl-C: this one would not be told
    atexit.register(restore)
    try:
        termios.tcsetattr(descriptor, termios.TCSAFLUSH, silent)
        os.write(descriptor, question.encode())
        line = os.read(descriptor, 4096)  # a terminal gives a line at a time
    finally:
        atexit.unregister(restore)
        restore()
        os.write(descriptor, b"\n")
    if not line:
        raise EOFError("nothing was typed")
    return line.rstrip(b"\r\n").decode(errors="surrogateescape")
