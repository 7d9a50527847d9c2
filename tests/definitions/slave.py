"""A master's book and a runner's definitions in one process, with pickles between them."""

from __future__ import annotations

import pickle
import textwrap
from collections.abc import Sequence
from typing import Any

from imp_parallel_core._code.loaded import LoadedDefinitions
from imp_parallel_core._code.references import resolving
from imp_parallel_core._code.results import pickle_value
from imp_parallel_core._definitions.book import DefinitionBook
from imp_parallel_core._wire.shared_memory import SharedBytes, opened

Sent = tuple[Sequence[bytes | SharedBytes], int]


def script(source: str, **names: Any) -> dict[str, Any]:
    """Run source as a ``__main__`` of its own, which no slave can import; return its globals."""
    namespace = {"__name__": "__main__", **names}
    more(namespace, source)
    return namespace


def more(namespace: dict[str, Any], source: str) -> None:
    """Run one more cell or line in a ``__main__``."""
    # not with the __future__ of this module
    exec(compile(textwrap.dedent(source), "<script>", "exec", dont_inherit=True), namespace)


class Runner:
    """What a runner does with what a book sends."""

    def __init__(self, book: DefinitionBook) -> None:
        self.book = book
        self.loaded = LoadedDefinitions()
        self._bundles = 0

    def receive(self, sent: Sent) -> Any:
        """Return what was pickled, as its task would see it."""
        segments, bundle = sent
        self.loaded.begin_item()
        while self._bundles < bundle:
            self._bundles += 1
            arrived = opened(self.book.bundles[self._bundles - 1])
            self.loaded.load_if_possible(self._bundles, arrived)
        self.loaded.activate(bundle)
        data, *buffers = opened(segments)
        with resolving(self.loaded):
            return pickle.loads(data, buffers=buffers)

    def run(self, thing: Any, *args: Any) -> Any:
        """Send a callable, and call it."""
        return self.receive(self.book.pickle(thing))(*args)

    def bring_home(self, value: Any) -> Any:
        """Return a result as the master gets it."""
        return unpickle(self.book, pickle_value(value, self.loaded))


def unpickle(book: DefinitionBook, segments: Sequence[Any]) -> Any:
    """Return what a runner has pickled, on the master."""
    with resolving(book):
        return pickle.loads(segments[0], buffers=segments[1:])
