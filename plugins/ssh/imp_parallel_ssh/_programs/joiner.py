"""Makes one program of modules, to be sent to a host where none of them is installed.

A program is a package with a module ``main``, which has a function of that name. Its modules import
each other by ``from .name import …``, and modules of the core by ``from imp_parallel_core.name
import …``, in lines that begin at the left margin. All else that they import is Python's own.

The joined program holds the text of each module as it is, so tracebacks name the module, show the
line and give its number in the file. When the program starts, it makes modules of the texts under
their own names, and lets go of these names when ``main`` is loaded: a slave, which may run in the
same process later, imports the package that is installed there, or that was sent there.
"""

from __future__ import annotations

import re
from importlib.util import find_spec, resolve_name
from pathlib import Path

_IMPORT = re.compile(r"^from (\.\w+|imp_parallel_core\.\w+) import ", re.MULTILINE)
_PROGRAM = """\
import sys

class Text:
    \"\"\"The loader of a module, which tracebacks ask for the module's lines.\"\"\"
    def __init__(self, text):
        self.text = text
    def get_source(self, name):
        return self.text

def load(modules):
    replaced = {}
    for name, text in modules:
        module = type(sys)(name)
        module.__loader__ = Text(text)
        module.__spec__ = type(sys.__spec__)(name, module.__loader__)
        replaced[name] = sys.modules.get(name)
        sys.modules[name] = module
        exec(compile(text, name.replace(".", "/") + ".py", "exec"), module.__dict__)
    for name, before in replaced.items():
        if before is None:
            del sys.modules[name]
        else:
            sys.modules[name] = before
    return module

load((
%s
)).main()
"""


def joined_program(package: str) -> bytes:
    """Return the text of a program: it loads the package's ``main`` and calls its ``main()``.

    Args:
        package: the program's, such as ``imp_parallel_ssh._programs.bridge``.
    """
    texts: dict[str, str] = {}
    _add(f"{package}.main", texts)
    modules = "\n".join(f"({name!a}, {text!a})," for name, text in texts.items())
    return (_PROGRAM % modules).encode("ascii")


def _add(name: str, texts: dict[str, str]) -> None:
    """Add a module's text behind those of the modules that it imports."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"there is no source of {name}", name=name)
    text = Path(spec.origin).read_text("utf-8")
    for imported in _IMPORT.findall(text):
        imported_name = resolve_name(imported, spec.parent)
        if imported_name not in texts:
            _add(imported_name, texts)
    texts[name] = text
