"""What a check asks of plugins in its own thread: calls that hang, or have a mistake."""

from __future__ import annotations

import dis
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import NamedTuple

from .._errors import Error
from .._explained import explained
from .._plugins.contract import described, package_of
from .._plugins.entry_points import find_entry_points
from .steps import Failed

_CORE = "imp_parallel_core"
_TRIES = 3
_TRY_S = 1.0
_EXIT_S = 5.0
_HANGS = (
    "If it is only slow, wait longer, by --limit. Otherwise try by hand what it waits for, or tell "
    "the authors of the plugin where it hangs."
)


class _Late(KeyboardInterrupt):
    """Plugins let it pass, as they do a Ctrl-C."""


class Limit(NamedTuple):
    """How long plugins may take, all in all.

    Attributes:
        limit_s: how long, in seconds.
        at: when that is over, in monotonic seconds.
        leave: ends the process, whose main thread can't be interrupted; called in another thread.
    """

    limit_s: float
    at: float
    leave: Callable[[Failed], None]

    @contextmanager
    def over(self, step: str) -> Iterator[None]:
        """Interrupt calls of plugins in the block when it is time; in the main thread alone.

        Args:
            step: the step that fails then.

        Raises Failed.
        """
        main = threading.main_thread()
        if threading.current_thread() is not main or main.ident is None:
            yield
            return
        thread = main.ident
        is_over = threading.Event()
        failures: list[Failed] = []

        def watch() -> None:
            if is_over.wait(max(0.0, self.at - time.monotonic())):
                return
            failures.append(self._hangs(step, sys._current_frames().get(thread)))
            for _ in range(_TRIES):
                signal.pthread_kill(thread, signal.SIGURG)  # which is ignored if it comes late
                if is_over.wait(_TRY_S):
                    return
            self.leave(failures[0])

        def interrupt(_: int, __: FrameType | None) -> None:
            if not is_over.is_set():
                raise _Late

        before = signal.signal(signal.SIGURG, interrupt)
        threading.Thread(target=watch, name="imp_parallel limit", daemon=True).start()
        try:
            yield
            is_over.set()
        except _Late:
            pass
        finally:
            is_over.set()
            signal.signal(signal.SIGURG, signal.SIG_DFL if before is None else before)
        if failures:
            _exit_anyway()
            raise failures[0] from None

    def _hangs(self, step: str, frame: FrameType | None) -> Failed:
        labels = {
            package_of(each.value.partition(":")[0]): each.distribution
            for each in find_entry_points("imp_parallel")
        }
        frames: list[FrameType] = []  # the innermost comes first
        while frame is not None:
            frames.append(frame)
            frame = frame.f_back
        inside = f"within the {self.limit_s:g} s of --limit"
        theirs = [each for each in frames if _package(each) in labels]
        if not theirs:
            return Failed(step, f"a call of a plugin has not returned {inside}", _HANGS)
        innermost, outermost = theirs[0], theirs[-1]
        who = f"plugin {labels[_package(innermost)]}: {_called(outermost.f_code)}"
        text = f"{who} has not returned {inside} ({_place(innermost)})"
        return Failed(step, explained(text, "plugin-hangs"), _HANGS)


def mistake_of(problem: BaseException, kind: type, label: str) -> str:
    """Return what is wrong in a plugin's code; "" for an error that its code means to raise.

    Args:
        problem: the exception.
        kind: the class of the slaves.
        label: what messages call the plugin that brings them.
    """
    if isinstance(problem, (Error, OSError)):
        return ""
    packages = _packages_of(kind)
    frames: list[tuple[FrameType, int]] = []
    step = problem.__traceback__
    while step is not None:
        frames.append((step.tb_frame, step.tb_lasti))
        step = step.tb_next
    theirs = [frame for frame, _ in frames if _package(frame) in packages]
    if not theirs:
        return ""
    last, at = frames[-1]
    # a raise statement is meant, and what another operation raises is a mistake
    is_raised = last.f_code.co_code[at] == dis.opmap["RAISE_VARARGS"]
    is_its_own = _package(last) in {*packages, _CORE}
    if isinstance(problem, (TypeError, ValueError)) and is_raised and is_its_own:
        return ""
    what = described(problem, _package(theirs[-1]))
    text = f"plugin {label} failed in {_called(theirs[0].f_code)}: {what}"
    return explained(text, "plugin-fails")


def where_in(frame: FrameType | None, kind: type) -> str:
    """Return which line of a plugin a thread is in; "" if it is in none."""
    packages = _packages_of(kind)
    while frame is not None and _package(frame) not in packages:
        frame = frame.f_back
    return "" if frame is None else _place(frame)


def _packages_of(kind: type) -> set[str]:
    """Return the packages that bring a class of slaves, beside the core."""
    return {package_of(each.__module__) for each in kind.__mro__} - {_CORE, "builtins"}


def _place(frame: FrameType) -> str:
    code = frame.f_code
    return f"{os.path.basename(code.co_filename)}, line {frame.f_lineno}, in {code.co_name}"


def _called(code: CodeType) -> str:
    return "its import" if code.co_name == "<module>" else f"{code.co_qualname}()"


def _package(frame: FrameType) -> str:
    return package_of(frame.f_globals.get("__name__"))


def _exit_anyway() -> None:
    """Let no thread of a plugin's that hangs keep the process from its end."""

    def exit_later() -> None:
        threading.main_thread().join()
        time.sleep(_EXIT_S)
        os._exit(1)

    threading.Thread(target=exit_later, name="imp_parallel exit", daemon=True).start()
