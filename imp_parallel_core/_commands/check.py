"""``imp-parallel check 'LocalSlave()'``: one real slave, put through the whole chain."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .._printable import printable_lines

if TYPE_CHECKING:
    import argparse

    from .steps import Step

_INDENT = " " * 34
_COLOURS = {"ok": "\x1b[32m", "FAILED": "\x1b[1;31m", "...": "\x1b[33m"}
_PLAIN = "\x1b[0m"


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
            "code is 1. An array is launched as it is written, and one slave of it must come. "
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
        """Check; return 1 if a step has failed."""
        from .._plugins.registry import Plugins
        from .expression import class_of, installed_kinds, read_expression
        from .inventory import version_of
        from .steps import Failed, Status, Step
        from .trial import Trial, Wishes

        steps: list[Step] = []

        def tell(step: Step) -> None:
            steps.append(step)
            if not arguments.json:
                print(_line(step, is_coloured=_is_terminal()), flush=True)

        works = False
        try:
            with _as_a_script_here():
                kinds = installed_kinds(Plugins())
                slaves = read_expression(arguments.expression, kinds)
                name = class_of(arguments.expression, kinds)
                label = kinds[name].plugin.label
                version = version_of(label)
                facts = {"class": name, "plugin": label, "version": version}
                tell(Step("plugin", Status.OK, f"{name} is of {label} {version}", facts=facts))
                wishes = Wishes(
                    arguments.limit,
                    arguments.python,
                    arguments.host,
                    arguments.port,
                    arguments.module,
                )
                works = Trial(slaves, wishes, tell).run()
        except Failed as failed:
            tell(failed.step)
        failures = [step.name for step in steps if step.status is Status.FAILED]
        if arguments.json:
            import json

            listed = [{**step._asdict(), "status": step.status.name.lower()} for step in steps]
            print(json.dumps({"works": works, "failed": failures, "steps": listed}, indent=2))
        elif works:
            print(f"All of it works: {arguments.expression}")
        else:
            print(f"It does not work: {', '.join(failures)} FAILED, see above.")
        return 0 if works else 1


def _line(step: Step, *, is_coloured: bool) -> str:
    """Return a step as it is printed."""
    status = f"{step.status.value:<7}"
    if is_coloured:
        status = f"{_COLOURS[step.status.value]}{status}{_PLAIN}"
    text = printable_lines(step.text)
    if step.advice:
        text += f"\nnext: {printable_lines(step.advice)}"
    first, *more = text.splitlines()
    begin = f"{step.at_s:8.2f} s  {status}  {step.name:<13}{first}"
    return "\n".join([begin, *((_INDENT + line).rstrip() for line in more)])


def _is_terminal() -> bool:
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not is_plain


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
