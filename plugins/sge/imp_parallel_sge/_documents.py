"""The slaves' bootstrap documents, which hold secrets, where the jobs can read them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from imp_parallel_core import Bootstrap, CommandHost, LaunchError

_PREFIX = ".imp_parallel-"
_PLAIN_PATH = re.compile(r"[\w@%+=./-]+", re.ASCII)
_TAIL_BYTES = 8192
_TAIL_LINES = 20


def can_be_working_folder(path: str) -> bool:
    """Return whether Grid Engine can start a job in a folder; it expands ``$``, and reads lines."""
    return "$" not in path and path.isprintable()


class Documents:
    """A private folder with one document for each task of an array, named by its number.

    It is made in the master's working directory, which the jobs share with it; in the home folder
    if that is not possible. Besides the documents it takes what a job says before its output file
    is open, and the exit code of each slave.

    Args:
        host: whose files the jobs can read.
        bootstraps: one for each task, in order.

    Raises LaunchError if there is no place for it.
    """

    def __init__(self, host: CommandHost, bootstraps: Sequence[Bootstrap]) -> None:
        self._host = host
        self._count = len(bootstraps)
        self.folder, self.early_output = self._make_folder(bootstraps[0].cwd)
        try:
            documents = {str(n): each.document() for n, each in enumerate(bootstraps, 1)}
            host.write_files(self.folder, documents, mode=0o600)
        except OSError as problem:
            self.remove()
            raise LaunchError(f"can't write the slaves' documents: {problem}") from problem

    def _make_folder(self, cwd: str) -> tuple[str, str]:
        problems = []
        for parent in [cwd] if can_be_working_folder(cwd) else []:
            try:
                folder = self._host.make_private_folder(parent, _PREFIX)
            except OSError as problem:
                problems.append(problem)
            else:
                name = folder if _PLAIN_PATH.fullmatch(folder) else folder[len(parent) :].strip("/")
                return folder, f"{name}/$TASK_ID.early"
        try:
            folder = self._host.make_private_folder(self._host.home(), _PREFIX)
        except OSError as problem:
            reasons = "; ".join(map(str, [*problems, problem]))
            raise LaunchError(
                "there is no place for the slaves' documents, which must be on a file system that "
                f"the jobs share: {reasons}. Start the script in a folder that you can write to."
            ) from problem
        return folder, f"{folder}/$TASK_ID.early"

    @property
    def token(self) -> str:
        """A name that no other array's folder has."""
        return self.folder.rpartition("/")[2].lstrip(".")

    def exit_code(self, task: int) -> int | None:
        """Return how a slave ended; None if its script was not there any more to say so."""
        try:
            return int(self._host.read_file(f"{self.folder}/{task}.exit", limit_bytes=20))
        except (OSError, ValueError):
            return None

    def tail(self, task: int, bootstrap: Bootstrap) -> str:
        """Return the last lines of what a job said before its output was open, and after."""
        paths = [f"{self.folder}/{task}.early"]
        if bootstrap.output_path is not None:
            paths.append(bootstrap.output_path)
        lines: list[str] = []
        for path in paths:
            try:
                data = self._host.read_file(path, limit_bytes=_TAIL_BYTES)
            except OSError:
                continue
            lines += data.decode(errors="replace").splitlines()
        return "\n".join(lines[-_TAIL_LINES:])

    def forget(self, tasks: Iterable[int] | None = None) -> None:
        """Remove documents alone: a job that starts after all finds out that it is not wanted.

        Args:
            tasks: whose; by default all.
        """
        for number in range(1, self._count + 1) if tasks is None else tasks:
            self._host.remove_file(f"{self.folder}/{number}")

    def remove(self) -> None:
        """Remove everything."""
        self._host.remove_folder(self.folder)
