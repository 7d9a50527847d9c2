"""Spread Python tasks over several processors or machines.

Names are loaded when they are first used: a slave imports this package too, and must not wait for
what only a master needs. Slave classes that plugins bring can be imported from here as well.
"""

from __future__ import annotations

from importlib import import_module

from ._version import __version__

TYPE_CHECKING = False  # as typing's, which takes longer to import than the rest of this
if TYPE_CHECKING:
    from typing import Any

    from ._api.context import Context
    from ._api.manager import Manager
    from ._api.output_lines import OutputLine
    from ._cancelled_error import CancelledError
    from ._errors import (
        ClosedError,
        Error,
        LaunchError,
        NetworkError,
        NoMoreSlavesError,
        NoSlaveStartedError,
        PicklingError,
        PluginError,
        ProtocolError,
        ResultTimeoutError,
        UnreadResultsWarning,
    )
    from ._explained import explained
    from ._fleet.info import SlaveInfo
    from ._plugins.bootstrap import Bootstrap
    from ._plugins.command_host import CommandHost, CommandResult, LocalHost
    from ._plugins.events import (
        ContextDone,
        ContextOpened,
        Event,
        EventsMissed,
        RunBegan,
        RunEnded,
        RunnerLost,
        SetupDone,
        SlaveChanged,
        TaskDone,
        TasksAdded,
        TasksDone,
        TasksForgotten,
        TasksReturned,
        TasksSent,
    )
    from ._plugins.gateway import Gateway, Relay
    from ._plugins.gpus import GPU, find_gpus
    from ._plugins.hookspecs import hookimpl
    from ._plugins.launch import (
        EndingLaunch,
        InformedLaunch,
        Launch,
        LaunchPhase,
        LaunchState,
        WithdrawingLaunch,
        read_tail,
    )
    from ._plugins.output_files import open_output
    from ._plugins.processes import start_processes
    from ._plugins.sent import Sent
    from ._plugins.sent_array import SentSlaveArray
    from ._plugins.sent_launch import SentLaunch
    from ._plugins.slave_archive import slave_archive
    from ._plugins.slaves import Slave, SlaveArray
    from ._plugins.start_failure import start_failure
    from ._plugins.subcommand import Subcommand
    from ._plugins.transport import Transport
    from ._printable import printable, printable_lines
    from ._printed import Attempt
    from ._slave.current_task import CurrentTask, current_task
    from ._task_errors import (
        RemoteError,
        SetupError,
        TaskLostError,
        TaskMemoryError,
        TooManyFailuresError,
    )
    from ._wire.stream import Accept, SocketStream, Stream

_MODULES = {
    "_plugins.command_host": ("CommandHost", "CommandResult", "LocalHost"),
    "_cancelled_error": ("CancelledError",),
    "_api.context": ("Context",),
    "_errors": (
        "ClosedError",
        "Error",
        "LaunchError",
        "NetworkError",
        "NoMoreSlavesError",
        "NoSlaveStartedError",
        "PicklingError",
        "PluginError",
        "ProtocolError",
        "ResultTimeoutError",
        "UnreadResultsWarning",
    ),
    "_task_errors": (
        "RemoteError",
        "SetupError",
        "TaskLostError",
        "TaskMemoryError",
        "TooManyFailuresError",
    ),
    "_explained": ("explained",),
    "_plugins.events": (
        "ContextDone",
        "ContextOpened",
        "Event",
        "EventsMissed",
        "RunBegan",
        "RunEnded",
        "RunnerLost",
        "SetupDone",
        "SlaveChanged",
        "TaskDone",
        "TasksAdded",
        "TasksDone",
        "TasksForgotten",
        "TasksReturned",
        "TasksSent",
    ),
    "_plugins.gateway": ("Gateway", "Relay"),
    "_plugins.gpus": ("GPU", "find_gpus"),
    "_plugins.hookspecs": ("hookimpl",),
    "_plugins.bootstrap": ("Bootstrap",),
    "_plugins.launch": (
        "EndingLaunch",
        "InformedLaunch",
        "Launch",
        "LaunchPhase",
        "LaunchState",
        "WithdrawingLaunch",
        "read_tail",
    ),
    "_api.manager": ("Manager",),
    "_api.output_lines": ("OutputLine",),
    "_plugins.output_files": ("open_output",),
    "_plugins.processes": ("start_processes",),
    "_plugins.sent": ("Sent",),
    "_plugins.sent_array": ("SentSlaveArray",),
    "_plugins.sent_launch": ("SentLaunch",),
    "_printable": ("printable", "printable_lines"),
    "_printed": ("Attempt",),
    "_plugins.slave_archive": ("slave_archive",),
    "_slave.current_task": ("CurrentTask", "current_task"),
    "_fleet.info": ("SlaveInfo",),
    "_plugins.slaves": ("Slave", "SlaveArray"),
    "_plugins.start_failure": ("start_failure",),
    "_plugins.subcommand": ("Subcommand",),
    "_wire.stream": ("Accept", "SocketStream", "Stream"),
    "_plugins.transport": ("Transport",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "GPU",
    "Accept",
    "Attempt",
    "Bootstrap",
    "CancelledError",
    "ClosedError",
    "CommandHost",
    "CommandResult",
    "Context",
    "ContextDone",
    "ContextOpened",
    "CurrentTask",
    "EndingLaunch",
    "Error",
    "Event",
    "EventsMissed",
    "Gateway",
    "InformedLaunch",
    "Launch",
    "LaunchError",
    "LaunchPhase",
    "LaunchState",
    "LocalHost",
    "Manager",
    "NetworkError",
    "NoMoreSlavesError",
    "NoSlaveStartedError",
    "OutputLine",
    "PicklingError",
    "PluginError",
    "ProtocolError",
    "Relay",
    "RemoteError",
    "ResultTimeoutError",
    "RunBegan",
    "RunEnded",
    "RunnerLost",
    "Sent",
    "SentLaunch",
    "SentSlaveArray",
    "SetupDone",
    "SetupError",
    "Slave",
    "SlaveArray",
    "SlaveChanged",
    "SlaveInfo",
    "SocketStream",
    "Stream",
    "Subcommand",
    "TaskDone",
    "TaskLostError",
    "TaskMemoryError",
    "TasksAdded",
    "TasksDone",
    "TasksForgotten",
    "TasksReturned",
    "TasksSent",
    "TooManyFailuresError",
    "Transport",
    "UnreadResultsWarning",
    "WithdrawingLaunch",
    "__version__",
    "current_task",
    "explained",
    "find_gpus",
    "hookimpl",
    "open_output",
    "printable",
    "printable_lines",
    "read_tail",
    "slave_archive",
    "start_failure",
    "start_processes",
]


def __getattr__(name: str) -> Any:
    module = _HOMES.get(name)
    if module is not None:
        value = getattr(import_module(f".{module}", __name__), name)
    elif name.startswith("_") or not name[0].isupper():
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    else:
        from ._plugins.slave_types import find_slave_type

        value = find_slave_type(name, __all__)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
