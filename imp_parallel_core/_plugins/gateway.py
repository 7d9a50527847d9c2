"""Gateways: machines between the master and a cluster, neither of which can reach the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from .command_host import CommandHost


class Relay(Protocol):
    """A way from a cluster to this process, for as long as it is open."""

    addresses: Sequence[str]
    """The addresses at which slaves reach this process, in the order to try them."""

    def close(self) -> None:
        """End it, and remove its folder; may be called twice."""


@runtime_checkable
class Gateway(CommandHost, Protocol):
    """A CommandHost behind which slaves are, such as the login node of a cluster.

    A slave class whose ``via`` is a Gateway need not know more of it. The core lets its slaves
    reach the master through the gateway's relay, and puts the files that they need there.
    """

    def relay(self, addresses: Sequence[str], *, folder: str, patience_s: float) -> Relay:
        """Let slaves beyond the gateway reach addresses of this process.

        Called by the core in a launch's own thread. What passes is encrypted by the transport.

        Args:
            addresses: where the transport listens; any of them will do.
            folder: a private folder on the gateway; the relay may put its files there, and removes
                it when it ends, also when this process has been killed.
            patience_s: how long connections are held while this process can't be reached.

        Raises LaunchError if that isn't possible.
        """

    def ship_modules(self, folder: str) -> Sequence[str]:
        """Put the user's own modules, which tasks may import, into a folder there.

        Called by the core in a launch's own thread, once for each launch.

        Args:
            folder: the relay's.

        Returns what is to be on the slaves' ``sys.path``. Raises OSError, or LaunchError.
        """

    def read_files(self, paths: Sequence[str], *, limit_bytes: int) -> Sequence[bytes]:
        """Return files' content in one go; of longer files their ends, of missing ones b""."""
