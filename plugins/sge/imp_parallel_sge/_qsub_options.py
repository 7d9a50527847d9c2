"""The options of qsub: those that a user gives to an array, and those that every array has."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from itertools import zip_longest

# This plugin sets these itself: another value would break the array, or qsub's answer.
_RESERVED = {
    "-t": "the array's size is its first argument",
    "-b": "the job is a script, not a program",
    "-C": "the job's script holds no options",
    "-@": "its file could hold anything",
    "-sync": "qsub would wait for the slaves to end",
    "-now": "qsub would wait for the slaves to start",
    "-terse": "qsub is always called with it",
    "-verify": "nothing would be submitted",
    "-w v": "nothing would be submitted",
    "-w p": "nothing would be submitted",
    "-help": "nothing would be submitted",
}


def split_options(options: str) -> list[str]:
    """Return the words of qsub options that a person wrote as for a shell.

    Raises ValueError for an open quote, and for options that this plugin sets itself.
    """
    try:
        words = shlex.split(options)
    except ValueError as problem:
        raise ValueError(f"the qsub options {options!r} can't be read: {problem}") from None
    for word, value in zip_longest(words, words[1:]):
        option = f"{word} {value}" if word == "-w" else word
        if option in _RESERVED:
            raise ValueError(f"the qsub option {option} can't be used here: {_RESERVED[option]}")
    return words


def qsub_command(
    options: Sequence[str],
    count: int,
    *,
    early_output: str,
    name: str = "imp_parallel",
    in_working_folder: bool = True,
) -> list[str]:
    """Return the command line that submits an array; the job script is its standard input.

    Args:
        options: the words of the user's options.
        count: how many slaves the array has.
        early_output: where a task's output goes until its script has opened the slave's.
        name: the job's name, unless the options hold another; the job's context holds it anyway.
        in_working_folder: whether Grid Engine shall start the job in the folder of the script.
    """
    place = ["-cwd"] if in_working_folder else []
    return [
        *("qsub", "-terse", "-C", "", "-S", "/bin/bash", "-N", name, *place),
        *("-r", "n", "-j", "y", "-o", early_output),
        *options,
        *("-b", "n", "-sync", "n", "-now", "n"),  # whatever a site or ~/.sge_request sets
        *("-ac", f"imp_parallel={name}"),  # what qstat -j tells the job by, whatever else is set
        *("-t", f"1-{count}"),
    ]
