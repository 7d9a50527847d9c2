"""A call that has failed on a slave, to be made again here, or from a file.

The file is a pickle behind one line that says so. Whoever can write to a pickle can have any code
run by who opens it, so a file that others may have written is not opened.
"""

from __future__ import annotations

import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from .._code.calls import as_arguments, call_behind_setup, spread_of
from .._code.references import resolving, unpickle_task
from .._definitions.import_path import absolute_path
from .._errors import Error, PicklingError
from .._slave import current_task
from ..trusted_paths import why_not
from .calls import taken_apart

if TYPE_CHECKING:
    from .._definitions.book import DefinitionBook

_FIRST_LINE = (
    b"imp-parallel: a failed task. This is a pickle, which may run any code: open your own\n"
)
_PYTHON = sys.implementation.cache_tag  # others can't run its code


class FailedCall(NamedTuple):
    """A task with all that it was called with."""

    setup: Callable[[], Any]
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    error: str
    """What the error said."""
    number: int
    context: int
    seeds: tuple[list[int], list[int]] | None
    """Those of the set-up and of the task, if the context has a seed."""

    def run(self) -> Any:
        """Run the set-up and then the task, as a slave does; return what the task returns."""
        setup_seed, task_seed = self.seeds or (None, None)
        with self._described(None, setup_seed):
            value = self.setup()
        with self._described(self.number, task_seed):
            return call_behind_setup(
                self.function,
                spread_of(value),
                as_arguments(value),
                self.arguments,
                self.keywords,
            )

    @contextmanager
    def _described(self, number: int | None, seed: list[int] | None) -> Iterator[None]:
        """Seed the generators, and let ``current_task()`` answer."""
        if seed is not None:
            from .._slave.seeds import Generators

            Generators().seed(seed)
        attempt = None if number is None else 1
        here = current_task.CurrentTask(number, attempt, self.context, "rerun", 0, seed)
        before, current_task.describe_current = current_task.describe_current, lambda: here
        try:
            yield
        finally:
            current_task.describe_current = before

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write this to a file that nobody else can read; one that is there is replaced."""
        from .saving import pickle_with_places

        target = os.path.abspath(path)
        try:
            content = pickle_with_places(tuple(self))
        except Exception as problem:
            reason = f"{type(problem).__name__}: {problem}"
            raise PicklingError(f"the task can't be saved: {reason}") from problem
        number, written = tempfile.mkstemp(dir=os.path.dirname(target), prefix=".imp-parallel-")
        try:
            with open(number, "wb") as file:  # mkstemp gave it the mode 0600
                file.write(_FIRST_LINE + pickle.dumps((_PYTHON, absolute_path())) + content)
            os.replace(written, target)
        except BaseException:
            os.unlink(written)
            raise


def rebuild_call(
    payload: Sequence[Any],
    setup: Sequence[Any],
    book: DefinitionBook,
    error: str,
    number: int,
    context: int,
    seed: int | None,
    map: int,
) -> FailedCall:
    """Return the call of a task that has been sent. Raises whatever unpickling raises."""
    with resolving(book):
        startup, _ = unpickle_task(setup, book)
        function, arguments = unpickle_task(payload, book)
    startup, _ = taken_apart(startup)
    function, keywords = taken_apart(function)
    seeds = None
    if seed is not None:
        seeds = current_task.seed_of_setup(seed), current_task.seed_of_task(seed, map, number)
    return FailedCall(startup, function, arguments, keywords, error, number, context, seeds)


def load(path: str) -> FailedCall:
    """Return what :meth:`FailedCall.save` has written.

    Raises Error if that is not to be opened, and OSError if it can't be.

    Modules are also found where the script found them, as far as these folders are there.
    """
    os.stat(path)  # "why not" is no question if there is none
    problem = why_not(os.path.abspath(path))
    if problem:
        raise Error(
            f"{path} is not opened, since somebody else may have written it: {problem}. The file "
            "is a pickle, which may run any code. If it is yours, move it to a folder of your own"
        )
    with open(path, "rb") as file:
        if file.readline() != _FIRST_LINE:
            raise Error(f"{path} was not written by the save() of an error of imp_parallel_core")
        python, folders = pickle.load(file)
        if python != _PYTHON:
            raise Error(
                f"{path} was written by another version of Python, {python}, and can't be read by "
                f"this one, {_PYTHON}"
            )
        sys.path += [one for one in folders if one not in sys.path and os.path.isdir(one)]
        return FailedCall(*pickle.load(file))
