"""The options of sbatch that a user gives to an array. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from ._sbatch_words import refuse_plain_words

# This plugin sets these itself: another value would break the array, or sbatch's answer.
_RESERVED = {
    "--array": "the array's size is its first argument",
    "--chdir": "slaves work in the folder of the script",
    "--clusters": "squeue and scancel would look at another cluster",
    "--help": "nothing would be submitted",
    "--output": "the slaves' output goes where Manager(output=...) says",
    "--parsable": "sbatch is always called with it",
    "--quiet": "sbatch would not say the job's number",
    "--test-only": "nothing would be submitted",
    "--usage": "nothing would be submitted",
    "--version": "nothing would be submitted",
    "--wait": "sbatch would wait for the slaves to end",
    "--wrap": "the job's script is the slaves'",
    ":": "an array is no heterogeneous job",
}
_SHORT = {
    "a": "--array",
    "D": "--chdir",
    "h": "--help",
    "M": "--clusters",
    "o": "--output",
    "Q": "--quiet",
    "V": "--version",
    "W": "--wait",
}
_WITHOUT_VALUE = "HIOQVWhksv"  # letters that may be followed by others in one word
_SHORTEST = len("--arr")  # sbatch takes a shorter beginning of an option for no option
_HEEDED = {"USR1", "USR2", "XCPU", "TERM", "10", "12", "24", "15"}
_SIGNAL = re.compile(r"(?:(?P<to>[RB]+):)?(?:SIG)?(?P<signal>\w+)(?P<time>@\d+)?")


def check_options(words: Sequence[str]) -> None:
    """Raise ValueError for options that this plugin sets itself, or that would break an array."""
    for word in words:
        for option in _options_in(word):
            if option in _RESERVED:
                reason = _RESERVED[option]
                raise ValueError(f"the sbatch option {word} can't be used here: {reason}")
    refuse_plain_words(words)
    for value in values_of(words, "--signal"):
        signal = _SIGNAL.fullmatch(value)
        if signal is None or signal["signal"] not in _HEEDED:
            raise ValueError(
                f"the sbatch option --signal {value} can't be used here: slaves heed the signals "
                "USR1, USR2, XCPU and TERM, as in --signal=USR1@120"
            )


def _options_in(word: str) -> Iterator[str]:
    """Yield the reserved options that a word of the command line sets."""
    if word == ":":
        yield word
    elif word.startswith("--"):
        name = word.partition("=")[0]
        for option in _RESERVED:
            if len(name) >= _SHORTEST and option.startswith(name):
                yield option
    elif word.startswith("-"):
        for letter in word[1:]:
            if letter in _SHORT:
                yield _SHORT[letter]
            if letter not in _WITHOUT_VALUE:
                return


def values_of(words: Sequence[str], option: str, letter: str = "") -> list[str]:
    """Return the values that a command line gives to an option, in order: the last one holds.

    Args:
        words: the command line.
        option: the option's long name.
        letter: its short name, if it has one: ``-J``.
    """
    values = []
    for at, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name == option and equals:
            values.append(value)
        elif word in (option, letter):
            values += words[at + 1 : at + 2]
        elif letter and word.startswith(letter) and not word.startswith("--"):
            values.append(word[len(letter) :])
    return values


def options_for_scripts(words: Sequence[str]) -> list[str]:
    """Return a user's options as they are right for slaves.

    A slave runs in a job's script, to which ``--signal`` sends nothing unless it says ``B:``.
    """
    last = [_SIGNAL.fullmatch(value) for value in values_of(words, "--signal")[-1:]]
    return [*words, *(f"--signal={_to_the_script(match)}" for match in last if match)]


def _to_the_script(match: re.Match[str]) -> str:
    """Return the value of ``--signal`` that sends it to the job's script."""
    others = (match["to"] or "").replace("B", "")
    return f"{others}B:{match['signal']}{match['time'] or ''}"
