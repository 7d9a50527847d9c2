"""The command ``imp-parallel``, a console script of the package."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence

from .._errors import Error
from .._printable import printable_lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the arguments say (by default those of the command line); return the exit code."""
    parser = argparse.ArgumentParser(
        prog="imp-parallel", description="Tools for scripts that use imp_parallel_core."
    )
    commands = parser.add_subparsers(title="commands", required=True)
    rerun = commands.add_parser(
        "rerun",
        help="run a failed task again, in this process",
        description="Run the set-up of a failed task and the task again, in this process. The "
        "file is what error.save(path) has written; it is a pickle, which may run any code.",
    )
    rerun.add_argument("path", help="what error.save(path) has written")
    rerun.add_argument("--pdb", action="store_true", help="debug the exception, if it comes again")
    chosen = parser.parse_args(arguments)
    return _rerun(chosen.path, debugs=chosen.pdb)


def _rerun(path: str, *, debugs: bool) -> int:
    from .failed_call import load

    try:
        call = load(path)
    except (Error, OSError) as problem:
        print(f"imp-parallel: {printable_lines(str(problem))}", file=sys.stderr)
        return 2
    print(f"{call.error}\n\nIt is run again.", file=sys.stderr)
    try:
        value = call.run()
    except Exception as problem:
        traceback.print_exc()
        if debugs:
            import pdb

            pdb.post_mortem(problem.__traceback__)
        return 1
    print(f"This time it has returned: {printable_lines(repr(value))}", file=sys.stderr)
    return 0
