"""What functions need of their modules, for one bundle."""

from __future__ import annotations

from types import FunctionType, ModuleType

from .._code.functions import cell_content, global_names, submodules_used
from .._code.references import describe, import_submodule
from .sent import Key, Sent, Step

_MODULE_ATTRIBUTES = ("__name__", "__package__", "__file__", "__path__")


class FunctionNeeds:
    """Finds what functions need of their modules.

    Args:
        sent: what has been sent before.
    """

    def __init__(self, sent: Sent) -> None:
        self.described: set[int] = set()  # namespaces whose attributes this bundle brings
        self.imported: set[str] = set()  # submodules that it imports
        self.plain_steps: list[Step] = []  # those of this bundle, as far as any pickler takes them
        self._sent = sent
        self._names: dict[int, list[str]] = {}  # of globals, by the id of the code that uses them
        self._seen: set[int] = set()  # ids of functions

    def keys(self, function: FunctionType) -> list[Key]:
        """Return the globals that a function may use."""
        code = function.__code__
        names = self._names.get(id(code))
        if names is None:
            names = self._names[id(code)] = global_names(code)
        number = self._sent.namespace_number(function.__globals__)
        return [(number, name) for name in names]

    def steps(self, function: FunctionType) -> list[Step]:
        """Return the steps that a function needs besides its globals; nothing the second time."""
        if id(function) in self._seen:
            return []
        self._seen.add(id(function))
        module = function.__globals__
        number = self._sent.namespace_number(module)
        steps = []
        if number not in self.described and number not in self._sent.described:
            self.described.add(number)
            attributes = {name: module[name] for name in _MODULE_ATTRIBUTES if name in module}
            steps.append(Step(describe, number, attributes))
            plain = {name: it for name, it in attributes.items() if it is None or type(it) is str}
            self.plain_steps.append(Step(describe, number, plain))
        used = [module.get(name) for _, name in self.keys(function)]
        for content in (*used, *map(cell_content, function.__closure__ or ())):
            if type(content) is ModuleType:
                for name in submodules_used(function.__code__, content):
                    if name not in self.imported and name not in self._sent.imported:
                        self.imported.add(name)
                        steps.append(Step(import_submodule, name))
                        self.plain_steps.append(steps[-1])
        return steps
