"""A conformance kit for authors of batch systems; it needs no particular test runner.

:func:`check_batch_system` needs no installation of the batch system: it reads what the commands of
a real one have printed, which the author records as :class:`Samples`. Each check raises
AssertionError with a sentence if the system does not do what the kit expects.
"""

from ._checks import check_batch_system
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

__all__ = [
    "Samples",
    "check_a_launch_concludes_nothing_from_failures",
    "check_accounts_are_read",
    "check_batch_system",
    "check_commands",
    "check_deletions_are_read",
    "check_descriptions_are_read",
    "check_lists_are_read",
    "check_submissions_are_read",
    "check_the_script_runs_in_hostile_folders",
]
