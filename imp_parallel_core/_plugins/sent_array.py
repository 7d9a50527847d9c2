"""The description of slaves that a system that runs functions has on its machines."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from .._errors import LaunchError
from ..arguments import checked_environment, checked_flag
from .launch import Launch
from .slaves import SlaveArray

if TYPE_CHECKING:
    from .bootstrap import Bootstrap


class _Startable(Launch, Protocol):
    """What the description needs of a :class:`~.sent_launch.SentLaunch`."""

    def check(self) -> None: ...

    def start(self, bootstraps: Sequence[Bootstrap]) -> None: ...


class SentSlaveArray(SlaveArray, abc.ABC):
    """Slaves on a system with machines of its own that runs functions, such as Dask or Ray.

    The class of a plugin derives from it, names the system by the attributes below, and
    implements :meth:`launch_type`. Each slave is kept by a function of the system's, for as long as
    it lives, and reaches the master over ``tcp``.

    Args:
        count: how many slaves.
        needs: what each needs of the system, by the names of the class's arguments; its ``repr``
            shows what is not empty.
        trusted_network: whether slaves may be started although others might read each slave's
            credentials, in the system's own messages.
        threads: how many threads numeric libraries start in a slave's tasks; see :class:`Slave`.
        environment: variables to add to the environment of the slaves. Never a secret.

    Raises ValueError; TypeError if the count is no whole number.
    """

    transport = "tcp"

    system: ClassVar[str]
    """The system's name, such as ``"Dask"``."""
    kept_by: ClassVar[str]
    """What keeps a slave there, as people know it, such as ``"Dask task"``."""
    requirement: ClassVar[str]
    """What pip installs the system's client by."""
    explained_by: ClassVar[Sequence[str]] = ()
    """The keys of the sections that explain it if what keeps a slave fails; see ``explained``."""
    privacy_advice: ClassVar[str]
    """How the user lets nobody else read the system's messages, in one sentence."""

    def __init__(
        self,
        count: int,
        needs: Mapping[str, Any],
        *,
        trusted_network: bool = False,
        threads: int | str | None = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(count)
        self.needs = dict(needs)
        self.trusted_network = checked_flag(self, "trusted_network", trusted_network)
        self.threads = threads
        self.environment = checked_environment(self, environment)

    @abc.abstractmethod
    def launch_type(self) -> Callable[[Any], _Startable]:
        """Import the system's client, and return the subclass of SentLaunch that launches on it.

        Called when slaves are added: every script loads a plugin that is installed, also one that
        has no use for it. Raises ImportError.
        """

    def check(self) -> None:
        """Raise LaunchError if it is known at once that they can't be launched."""
        try:
            launch = self.launch_type()(self)
        except ImportError as problem:
            text = f"{self.system} can't be imported: {problem}. pip install {self.requirement}"
            raise LaunchError(text) from problem
        launch.check()

    def launch(self, bootstraps: Sequence[Bootstrap]) -> Launch:
        """Start them; a plugin's ``imp_parallel_launch`` returns the result."""
        launch = self.launch_type()(self)
        launch.start(bootstraps)
        return launch

    def __repr__(self) -> str:
        needs = "".join(f", {name}={needed}" for name, needed in self.needs.items() if needed)
        return f"{type(self).__name__}({len(self)}{needs})"
