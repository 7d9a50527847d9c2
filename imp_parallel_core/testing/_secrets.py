"""A slave's secret reaches the slave alone: no command line, environment, log or file shows it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from .._plugins.bootstrap import Bootstrap
from ._launcher import Launcher
from ._shown import files_for_others, forms_of, usual_folders

_PAUSE_S = 0.02
_FILE_LIMIT_BYTES = 1 << 24


class _Secrets:
    """The secrets of all slaves, in the forms that they may be shown in."""

    def __init__(self) -> None:
        self._forms: dict[bytes, str] = {}

    def keep(self, bootstrap: Bootstrap) -> Bootstrap:
        """Note the secret of a slave; give the slave one if it has none."""
        secret = bootstrap.secret or os.urandom(32)
        for form in forms_of(secret):
            self._forms[form] = f"slave {bootstrap.index}'s secret"
        return bootstrap._replace(secret=secret)

    def shown_in(self, data: bytes) -> str:
        """Return whose secret is in some bytes; "" if there is none."""
        whole = data + data.replace(b"\n", b"") if b"\n" in data else data  # base64 may be wrapped
        return next((whose for form, whose in self._forms.items() if form in whole), "")


class _Watch(logging.Handler):
    """Looks at all processes, again and again, and at all that is logged.

    ``found`` says where a secret was seen.
    """

    def __init__(self, secrets: _Secrets) -> None:
        super().__init__(logging.DEBUG)
        self.found: dict[str, None] = {}
        self._secrets = secrets
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch for secrets")

    def emit(self, record: logging.LogRecord) -> None:
        """Look at what is logged."""
        self._look(record.getMessage().encode(), f"the log of {record.name}")

    def _look(self, data: bytes, where: str) -> None:
        whose = self._secrets.shown_in(data)
        if whose:
            self.found[f"{whose} is in {where}"] = None

    def _run(self) -> None:
        while not self._is_over.is_set():
            for pid in filter(str.isdecimal, _names_in("/proc")):
                for what in ("cmdline", "environ"):
                    data = _read(Path(f"/proc/{pid}/{what}"))
                    self._look(data, f"the {what} of a process: {_words_of(pid)}")
            self._is_over.wait(_PAUSE_S)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch until the end of the ``with`` statement."""
        logger = logging.getLogger("imp_parallel")
        level = logger.level
        logger.setLevel(logging.DEBUG)
        logger.addHandler(self)
        self._thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            self._thread.join()
            logger.removeHandler(self)
            logger.setLevel(level)

    def look_at_commands(self, commands: Sequence[Sequence[str]]) -> None:
        """Look at command lines, which error messages show."""
        for words in commands:
            self._look("\0".join(words).encode(), "a launch's command line, its command")

    def look_at_files(self, folder: Path, since: float) -> None:
        """Look at the files in a folder that others could read if they may enter it."""
        for path in files_for_others(folder, since):
            self._look(_read(path), f"a file that other users may read: {path}")


def the_secret_is_nowhere_to_be_seen(launcher: Launcher) -> None:
    """No command line, environment, log or file that others may read has a slave's secret."""
    secrets = _Secrets()
    watch = _Watch(secrets)
    began_at = time.time()  # files have the time of this clock
    with watch.watching(), launcher.manager(change=secrets.keep) as manager:
        launcher.add_slaves(manager)
        context = manager.get_context()
        context.add_task(lambda: sorted(os.environ.items()))
        for environment in context.get_results_unordered():
            watch._look(repr(environment).encode(), "the environment of a task")
        for launch in manager.launches:
            watch.look_at_commands(launch.commands())
        for folder in (Path.cwd(), launcher.output_folder, *usual_folders()):
            watch.look_at_files(folder, began_at)
    watch.look_at_files(launcher.output_folder, began_at)
    assert not watch.found, f"a secret can be seen: {'; '.join(watch.found)}"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_FILE_LIMIT_BYTES)
    except OSError:
        return b""  # another user's; or it has gone


def _words_of(pid: str) -> str:
    return " ".join(_read(Path(f"/proc/{pid}/cmdline")).decode(errors="replace").split("\0")[:2])


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []
