"""The order by which a bridge starts a slave, and the archives that the host needs before. Pure."""

from __future__ import annotations

import functools
import shlex
import sys
from typing import NamedTuple

from imp_parallel_core import Bootstrap, __version__

from .._shipped_modules import Archive, archive
from .bridge_client import There


@functools.cache
def core_archive(has_sources: bool) -> Archive:
    """Return the slave program for hosts that don't have it, with or without its sources."""
    from imp_parallel_core import slave_archive  # most hosts don't need it

    return archive("code", slave_archive(has_sources=has_sources))


class StartOrder(NamedTuple):
    """How a slave is started on a host."""

    bootstrap: Bootstrap
    there: There
    """The Python and the packages that the host has."""
    modules: Archive | None
    """Modules of the user's, to be sent along."""

    def archives(self) -> list[Archive]:
        """Return what the host must be sent before."""
        needed = [] if self._has_packages() else [self._core_archive()]
        return needed if self.modules is None else [*needed, self.modules]

    def words(self, folder: str) -> tuple[list[str], bytes]:
        """Return what the bridge is told, and the bootstrap document.

        Args:
            folder: the path of the folder on the host that has the archives.
        """
        code_path = self.there.core_path
        if not self._has_packages():
            code_path = f"{folder}/{self._core_archive().digest}.zip"
        bootstrap = self.bootstrap._replace(
            python=shlex.quote(self.there.python),
            sent_path=() if self.modules is None else (f"{folder}/{self.modules.digest}",),
            has_own_files=True,
        )
        argv = bootstrap.command("stdin", code_path=code_path)
        environment = [f"{name}={value}" for name, value in bootstrap.environment.items()]
        return [str(len(argv)), *argv, *environment], bootstrap.document()

    def _core_archive(self) -> Archive:
        """Return the archive that the Python there can use: mostly one without sources, which are
        a quarter of the time that it takes to make and to send the archive.
        """
        return core_archive(self.there.cache_tag != sys.implementation.cache_tag)

    def _has_packages(self) -> bool:
        """Return whether the host's own packages are those of the master."""
        import cloudpickle

        theirs = (self.there.core_version, self.there.cloudpickle_version)
        return theirs == (__version__, cloudpickle.__version__)
