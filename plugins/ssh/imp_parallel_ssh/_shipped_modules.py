"""The user's own modules, for hosts that don't share the script's files: found and packed."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import logging
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from imp_parallel_core.arguments import checked_list

_logger = logging.getLogger("imp_parallel.ssh")

_LIMIT_BYTES = 16 << 20
_LIMIT_FILES = 2000
_SUFFIXES = (".py", ".so")
_LONG_AGO = (1980, 1, 1, 0, 0, 0)

Modules = Sequence[str | ModuleType | Path]
"""What a user may ask to be sent: modules, their names, or their paths."""


def checked_modules(owner: object, wanted: Any) -> Modules | None:
    """Return modules as a user has given them. Raises TypeError if they are something else."""
    if wanted is None:
        return None
    such_as = "a list of modules, of their names or of their paths"
    modules = checked_list(owner, "ship_modules", wanted, such_as)
    if not all(isinstance(each, (str, ModuleType, os.PathLike)) for each in modules):
        raise TypeError(f"{type(owner).__name__}: ship_modules={wanted!r}: it must be {such_as}")
    return modules


class Archive(NamedTuple):
    """What a host is sent once."""

    kind: str
    """``code`` stays an archive; ``modules`` is unpacked, so that it may hold any file."""
    content: bytes
    digest: str


def archive(kind: str, content: bytes) -> Archive:
    """Return an archive with its digest."""
    return Archive(kind, content, hashlib.sha256(content).hexdigest())


class _File(NamedTuple):
    """A file to be sent. What tells whether it has changed belongs to it."""

    name: str
    path: str
    size: int
    changed_ns: int


def pack_modules(wanted: Modules | None) -> Archive | None:
    """Pack modules; None if there are none.

    Of folders all is packed but what begins with a dot or comes of compiling.

    Args:
        wanted: names of modules, modules, or paths of files and folders; None for those beside
            the script, as far as they are small and can be read.

    Raises ValueError for one that can't be found or read.
    """
    if wanted is None:
        files = _beside_script()
    else:
        files = []
        for top in map(_path_of, wanted):
            found, faults = _files_of(top.parent, top)
            if faults:
                raise ValueError(f"ship_modules: {faults[0]}")
            files += found
    if not files:
        return None
    packed, faults = _pack(tuple(sorted(set(files))))
    if faults and wanted is not None:
        raise ValueError(f"ship_modules: {faults[0]}")
    _warn_of(faults)
    return packed


@functools.lru_cache(maxsize=4)  # of a script that adds the same host many times
def _pack(files: Sequence[_File]) -> tuple[Archive, list[str]]:
    """Return the archive, and why which files are not in it."""
    import zipfile  # most scripts have nothing to pack

    written = io.BytesIO()
    faults = []
    with zipfile.ZipFile(written, "w") as packed:
        for name, path, _, _ in files:
            try:
                content = Path(path).read_bytes()
            except OSError as problem:
                faults.append(f"{path} can't be read: {problem.strerror or problem}")
                continue
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            packed.writestr(entry, content, compress_type=zipfile.ZIP_DEFLATED)
    return archive("modules", written.getvalue()), faults


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


def _files_of(folder: Path, top: Path, limit: int = sys.maxsize) -> tuple[list[_File], list[str]]:
    """Return the files of a module, named from a folder; and what is wrong with others.

    When there are more than the limit, not all of them.
    """
    files: list[_File] = []
    faults: list[str] = []
    for path in _files_in(top, faults) if top.is_dir() else [top]:
        try:
            status = path.stat()
            name = str(path.relative_to(folder))
            name.encode()  # as an archive must
        except OSError as problem:
            if path == top or not isinstance(problem, FileNotFoundError):
                faults.append(f"{path} can't be read: {problem.strerror or problem}")
        except UnicodeEncodeError:
            faults.append(f"the name of {os.fsencode(path)!r} is no UTF-8")
        else:
            if stat.S_ISREG(status.st_mode):  # a FIFO would have us wait
                files.append(_File(name, str(path), status.st_size, status.st_ctime_ns))
            elif path == top:
                faults.append(f"{path} is no file")
        if len(files) > limit:
            break
    return files, faults


def _files_in(top: Path, faults: list[str]) -> Iterator[Path]:
    def note(problem: OSError) -> None:
        faults.append(f"{problem.filename} can't be read: {problem.strerror}")

    for folder, folders, names in os.walk(top, onerror=note):
        folders[:] = sorted(name for name in folders if _is_sent(name))
        yield from (Path(folder, name) for name in sorted(names) if _is_sent(name))


def _is_sent(name: str) -> bool:
    """Whether it is no leftover of compiling, and not hidden, as keys and histories are."""
    return not name.startswith(".") and name != "__pycache__" and not name.endswith(".pyc")


def _beside_script() -> list[_File]:
    """Return the files of the modules in the script's folder, as far as they are small together."""
    main = sys.modules.get("__main__")
    script = getattr(main, "__file__", None)
    if script is None or getattr(main, "__spec__", None) is not None:
        return []  # a REPL or notebook; or "python -m", where the folder is that of a library
    folder = Path(script).absolute().parent
    found: list[_File] = []
    faults: list[str] = []
    left_out: list[str] = []
    size = 0
    for path in _modules_in(folder, faults):
        if path == Path(script).absolute():
            continue
        more, more_faults = _files_of(folder, path, _LIMIT_FILES)
        faults += more_faults
        more_size = sum(file.size for file in more)
        if size + more_size > _LIMIT_BYTES or len(found) + len(more) > _LIMIT_FILES:
            left_out.append(path.name)
        else:
            size += more_size
            found += more
    if left_out:
        faults.append(f"there is too much beside the script: {', '.join(left_out)}")
    _warn_of(faults)
    return found


def _modules_in(folder: Path, faults: list[str]) -> list[Path]:
    """Return the modules and packages that a script in the folder could import."""
    found = []
    try:
        for path in sorted(folder.iterdir()):
            module = path.name.partition(".")[0]  # a compiled one has more than a suffix
            if path.suffix == ".py":
                module = path.stem
            if module.isidentifier() and (path.suffix in _SUFFIXES or _is_package(path)):
                found.append(path)
    except OSError as problem:
        faults.append(f"{folder} can't be read: {problem.strerror or problem}")
    return found


def _is_package(path: Path) -> bool:
    try:
        return path.name.isidentifier() and (path / "__init__.py").is_file()
    except OSError:
        return False  # not ours to look into


def _warn_of(faults: Sequence[str]) -> None:
    for fault in faults:
        _warn_once(fault)


@functools.lru_cache(maxsize=256)
def _warn_once(fault: str) -> None:
    _logger.warning(
        "not sent to hosts: %s. Say which modules tasks need: ship_modules=[…]",
        fault,
    )
