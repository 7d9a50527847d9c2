"""The slave program in one archive, for machines on which nothing is installed but Python."""

from __future__ import annotations

import functools
import importlib.util
import io
import marshal
import pkgutil
import threading
import zipfile
from collections.abc import Iterable, Iterator
from importlib import import_module
from importlib.machinery import SourceFileLoader

# All that a supervisor and a runner import of this package; an import contract holds them to it.
_MODULES = (
    "",
    "._errors",
    "._explained",
    "._light_typing",
    "._printable",
    "._task_errors",  # which a task may name
    "._threads",
    "._version",
    ".trusted_paths",
)
_PACKAGES = ("._wire", "._code", "._slave")
_OTHERS = ("cloudpickle", "cloudpickle.cloudpickle")
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
_making = threading.Lock()
_NEVER_CHECKED = (1).to_bytes(4, "little") + bytes(8)  # of compiled code: no source to compare with


def slave_archive(modules: Iterable[str] = (), *, has_sources: bool = True) -> bytes:
    """Return a zip archive with the slave program and cloudpickle: a ``code_path`` for slaves.

    A launcher calls it for a machine that does not have this package, and gives the path at which
    the archive lies there to :meth:`Bootstrap.command`.

    Args:
        modules: what else the slave imports, such as ``Transport.slave_modules``; pure Python.
        has_sources: False leaves out the sources, and keeps the compiled code. That is for a Python
            whose ``sys.implementation.cache_tag`` is this one's; another finds no modules.

    Raises ImportError for a module that can't be found, or has no source.
    """
    with _making:
        return _made(tuple(dict.fromkeys(modules)), has_sources)


@functools.lru_cache(maxsize=8)
def _made(modules: tuple[str, ...], has_sources: bool) -> bytes:
    """Make an archive, once in a process: marshal writes equal code in more ways than one.

    So a host would be sent the same code again, under another digest.
    """
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for module in dict.fromkeys((*_own_modules(), *_OTHERS, *modules)):
            for name, data in _files_of(module, has_sources):
                entry = zipfile.ZipInfo(name, _LONG_AGO)
                archive.writestr(entry, data, zipfile.ZIP_DEFLATED, compresslevel=1)
    return written.getvalue()


def _own_modules() -> Iterator[str]:
    """Yield the modules of this package that a slave needs, by their full names."""
    yield from (f"imp_parallel_core{name}" for name in _MODULES)
    for package in _PACKAGES:
        name = f"imp_parallel_core{package}"
        yield name
        for module in pkgutil.iter_modules(import_module(name).__path__):
            yield f"{name}.{module.name}"


def _files_of(module: str, has_sources: bool) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of a module's source, and of its code, for a Python like this one."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not isinstance(spec.loader, SourceFileLoader):
        raise ImportError(f"{module} is not there as source: it can't be sent to a slave")
    path = module.replace(".", "/")
    if spec.submodule_search_locations is not None:
        path += "/__init__"
    if has_sources or module == "cloudpickle":  # (its version is read there, without an import)
        yield f"{path}.py", spec.loader.get_data(spec.origin)
    code = marshal.dumps(spec.loader.get_code(module))
    yield f"{path}.pyc", importlib.util.MAGIC_NUMBER + _NEVER_CHECKED + code
