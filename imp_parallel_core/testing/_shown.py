"""The forms in which a secret may be shown, and the files that others may read."""

from __future__ import annotations

import base64
import os
import stat
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path

_OTHERS = 0o077
_ENTRIES = 20_000  # a home folder may hold millions; what is nearest to it is looked at first
_CLOCKS_S = 60.0  # by which the clock of a file server may be late


def forms_of(secret: bytes) -> Iterator[bytes]:
    """Return a secret in plain, base64 and hex, and what each is in a text that is encoded again.

    A bootstrap document holds the secret in base64: so the document is found in base64, too.
    """
    for form in (secret, base64.b64encode(secret), secret.hex().encode()):
        yield form
        yield form.hex().encode()
        yield form.hex().upper().encode()
        for before in range(3):
            yield from _within_base64(form, before)


def _within_base64(form: bytes, before: int) -> Iterator[bytes]:
    """Return the letters that stand for some bytes, whatever is around, with so many in front."""
    encoded = base64.b64encode(bytes(before) + form)
    certain = encoded[-(-8 * before // 6) : 8 * (before + len(form)) // 6]
    yield certain
    yield certain.translate(bytes.maketrans(b"+/", b"-_"))


def usual_folders() -> list[Path]:
    """Return the folders beside a script's own in which programs leave files."""
    folders = [Path.home(), Path(tempfile.gettempdir()), Path("/tmp"), Path("/dev/shm")]  # noqa: S108  they are looked at
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def files_for_others(folder: Path, since: float) -> Iterator[Path]:
    """Return the user's files that others could read if they may enter the folder.

    Args:
        folder: is looked at with all that is in it; what is nearest comes first.
        since: a time of the clock; files that nobody has touched since then are passed over.
    """
    folders, left = deque([folder]), _ENTRIES
    while folders and left > 0:
        for entry in _entries_of(folders.popleft()):
            left -= 1
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # it has been removed
            if status.st_mode & _OTHERS == 0 or status.st_uid != os.geteuid():
                continue
            if stat.S_ISDIR(status.st_mode):
                folders.append(Path(entry.path))
            elif stat.S_ISREG(status.st_mode) and status.st_ctime >= since - _CLOCKS_S:
                yield Path(entry.path)


def _entries_of(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []  # it has been removed, or is another user's
