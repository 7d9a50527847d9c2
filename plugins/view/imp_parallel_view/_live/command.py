"""The subcommand ``imp-parallel top``."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from . import folder as folders
from .call import ANSWER_S
from .calls import Answers, NoAnswer, Scripts, silence

if TYPE_CHECKING:
    from rich.console import RenderableType

_SHORTEST_S, _LONGEST_S = 0.1, 86400.0
_NONE = (
    "no script of yours on this machine can be seen now. Give its Manager the plugin Live: "
    "Manager(plugins=[imp_parallel_view.Live()])"
)


class Top:
    """Shows the runs of this user on this machine, as they go on."""

    name = "top"
    help = "show the runs of your scripts on this machine, as they go on"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.description = (
            "Show the runs of your scripts on this machine whose Manager has the plugin "
            "imp_parallel_view.Live: contexts, slaves, the last errors. Several runs are listed; "
            "name the process of one to see it whole. q or Ctrl-C ends this."
        )
        parser.add_argument("pid", type=int, nargs="?", help="the process of one script")
        parser.add_argument("--once", action="store_true", help="print how things are, and end")
        parser.add_argument(
            "--json", action="store_true", help="print it once, as a JSON list of runs"
        )
        parser.add_argument(
            "--interval",
            type=_interval,
            default=1.0,
            metavar="SECONDS",
            help="how long between two looks: 0.1 at least (1)",
        )
        parser.add_argument("--folder", type=Path, help="where Live(folder=…) listens")

    def run(self, arguments: argparse.Namespace) -> int:
        """Show the runs; return the exit code: 1 if there is none."""
        scripts = Scripts(arguments.folder or folders.default_folder(), arguments.pid)
        if arguments.json:
            answers = scripts.ask(ANSWER_S)
            print(json.dumps(answers.runs, indent=1))
            if answers.silent:
                print(silence(answers.silent, "now"), file=sys.stderr)
            return 0 if answers.runs else 1
        answers = scripts.ask()
        if not answers.runs:
            which = f"process {arguments.pid} shows no run: " if arguments.pid is not None else ""
            print(f"{which}{_NONE}", file=sys.stderr)
            return 1
        if arguments.once or not sys.stdout.isatty():
            _print(answers)
            return 0
        return _follow(scripts, arguments.interval, answers, arguments.pid)


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not _SHORTEST_S <= seconds <= _LONGEST_S:
        raise argparse.ArgumentTypeError(
            f"{text!r}: it must be a number of seconds, from {_SHORTEST_S:g} to {_LONGEST_S:g}"
        )
    return seconds


def _print(answers: Answers) -> None:
    from rich.console import Console

    console = Console()
    console.print(_drawn(answers, console.width, height=10**6))


def _drawn(answers: Answers, width: int, height: int) -> RenderableType:
    from rich.console import Group

    from .drawing import list_of_runs, remark, whole_run

    runs, remarks = answers.runs, []
    if answers.silent:
        text = silence(answers.silent, "now")
        remarks = [remark(text)]
        height -= 1 + len(text) // width
    drawn = whole_run(runs[0], height, width) if len(runs) == 1 else list_of_runs(runs, width)
    return Group(drawn, *remarks)


def _follow(scripts: Scripts, interval_s: float, answers: Answers, pid: int | None) -> int:
    """Show the runs anew from time to time, until the user or the last run ends."""
    from rich.console import Console
    from rich.live import Live

    from .keys import typed_keys

    console = Console()
    shown = answers
    with typed_keys() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        while answers.runs:
            shown = answers
            drawn = _drawn(shown, console.width, console.height - 1)
            live.update(drawn, refresh=True)
            if keys.is_quit_within(interval_s):
                return 0
            with suppress(NoAnswer):  # then all are shown as they were
                answers = scripts.ask()
    console.print(_drawn(shown, console.width, height=10**6))
    console.print("The last run has ended." if pid is None else "The run has ended.")
    return 0
