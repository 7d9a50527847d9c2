"""``imp-parallel rerun PATH``: a task that has failed is run again."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING

from .._errors import Error
from .._printable import printable_lines

if TYPE_CHECKING:
    import argparse


class Rerun:
    """The subcommand ``rerun``."""

    name = "rerun"
    help = "run a failed task again, in this process"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments."""
        parser.description = (
            "Run the set-up of a failed task and the task again, in this process. The "
            "file is what error.save(path) has written; it is a pickle, which may run any code."
        )
        parser.add_argument("path", help="what error.save(path) has written")
        parser.add_argument(
            "--pdb", action="store_true", help="debug the exception, if it comes again"
        )

    def run(self, arguments: argparse.Namespace) -> int:
        """Run the task; return 1 if it fails again, and 2 if the file can't be used."""
        from .._api.failed_call import load

        try:
            call = load(arguments.path)
        except (Error, OSError) as problem:
            print(f"imp-parallel: {printable_lines(str(problem))}", file=sys.stderr)
            return 2
        print(f"{call.error}\n\nIt is run again.", file=sys.stderr)
        try:
            value = call.run()
        except (Exception, SystemExit) as problem:  # which is an error of a task, too
            traceback.print_exc()
            if arguments.pdb:
                import pdb

                pdb.post_mortem(problem.__traceback__)
            return 1
        print(f"This time it has returned: {printable_lines(repr(value))}", file=sys.stderr)
        return 0
