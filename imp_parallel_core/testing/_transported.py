"""What each check of a transport gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ._listening import Connect, Listening, MakeTransport
from ._talk import Talk


@dataclass(frozen=True)
class Transported:
    """A transport that is to be checked; see :class:`~._transport_checks.TransportCheck`.

    Attributes:
        limit_s: how long slaves are waited for.
        talks: the connections that were made, in order.
    """

    make_transport: MakeTransport
    output_folder: Path
    connect: Connect
    limit_s: float

    talks: list[Talk] = field(default_factory=list)

    def listening(self) -> Listening:
        """Return a transport that listens."""
        return Listening(self.make_transport, self.talks)

    def state(self) -> str:
        """Return what is being done, for messages."""
        return self.talks[-1].state() if self.talks else "no slave has come so far"
