"""The slave program in one archive, for machines on which nothing is installed but Python."""

from __future__ import annotations

import importlib.util
import io
import marshal
import zipfile
from collections.abc import Iterable, Iterator
from importlib.machinery import SourceFileLoader

# All that a supervisor and a runner may import of this package; a test looks at real ones.
_OF_THE_CORE = (
    "_by_name",
    "_by_value",
    "_cloudpickle_version",
    "_connection",
    "_culprit",
    "_decoder",
    "_descriptors",
    "_door",
    "_errors",
    "_exception_facts",
    "_handshake",
    "_home",
    "_kept_parts",
    "_light_typing",
    "_link",
    "_failed_bundles",
    "_loaded_definitions",
    "_messages",
    "_pickling",
    "_printable",
    "_process",
    "_protocol",
    "_redial",
    "_references",
    "_reprs",
    "_result_reducer",
    "_results",
    "_runner",
    "_runner_process",
    "_runner_start",
    "_same_files",
    "_segments",
    "_shared_memory",
    "_signals",
    "_slave",
    "_stream",
    "_supervisor",
    "_version",
    "trusted_paths",
)
_MODULES = (
    "imp_parallel_core",
    *(f"imp_parallel_core.{name}" for name in _OF_THE_CORE),
    "cloudpickle",
    "cloudpickle.cloudpickle",
)
_LONG_AGO = (1980, 1, 1, 0, 0, 0)
_NEVER_CHECKED = (1).to_bytes(4, "little") + bytes(8)  # of compiled code: no source to compare with


def slave_archive(modules: Iterable[str] = ()) -> bytes:
    """Return a zip archive with the slave program and cloudpickle: a ``code_path`` for slaves.

    A launcher calls it for a machine that does not have this package, and gives the path at which
    the archive lies there to :meth:`Bootstrap.command`.

    Args:
        modules: what else the slave imports, such as ``Transport.slave_modules``; pure Python.

    Raises ImportError for a module that can't be found, or has no source.
    """
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for module in dict.fromkeys((*_MODULES, *modules)):
            for name, data in _files_of(module):
                entry = zipfile.ZipInfo(name, _LONG_AGO)
                archive.writestr(entry, data, zipfile.ZIP_DEFLATED, compresslevel=1)
    return written.getvalue()


def _files_of(module: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of a module's source, and of its code, for a Python like this one."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or not isinstance(spec.loader, SourceFileLoader):
        raise ImportError(f"{module} is not there as source: it can't be sent to a slave")
    path = module.replace(".", "/")
    if spec.submodule_search_locations is not None:
        path += "/__init__"
    yield f"{path}.py", spec.loader.get_data(spec.origin)
    code = marshal.dumps(spec.loader.get_code(module))
    yield f"{path}.pyc", importlib.util.MAGIC_NUMBER + _NEVER_CHECKED + code
