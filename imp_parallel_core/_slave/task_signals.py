"""The handling of signals that tasks find in their runner."""

from __future__ import annotations

import os
import signal
from _thread import get_ident

NOT_FOR_TASKS = (
    signal.SIGCHLD,
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGXCPU,
)
"""Signals that the supervisor handles, or that the process which started the slave ignores (the
script of a batch job, nohup, a shell that runs a command in the background). Tasks find the default
handling of each."""

# A batch system sends these to all processes of a job before it ends or stops them.
_WARNINGS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)


def reset(*, is_warned: bool) -> None:
    """Give a forked runner the handling of signals that a new process has.

    Args:
        is_warned: whether a batch system's warnings reach the runner, which passes over them.
    """
    if is_warned:
        pass_over_warnings()
    for number in NOT_FOR_TASKS:
        if is_warned and number in _WARNINGS:
            continue
        is_interrupt = number == signal.SIGINT
        signal.signal(number, signal.default_int_handler if is_interrupt else signal.SIG_DFL)


def pass_over_warnings() -> None:
    """Do nothing on a batch system's warnings, so that they end no task: the supervisor acts.

    The signals are handled, not ignored, so that programs which a task starts find the default.
    """
    for number in _WARNINGS:
        signal.signal(number, _pass_over)
        signal.siginterrupt(number, False)  # system calls of C code are not interrupted
    os.register_at_fork(
        before=_hold_back, after_in_parent=_restore_mask, after_in_child=_restore_default
    )


def _pass_over(number: int, frame: object) -> None:
    """Do nothing; see :func:`pass_over_warnings`."""


# The masks of threads that fork at this moment, by thread. A list holds several if a fork is made
# within a fork: by another function that is called at forks, or by a signal's handler.
_masks: dict[int, list[set[int | signal.Signals]]] = {}


def _hold_back() -> None:
    """Before a fork, hold the warnings back.

    In the new process, Python forgets the signals that it has received before it calls
    :func:`_restore_default`. The SIGTERM by which a pool ends its processes must not be forgotten:
    the pool waits for their ends.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    _masks.setdefault(get_ident(), []).append(mask)
    passed_over = [number for number in _WARNINGS if signal.getsignal(number) is _pass_over]
    signal.pthread_sigmask(signal.SIG_BLOCK, passed_over)  # a handler of the task goes on


def _restore_mask() -> None:
    """After a fork, have the signals as they were."""
    thread = get_ident()
    masks = _masks[thread]
    mask = masks.pop()
    if not masks:
        del _masks[thread]
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _restore_default() -> None:
    """In a fork of the runner, such as a pool's process, let SIGTERM end the process again."""
    for number in _WARNINGS:
        if signal.getsignal(number) is _pass_over:  # otherwise the task has set a handler
            signal.signal(number, signal.SIG_DFL)
    _restore_mask()
