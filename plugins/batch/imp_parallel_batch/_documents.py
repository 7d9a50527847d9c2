"""The slaves' bootstrap documents, which hold secrets, where the jobs can read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from imp_parallel_core import Bootstrap, CommandHost, LaunchError

from ._cluster import PROBLEMS
from ._plugin_calls import call
from ._system import Starter

_PREFIX = ".imp_parallel-"
_PLAIN_PATH = re.compile(r"[\w@%+=./-]+", re.ASCII)
_TAIL_BYTES = 8192
_TAIL_LINES = 20


class Documents:
    """A private folder with one document for each task of an array, named by its number.

    It is made in the master's working directory, which the jobs share with it; in the home folder
    if that is not possible. Besides the documents it holds the output of a job before its output
    file is open, and the exit code of each slave. A document exists only while its slave has no
    connection: until the slave has connected, and again when its connection has broken.

    Args:
        system: what starts the slaves, which may not be able to use some paths.
        host: whose files the jobs can read.
        cwd: the master's working directory, there.
        bootstraps: of each task that needs a document, by its number.
        writes: whether to write the documents now; otherwise :meth:`write` does.

    Raises LaunchError if there is no place for it.
    """

    def __init__(
        self,
        system: Starter,
        host: CommandHost,
        cwd: str,
        bootstraps: Mapping[int, Bootstrap],
        *,
        writes: bool = True,
    ) -> None:
        self._host = host
        self._content = {str(number): each.document() for number, each in bootstraps.items()}
        self._there: set[str] = set()  # the names of the documents that are written
        self.folder, reached_by = self._make_folder(cwd if call(system.can_use, cwd) else None)
        self.early_output = f"{reached_by}/{system.task_pattern}.early"
        """Where the output of a job goes until its script has opened the slave's."""
        if writes:
            try:
                self.write()
            except LaunchError:
                self.remove()
                raise

    def write(self) -> None:
        """Write the documents. Raises LaunchError.

        It is best to note before which job will need them: another run can remove them then, if
        this one is killed.
        """
        try:
            self._host.write_files(self.folder, self._content, mode=0o600)
        except OSError as problem:
            raise LaunchError(f"can't write the slaves' documents: {problem}") from problem
        self._there = set(self._content)

    def _make_folder(self, cwd: str | None) -> tuple[str, str]:
        """Return the path of the folder, and how the batch system is told of it."""
        problems = []
        for parent in [] if cwd is None else [cwd]:
            try:
                folder = self._host.make_private_folder(parent, _PREFIX)
            except OSError as problem:
                problems.append(problem)
            else:
                is_plain = _PLAIN_PATH.fullmatch(folder)
                return folder, folder if is_plain else folder[len(parent) :].strip("/")
        try:
            folder = self._host.make_private_folder(self._host.home(), _PREFIX)
        except OSError as problem:
            reasons = "; ".join(map(str, [*problems, problem]))
            raise LaunchError(
                "there is no place for the slaves' documents, which must be on a file system that "
                f"the jobs share: {reasons}. Start the script in a folder that you can write to."
            ) from problem
        return folder, folder

    @property
    def token(self) -> str:
        """A name that no other array's folder has."""
        return self.folder.rpartition("/")[2].lstrip(".")

    def exit_code(self, task: int) -> int | None:
        """Return a slave's exit code; None if its job script has not written it."""
        try:
            return int(self._host.read_file(f"{self.folder}/{task}.exit", limit_bytes=20))
        except (*PROBLEMS, ValueError):
            return None

    def tail(self, task: int, bootstrap: Bootstrap) -> str:
        """Return the last lines of a job's output, before its output file was open and after."""
        paths = [f"{self.folder}/{task}.early"]
        if bootstrap.output_path is not None:
            paths.append(bootstrap.output_path)
        lines: list[str] = []
        for path in paths:
            try:
                data = self._host.read_file(path, limit_bytes=_TAIL_BYTES)
            except PROBLEMS:
                continue
            lines += data.decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])

    def forget(self, tasks: Iterable[int] | None = None) -> None:
        """Remove documents, but not the folder: jobs that start later find that they are too late.

        Args:
            tasks: the tasks whose documents to remove; by default all.
        """
        names = self._content if tasks is None else map(str, tasks)
        going = [name for name in names if name in self._there]
        self._host.remove_files([f"{self.folder}/{name}" for name in going])
        self._there.difference_update(going)

    def restore(self, tasks: Iterable[int]) -> None:
        """Write documents again that were removed, for tasks that may be started anew.

        Raises OSError; what could not be written then can be tried again.
        """
        coming = [name for name in map(str, tasks) if name not in self._there]
        if not coming:
            return
        # a call that failed before may have written some
        self._host.remove_files([f"{self.folder}/{name}" for name in coming])
        self._host.write_files(self.folder, {name: self._content[name] for name in coming})
        self._there.update(coming)

    def remove(self) -> None:
        """Remove everything."""
        self._host.remove_folder(self.folder)
