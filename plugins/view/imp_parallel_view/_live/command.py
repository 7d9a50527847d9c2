"""The subcommand ``imp-parallel top``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import folder as folders
from .calls import NoAnswer, snapshots

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
            "name the process of one to see it whole. Ctrl-C ends this."
        )
        parser.add_argument("pid", type=int, nargs="?", help="the process of one script")
        parser.add_argument("--once", action="store_true", help="print how things are, and end")
        parser.add_argument(
            "--json", action="store_true", help="print it once, as a JSON list of runs"
        )
        parser.add_argument(
            "--interval", type=float, default=1.0, metavar="S", help="seconds between two looks"
        )
        parser.add_argument("--folder", type=Path, help="where Live(folder=…) listens")

    def run(self, arguments: argparse.Namespace) -> int:
        """Show the runs; return the exit code: 1 if there is none."""
        folder = arguments.folder or folders.default_folder()
        runs = snapshots(folder, arguments.pid)
        if arguments.json:
            print(json.dumps(runs, indent=1))
            return 0 if runs else 1
        if not runs:
            which = f"process {arguments.pid} shows no run: " if arguments.pid is not None else ""
            print(f"{which}{_NONE}", file=sys.stderr)
            return 1
        if arguments.once or not sys.stdout.isatty():
            _print(runs)
            return 0
        return _follow(folder, arguments.pid, max(arguments.interval, 0.1), runs)


def _print(runs: Sequence[dict[str, Any]]) -> None:
    from rich.console import Console

    console = Console()
    console.print(_drawn(runs, height=10**6))


def _drawn(runs: Sequence[dict[str, Any]], height: int) -> Any:
    from .drawing import list_of_runs, whole_run

    return whole_run(runs[0], height) if len(runs) == 1 else list_of_runs(runs)


def _follow(
    folder: Path, pid: int | None, interval_s: float, runs: Sequence[dict[str, Any]]
) -> int:
    """Show the runs anew from time to time, until the user or the last run ends."""
    from rich.console import Console
    from rich.live import Live

    console = Console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while runs_now := _unless_silent(folder, pid, runs):
            runs = runs_now
            live.update(_drawn(runs, console.height - 1), refresh=True)
            time.sleep(interval_s)
    console.print(_drawn(runs, height=10**6))
    console.print("The last run has ended." if pid is None else "The run has ended.")
    return 0


def _unless_silent(
    folder: Path, pid: int | None, before: Sequence[dict[str, Any]]
) -> Sequence[dict[str, Any]]:
    """Return the runs as they are now; as they were before, while none of them answers."""
    try:
        return snapshots(folder, pid)
    except NoAnswer:
        return before
