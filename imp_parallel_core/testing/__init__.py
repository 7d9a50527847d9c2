"""A conformance kit for authors of launcher plugins; it needs no particular test runner.

Each check is a function that makes real slaves, and raises AssertionError with a sentence if the
launcher does not do what the core expects. :func:`check_launcher` runs them all.
"""

from ._launcher_checks import (
    check_a_slave_that_reads_nothing_is_explained,
    check_launcher,
    check_nothing_is_left,
    check_results_come,
    check_the_bootstraps_environment_is_added,
    check_the_slave_has_the_masters_folder_and_path,
    check_what_kills_a_slave_loses_nothing,
    check_what_the_slave_says_is_found,
)

__all__ = [
    "check_a_slave_that_reads_nothing_is_explained",
    "check_launcher",
    "check_nothing_is_left",
    "check_results_come",
    "check_the_bootstraps_environment_is_added",
    "check_the_slave_has_the_masters_folder_and_path",
    "check_what_kills_a_slave_loses_nothing",
    "check_what_the_slave_says_is_found",
]
