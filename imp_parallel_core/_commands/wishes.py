"""What the user wants of a check, and the Manager that is made for that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .._api.manager import Manager

_OUTPUT = "imp-parallel-check%d.output"
_MARGIN_S = 3.0  # a launch is asked once in a second how its slaves are


class Wishes(NamedTuple):
    """What the user wants of a check.

    Attributes:
        python: as for Manager.
        host: as for Manager.
        port: as for Manager.
        modules: the names of modules to import in a task.
    """

    python: str | None = None
    host: str | None = None
    port: int | range | None = None
    modules: Sequence[str] = ()

    def manager(self, limit_s: float, onlooker: Any) -> Manager:
        """Return a Manager that gives slaves up shortly before the limit, with the evidence.

        Args:
            limit_s: how long the check may take.
            onlooker: a plugin that looks on.

        Raises what Manager raises.
        """
        manager = Manager(
            self.python,
            self.host,
            _OUTPUT,
            port=self.port,
            max_relaunches=0,
            plugins=[onlooker],
        )
        manager.connect_timeout = max(1.0, limit_s - max(1.0, min(_MARGIN_S, limit_s / 4)))
        manager.surplus_timeout = float("inf")
        return manager
