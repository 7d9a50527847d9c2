"""The records of a Manager's slaves, each with all that the slave is started with."""

from __future__ import annotations

import itertools
import os
import sys
from typing import TYPE_CHECKING

from .._definitions.import_path import absolute_path
from .._errors import LaunchError
from .._fleet.record import SlaveRecord
from .._plugins.bootstrap import Bootstrap, script_arguments
from .._plugins.contract import checked_secret
from .._plugins.output_files import OutputFiles
from .._plugins.slaves import Slave, checked_count, checked_environment, checked_threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._fleet.state import Timeouts
    from .._plugins.transport import Transport
    from .._plugins.transports import Transports
    from .live_output import LiveOutput
    from .output_lines import OutputLine


class SlaveRecords:
    """Makes the records of the slaves that are added to one Manager.

    Args:
        python: a path or a line for a shell, as the Manager was given it.
        outputs: where the output of slaves goes.
        transports: the Manager's.
    """

    def __init__(
        self, python: str | None, outputs: OutputFiles | LiveOutput, transports: Transports
    ) -> None:
        self._python = python or sys.executable
        self._outputs = outputs
        self._transports = transports
        self._numbers = itertools.count()

    def make(self, slave: Slave, timeouts: Timeouts) -> list[SlaveRecord]:
        """Return the record of a slave, or those of an array, as ``Manager.add_slave`` says."""
        count = checked_count(slave)
        threads = checked_threads(slave)
        environments = [checked_environment(slave, position) for position in range(count)]
        transport: Transport | None = None
        addresses: tuple[str, ...] = ()
        if slave.transport:
            transport, addresses = self._transports.get(slave.transport)
        argv, sys_path, cwd = script_arguments(), absolute_path(), _working_folder()
        masters_environment = dict(os.environ)
        records = []
        for environment in environments:
            index = next(self._numbers)
            secret = b""
            if transport is not None:
                secret = checked_secret(slave.transport, transport.secret(index))
            bootstrap = Bootstrap(
                index=index,
                python=self._python,
                cwd=cwd,
                output_path=self._outputs.make(index),
                sys_path=sys_path,
                argv=argv,
                dial="" if transport is None else transport.dial,
                addresses=addresses,
                secret=secret,
                slave_modules=() if transport is None else transport.slave_modules,
                connect_timeout_s=timeouts.connect_s,
                reconnect_timeout_s=timeouts.reconnect_s,
                environment=environment,
                masters_environment=masters_environment,
                threads=threads,
            )
            records.append(SlaveRecord(slave, bootstrap, timeouts))
        return records


def outputs_of(output: str | Callable[[OutputLine], object] | None) -> OutputFiles | LiveOutput:
    """Return where the output of slaves goes. Raises TypeError, ValueError, LaunchError."""
    if output == "-" or callable(output):
        from .live_output import LiveOutput  # most scripts leave the output in files

        return LiveOutput(output, _working_folder())
    if output is not None and not isinstance(output, str):
        raise TypeError(
            f"output={output!r}: it must be a path as text with %d for the slave's number, '-' "
            "for where the script prints, a function, or None"
        )
    is_relative = output is not None and not os.path.isabs(output)
    return OutputFiles(output, _working_folder() if is_relative else "")


def _working_folder() -> str:
    """Return where the script works. Raises LaunchError."""
    try:
        return os.getcwd()
    except FileNotFoundError as problem:
        raise LaunchError(
            "the folder that this script works in has been removed, and slaves could not work "
            "there either: let the script go to another one (os.chdir) first"
        ) from problem
