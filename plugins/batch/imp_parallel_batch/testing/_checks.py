"""All checks of a batch system, one after the other."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .._system import BatchSystem
from ._command_checks import check_commands
from ._launch_checks import check_a_launch_concludes_nothing_from_failures
from ._parser_checks import (
    check_accounts_are_read,
    check_deletions_are_read,
    check_descriptions_are_read,
    check_lists_are_read,
    check_submissions_are_read,
)
from ._samples import Samples
from ._script_checks import check_the_script_runs_in_hostile_folders


def check_batch_system(system: BatchSystem, samples: Samples) -> None:
    """Run all checks.

    Args:
        system: the batch system.
        samples: what the commands of a real one have printed.

    Raises AssertionError for the first thing that is not as it should be.
    """
    check_commands(system, samples)
    check_submissions_are_read(system, samples)
    check_deletions_are_read(system, samples)
    check_lists_are_read(system, samples)
    check_descriptions_are_read(system, samples)
    check_accounts_are_read(system, samples)
    with tempfile.TemporaryDirectory() as folder:
        check_the_script_runs_in_hostile_folders(system, Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        check_a_launch_concludes_nothing_from_failures(system, samples, Path(folder))
