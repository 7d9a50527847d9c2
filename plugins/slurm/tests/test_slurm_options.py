"""The plugin knows the options of sbatch as sbatch itself does."""

from __future__ import annotations

import re

import pytest
from imp_parallel_slurm._sbatch_words import takes_the_next_word

from tests.support.slurm import Slurm

pytestmark = pytest.mark.timeout(120)

END_AT_ONCE = {"-h", "--help", "--usage", "-V", "--version"}


def test_each_option_that_sbatch_names_takes_a_value_if_the_plugin_says_so(slurm: Slurm) -> None:
    named = re.findall(r"(?<!\S)(?:-\w|--[a-z][a-z-]+)\b", slurm.run("sbatch", "--help"))
    options = sorted(set(named) - END_AT_ONCE)
    assert {"-c", "--mem", "--exclusive", "-H"} < set(options)
    for option in options:
        # if the option takes a value, sbatch misses it, and else it complains of the next word
        words = [option] if takes_the_next_word(option) else [option, "--bogus"]
        complaint = slurm.try_run("sbatch", *words).stderr
        if f"unrecognized option '{option}'" in complaint:
            continue  # the help of Slurm 26.05 still names one that sbatch no longer has
        expected = "requires an argument" if words == [option] else "unrecognized option '--bogus'"
        assert expected in complaint, f"{words}: {complaint}"
    assert slurm.jobs() == []
