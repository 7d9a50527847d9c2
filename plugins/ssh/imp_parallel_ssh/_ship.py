"""The user's own modules, for hosts that don't share the script's files: found and packed."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

_logger = logging.getLogger("imp_parallel.ssh")

_LIMIT_BYTES = 16 << 20
_LIMIT_FILES = 2000
_SUFFIXES = (".py", ".so")
_LONG_AGO = (1980, 1, 1, 0, 0, 0)


class Archive(NamedTuple):
    """What a host is sent once."""

    kind: str
    """``code`` stays an archive; ``modules`` is unpacked, so that it may hold any file."""
    content: bytes
    digest: str


def archive(kind: str, content: bytes) -> Archive:
    """Return an archive with its digest."""
    return Archive(kind, content, hashlib.sha256(content).hexdigest())


def pack_modules(wanted: Sequence[str | ModuleType | Path] | None) -> Archive | None:
    """Pack modules; None if there are none.

    Args:
        wanted: names of modules, modules, or paths of files and folders; None for those beside
            the script, as far as they are small.

    Raises ValueError for one that can't be found.
    """
    if wanted is None:
        found = _beside_script()
    else:
        found = [(path.parent, path) for path in map(_path_of, wanted)]
    files = [
        (str(file.relative_to(folder)), str(file), *_stamp(file))
        for folder, top in found
        for file in _files_in(top)
    ]
    return _pack(tuple(sorted(set(files)))) if files else None


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@functools.lru_cache(maxsize=4)  # of a script that adds the same host many times
def _pack(files: tuple[tuple[str, str, int, int], ...]) -> Archive:
    import zipfile  # most scripts have nothing to pack

    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, path, _, _ in files:
            packed.writestr(zipfile.ZipInfo(name, _LONG_AGO), Path(path).read_bytes())
    return archive("modules", written.getvalue())


def _path_of(wanted: str | ModuleType | Path) -> Path:
    if isinstance(wanted, Path) or (isinstance(wanted, str) and "/" in wanted):
        path = Path(wanted).absolute()
        if not path.exists():
            raise ValueError(f"ship_modules: there is no {path}")
        return path
    name = wanted if isinstance(wanted, str) else wanted.__name__
    name = name.partition(".")[0]
    try:
        spec = importlib.util.find_spec(name)
    except ValueError:
        spec = None
    if spec is None:
        raise ValueError(f"ship_modules: there is no module {name!r}")
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).absolute()
    if spec.origin is None or not Path(spec.origin).is_file():
        raise ValueError(f"ship_modules: the module {name!r} is no file")
    return Path(spec.origin).absolute()


def _files_in(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(set(folders) - {"__pycache__"})
        for name in sorted(names):
            file = Path(folder, name)
            if file.suffix != ".pyc" and file.is_file():
                yield file


def _beside_script() -> list[tuple[Path, Path]]:
    """Return the modules in the script's folder, as far as they are small together."""
    main = sys.modules.get("__main__")
    script = getattr(main, "__file__", None)
    if script is None or getattr(main, "__spec__", None) is not None:
        return []  # a REPL or notebook; or "python -m", where the folder is that of a library
    folder = Path(script).absolute().parent
    found: list[tuple[Path, Path]] = []
    left_out: list[str] = []
    size = count = more_files = 0
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            if not (path / "__init__.py").is_file() or not path.name.isidentifier():
                continue
        elif path.suffix not in _SUFFIXES or path == Path(script).absolute():
            continue
        more_bytes = 0
        for more_files, file in enumerate(_files_in(path), count + 1):
            more_bytes += file.stat().st_size
            if size + more_bytes > _LIMIT_BYTES or more_files > _LIMIT_FILES:
                left_out.append(path.name)
                break
        else:
            size, count = size + more_bytes, more_files
            found.append((folder, path))
    if left_out:
        _logger.warning(
            "not sent to hosts, since there is too much beside the script: %s. "
            "Say which modules tasks need: ship_modules=[…]",
            ", ".join(left_out),
        )
    return found
