"""The user's SSH configuration as one text, as the parser that reads it understands it.

What that parser lacks is done here: ``Include``, and conditions of ``Match`` that it would take
for fulfilled because it does not know them.
"""

from __future__ import annotations

import glob
import logging
import os
import re
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from imp_parallel_core import LaunchError

_logger = logging.getLogger("imp_parallel.ssh")

_DEEPEST = 16  # as OpenSSH's
_SETTING = re.compile(r"(\w+)(?:\s*=\s*|\s+)(.+)")
_CONDITIONS = {"all", "canonical", "final", "host", "originalhost", "user", "localuser", "exec"}
_WITHOUT_VALUE = {"all", "canonical", "final"}
_NOBODY = "Host !*"
SYSTEM = Path("/etc/ssh")


def configuration_text() -> str:
    """Return the user's configuration, then the system's. Raises LaunchError."""
    user = Path("~/.ssh").expanduser()
    lines: list[str] = []
    for folder, name in ((user, "config"), (SYSTEM, "ssh_config")):
        lines.append("Host *")  # what comes before any Host is for all
        lines += _lines_of(folder / name, folder, "Host *", 0)
    return "\n".join(lines) + "\n"


def _lines_of(path: Path, folder: Path, block: str, depth: int) -> Iterator[str]:
    """Yield the lines of a file, with those that it includes.

    Args:
        path: the file; if it isn't there it is empty.
        folder: what the names in its ``Include`` are relative to.
        block: the line that began the block in which this file is included.
        depth: how many files include it.
    """
    for line in _read(path).splitlines():
        text = line.strip()
        setting = _SETTING.fullmatch(text)
        keyword = setting[1].lower() if setting else ""
        if setting and keyword == "include":
            if depth == _DEEPEST:
                raise LaunchError(f"the SSH configuration includes too deeply, last in {path}")
            for included in _included(setting[2], folder):
                yield from _lines_of(included, folder, block, depth + 1)
            yield block  # one that the included file began has ended with it
            continue
        if keyword in ("host", "match"):
            block = _NOBODY if keyword == "match" and not _is_understood(text, path) else text
            text = block
        yield text


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return ""
            if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
                raise LaunchError(
                    f"{path} belongs to somebody else, or others can write to it; it may hold "
                    f"commands, so it isn't used, and neither would ssh: chmod 600 {path}"
                )
            return file.read().decode(errors="surrogateescape")
    except OSError:
        return ""


def _included(patterns: str, folder: Path) -> Iterator[Path]:
    for pattern in shlex.split(patterns):
        path = folder / Path(pattern).expanduser()  # an absolute one stays what it is
        yield from map(Path, sorted(glob.glob(str(path))))  # noqa: PTH207 - it is absolute


def _is_understood(line: str, path: Path) -> bool:
    try:
        words = shlex.split(line)[1:]
    except ValueError:
        return True  # the parser says what is wrong
    while words:
        word = words.pop(0).lstrip("!").lower()
        if word not in _CONDITIONS:
            _logger.warning("%s: %r is left out: %r can't be decided here", path, line, word)
            return False
        if word not in _WITHOUT_VALUE and words:
            words.pop(0)
    return True
