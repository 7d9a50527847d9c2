"""One SSH connection to a host that all who need it share."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import Future

from imp_parallel_core import Error, LaunchError

from ._connection import Connect, Connection
from ._throttling import connect_patiently

_FIRST_REST_S = 1.0
_LONGEST_REST_S = 10.0
_REST_GROWTH = 1.5
_JITTER = 0.3  # of a rest: other masters have lost the host at the same time


class SharedConnection:
    """The connection to a host: the first caller makes it, the others wait for that one.

    When it was lost, the next caller makes another one. When an attempt has failed, the host is
    left in peace for a while: whoever calls then gets the same error. All methods may be called
    from any thread.

    Args:
        target: what the user calls the host.
        connect: makes a connection to it.
        longest_rest_s: for how long the host is left in peace after many failures.
    """

    def __init__(
        self, target: str, connect: Connect, longest_rest_s: float = _LONGEST_REST_S
    ) -> None:
        self._target = target
        self._connect = connect
        self._longest_rest_s = longest_rest_s
        self._lock = threading.Lock()  # of all below; nobody holds it while a connection is made
        self._current: Connection | None = None
        self._attempt: Future[Connection] | None = None
        self._failed: Future[Connection] | None = None  # the last attempt, if it has failed
        self._rests_until = 0.0
        self._rest_s = _FIRST_REST_S
        self._set_aside: list[Connection] = []
        self._is_ended = threading.Event()

    def get(self, timeout_s: float, patience_s: float = 0.0) -> Connection:
        """Return the connection; make it if there is none, or wait for the caller who does.

        Args:
            timeout_s: how long one attempt may take.
            patience_s: for how long to try again when the host drops connections before login.

        Raises Error if it can't be made: the caller who tries, those who wait and those who come
        a moment later get the same.
        """
        with self._lock:
            if self._is_ended.is_set():
                raise self._not_needed()
            if self._current is not None:
                return self._current
            attempt = self._attempt
            if attempt is None and time.monotonic() < self._rests_until:
                attempt = self._failed
            is_ours = attempt is None
            if attempt is None:
                attempt = self._attempt = Future()
        if is_ours:
            self._make(attempt, timeout_s, patience_s)
        return attempt.result()

    def _make(self, attempt: Future[Connection], timeout_s: float, patience_s: float) -> None:
        try:
            made = connect_patiently(
                lambda: self._connect(self._target, timeout_s), patience_s, self._is_ended
            )
        except Exception as problem:
            with self._lock:
                self._attempt, self._failed = None, attempt
                self._rests_until = time.monotonic() + self._rest_s * random.uniform(  # noqa: S311 - no secret
                    1 - _JITTER, 1 + _JITTER
                )
                self._rest_s = min(self._rest_s * _REST_GROWTH, self._longest_rest_s)
            attempt.set_exception(self._as_error(problem))
            return
        except BaseException:  # such as Ctrl-C: it concerns this thread only
            with self._lock:
                self._attempt = None
            attempt.set_exception(LaunchError(f"connecting to {self._target} was broken off"))
            raise
        with self._lock:
            self._attempt = None
            self._forget_failures()
            is_needed = not self._is_ended.is_set()
            if is_needed:
                self._current = made
        if not is_needed:
            made.close()
            attempt.set_exception(self._not_needed())
            return
        made.on_loss(lambda how: self._lost(made))  # (which may call back at once)
        attempt.set_result(made)

    def _forget_failures(self) -> None:
        self._failed, self._rests_until, self._rest_s = None, 0.0, _FIRST_REST_S

    def _as_error(self, problem: Exception) -> Error:
        if isinstance(problem, Error):
            return problem
        text = f"can't connect to {self._target}: {type(problem).__name__}: {problem}"
        error = LaunchError(text)
        error.__cause__ = problem
        return error

    def _not_needed(self) -> LaunchError:
        return LaunchError(f"{self._target} is not needed any more")

    def _lost(self, connection: Connection) -> None:
        with self._lock:
            if self._current is connection:
                self._current = None
            elif connection in self._set_aside:
                self._set_aside.remove(connection)
        connection.close()

    # ---- what is there

    @property
    def is_being_made(self) -> bool:
        """Whether somebody is connecting."""
        return self._attempt is not None

    def existing(self) -> Connection | None:
        """Return a connection to the host if there is one, also one that was set aside."""
        with self._lock:
            return self._current or (self._set_aside[-1] if self._set_aside else None)

    def set_aside(self, connection: Connection) -> None:
        """Have the next caller make another connection; this one stays open for its users."""
        with self._lock:
            if self._current is connection:
                self._current = None
                self._set_aside.append(connection)

    def close(self) -> None:
        """Close what is open; the connection is made again when somebody needs it."""
        with self._lock:
            connections, self._set_aside = self._set_aside, []
            if self._current is not None:
                connections.append(self._current)
            self._current = None
            self._forget_failures()
        for connection in connections:
            connection.close()

    def end(self) -> None:
        """Close what is open for good: whoever waits for a connection, or asks later, gets none."""
        with self._lock:  # (an attempt that has just succeeded is either seen here, or sees this)
            self._is_ended.set()
        self.close()
