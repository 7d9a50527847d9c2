"""What a check sees of a run without being asked: the launch that is made, and what is logged."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from .._plugins.hookspecs import hookimpl
from .._plugins.launch import describe_command

if TYPE_CHECKING:
    from .._plugins.bootstrap import Bootstrap
    from .._plugins.launch import Launch
    from .._plugins.slaves import Slave
    from .._wire.stream import Accept


class Onlooker:
    """A plugin that only looks on while the slaves' own plugin launches them.

    Args:
        tell: is called when they have been launched, in the launch's thread.
    """

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._launch: Launch | None = None
        self._lock = threading.Lock()
        self._was_submitted = False
        self.is_launched = False
        self.thread: threading.Thread | None = None
        """The launch's own, which also ends the slaves."""
        self.last_warning = ""
        """What the plugin, or something else that knows more than the time, has said last."""
        self.command = ""
        """The command line that was run for the first slave."""
        self.addresses: Sequence[str] = ()
        """Those that the slaves try."""

    @property
    def job(self) -> str:
        """What the batch system calls the job, if the launch tells and it is submitted."""
        return self._job() or ""

    @property
    def has_job(self) -> bool:
        """Whether the launch has a job, or will have one when it can submit that."""
        return self._job() is not None

    @property
    def is_submitted(self) -> bool:
        """Whether the slaves have been launched, and their job, if they have one, is there."""
        return self.is_launched and self._job() != ""

    def is_newly_submitted(self) -> bool:
        """Return the same, but True once only. Any thread may ask."""
        with self._lock:
            is_new = self.is_submitted and not self._was_submitted
            self._was_submitted = self._was_submitted or is_new
        return is_new

    def _job(self) -> str | None:
        with suppress(Exception):  # the plugin's
            job = getattr(self._launch, "job", None)
            return None if job is None else str(job)
        return None

    @hookimpl(wrapper=True)
    def imp_parallel_launch(
        self, slaves: Slave, bootstraps: Sequence[Bootstrap], accept: Accept
    ) -> Generator[None, Launch | None, Launch | None]:
        """Note what a plugin has launched."""
        self.thread = threading.current_thread()
        launch = yield
        if launch is not None:
            self._launch = launch
            with suppress(Exception):  # the plugin's: who only looks on must not lose the launch
                self._note(launch, bootstraps)
            self.is_launched = True
            self._tell()
        return launch

    def _note(self, launch: Launch, bootstraps: Sequence[Bootstrap]) -> None:
        self.addresses = bootstraps[0].addresses
        command = getattr(launch, "command", ())
        if isinstance(command, Mapping):
            command = command.get(bootstraps[0].index, ())
        self.command = describe_command(list(map(str, command)))


@contextmanager
def hearing(hear: Callable[[str, str], None]) -> Iterator[None]:
    """Have the library's warnings told to a function instead of being printed.

    Args:
        hear: called with the logger's name and the message, in any thread.
    """
    logger = logging.getLogger("imp_parallel")
    handler = _Handler(hear)
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


class _Handler(logging.Handler):
    def __init__(self, hear: Callable[[str, str], None]) -> None:
        super().__init__(logging.WARNING)
        self._hear = hear

    def emit(self, record: logging.LogRecord) -> None:
        self._hear(record.name, record.getMessage())
