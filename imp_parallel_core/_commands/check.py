"""``imp-parallel check 'LocalSlave()'``: one real slave, put through the whole chain."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from .interruptions import Interruptions
    from .step_printer import StepPrinter


class Check:
    """The subcommand ``check``."""

    name = "check"
    help = "try one slave, from its launch to its end, and say what fails"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.description = (
            "Launch the slaves that an expression describes, as a script in this folder would, put "
            "one of them through the whole chain, and end them. A line is printed for each step as "
            "it happens. Where a step fails, the evidence and the next step follow, and the exit "
            "code is 1. An array is launched as it is written: one slave of it must come, and "
            "none that starts may fail. "
            "Nothing of the expression is evaluated but calls of slaves' classes with literals."
        )
        add = parser.add_argument
        add("expression", help="what the script gives to add_slave: 'SSHSlave(\"anna\")'")
        add(
            "--limit",
            type=_seconds,
            default=60.0,
            metavar="SECONDS",
            help="how long all of it may take before it counts as failed (60)",
        )
        add(
            "--module",
            type=_module,
            action="append",
            default=[],
            metavar="NAME",
            help="import this module in a task, too; may be given again",
        )
        add("--python", metavar="LINE", help="what starts Python on a slave, as for Manager")
        add("--host", help="the only address of this machine that slaves try, as for Manager")
        add(
            "--port",
            type=_ports,
            metavar="PORT[-PORT]",
            help="the port that slaves come to, or the first and the last of several",
        )
        add("--json", action="store_true", help="print the steps as JSON, at the end")

    def run(self, arguments: argparse.Namespace) -> int:
        """Check; return 1 if a step has failed, or what a signal says that has ended the check."""
        from .interruptions import Interruptions
        from .step_printer import StepPrinter
        from .steps import Failed

        interruptions, works = Interruptions(), False
        printer = StepPrinter(arguments.expression, interruptions.fail, is_json=arguments.json)
        with interruptions.taken():
            try:
                with _as_a_script_here():
                    works = _try(arguments, printer, interruptions)
            except Failed as failed:
                printer.tell(failed.step)
            except KeyboardInterrupt:
                pass  # what has been launched has ended
            except OSError:
                if interruptions.failure is None:
                    raise
            interruptions.is_ending = True
            printer.finish(works=works, interruption=interruptions.cause)
        if interruptions.cause:
            if interruptions.failure is not None:  # as of a terminal that has been closed
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return interruptions.exit_code
        if interruptions.failure is not None:
            raise interruptions.failure
        return 0 if works else 1


def _try(arguments: argparse.Namespace, printer: StepPrinter, interruptions: Interruptions) -> bool:
    """Read the expression, and try its slaves; return whether all of it works. Raises Failed."""
    from .._plugins.registry import Plugins
    from .expression import class_of, installed_kinds, read_expression
    from .inventory import version_of
    from .plugin_calls import Limit
    from .steps import Failed, Status, Step
    from .trial import Trial
    from .wishes import Wishes

    def leave(failed: Failed) -> None:
        printer.tell(failed.step)
        printer.finish(works=False, interruption="")
        os._exit(1)  # a plugin holds the main thread, and nothing has been launched

    limit = Limit(arguments.limit, time.monotonic() + arguments.limit, leave)
    with limit.over("plugin"):
        kinds = installed_kinds(Plugins())
        slaves = read_expression(arguments.expression, kinds)
    name = class_of(arguments.expression, kinds)
    label = kinds[name].plugin.label
    version = version_of(label)
    facts = {"class": name, "plugin": label, "version": version}
    printer.tell(Step("plugin", Status.OK, f"{name} is of {label} {version}", facts=facts))
    wishes = Wishes(arguments.python, arguments.host, arguments.port, arguments.module)
    return Trial(slaves, wishes, limit, interruptions, printer.tell, label).run()


@contextmanager
def _as_a_script_here() -> Iterator[None]:
    """Let this process be taken for a script of the working folder, which slaves stand up for.

    They look for modules where that script would find them, and are sent those that are beside it.
    Raises Failed if there is no such folder.
    """
    from .steps import Failed

    main = sys.modules["__main__"]
    changed = ("__file__", "__spec__")
    before = {name: value for name, value in vars(main).items() if name in changed}
    try:
        folder, path = os.getcwd(), list(sys.path)
    except OSError as problem:
        raise Failed(
            "folder",
            f"the folder of this command has been removed, or can't be found: {problem}",
            "Slaves could not work there either: go to another folder first (cd).",
        ) from problem
    sys.path.insert(0, folder)
    main.__file__, main.__spec__ = os.path.join(folder, "imp-parallel-check.py"), None
    try:
        yield
    finally:
        sys.path[:] = path
        del main.__file__, main.__spec__
        vars(main).update(before)


def _module(text: str) -> str:
    import argparse

    if not all(part.isidentifier() for part in text.split(".")):
        raise argparse.ArgumentTypeError(
            f"{text!r}: it must be the name of a module, as a script imports it: package.module"
        )
    return text


def _seconds(text: str) -> float:
    import argparse

    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not seconds > 0:
        raise argparse.ArgumentTypeError(f"{text!r}: it must be a number of seconds above 0")
    return seconds


def _ports(text: str) -> int | range:
    import argparse

    first, has_last, last = text.partition("-")
    try:
        ports = range(int(first), int(last if has_last else first) + 1)
    except ValueError:
        ports = range(0)
    if not ports or ports[0] < 1 or ports[-1] > 65535:
        raise argparse.ArgumentTypeError(
            f"{text!r}: it must be a number from 1 to 65535, or two with a '-' between them"
        )
    return ports if has_last else ports[0]
