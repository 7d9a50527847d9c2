"""Which words of a user's options sbatch would take for a script to run instead of ours. Pure.

sbatch reads options up to the first word that is neither an option nor the value of one. If that
word names a file, sbatch submits this file, and heeds nothing that follows.
"""

from __future__ import annotations

from collections.abc import Sequence

# The options of sbatch 22.05, and those that later versions have added.
_NAMES_WITH_VALUE = """
    account acctg-freq array batch bb bbf begin chdir cluster-constraint clusters comment
    constraint container container-id container-type core-spec cores-per-socket cpu-freq
    cpus-per-gpu cpus-per-task deadline delay-boot dependency distribution error exclude export
    export-file extra extra-node-info gid gpu-bind gpu-freq gpus gpus-per-node gpus-per-socket
    gpus-per-task gres gres-flags hint input job-name kill-on-invalid-dep licenses mail-type
    mail-user mcs-label mem mem-bind mem-per-cpu mem-per-gpu mincpus network nodefile nodelist
    nodes ntasks ntasks-per-core ntasks-per-gpu ntasks-per-node ntasks-per-socket open-mode output
    partition power prefer priority profile qos reservation segment signal sockets-per-node
    switches tasks-per-node thread-spec threads-per-core time time-min tmp tres-bind tres-per-task
    uid wait-all-nodes wckey wrap
"""
_NAMES_WITHOUT_VALUE = """
    contiguous exclusive get-user-env help hold ignore-pbs nice no-kill no-requeue overcommit
    oversubscribe parsable propagate quiet reboot requeue share spread-job stepmgr test-only usage
    use-min-nodes verbose version wait
"""
_WITH_VALUE = frozenset(_NAMES_WITH_VALUE.split())
_WITHOUT_VALUE = frozenset(_NAMES_WITHOUT_VALUE.split())
_LETTERS_WITH_VALUE = "ABCDFGJLMNSabcdeimnopqtwx"
_LETTERS_WITHOUT_VALUE = "HOQVWhsv"


def refuse_plain_words(words: Sequence[str]) -> None:
    """Raise ValueError for a word that is neither an option nor the value of one."""
    rest = iter(words)
    for word in rest:
        if word in ("-", "--") or not word.startswith("-"):
            raise ValueError(
                f"{word!r} among the sbatch options is neither an option nor the value of one: "
                "sbatch would take it for a script, and run that instead of slaves. Write values "
                "as in --option=value"
            )
        if takes_the_next_word(word) and next(rest, None) is None:
            raise ValueError(f"the sbatch option {word} needs a value")


def takes_the_next_word(word: str) -> bool:
    """Return whether the word behind an option is its value, for certain."""
    if not word.startswith("--"):
        for at, letter in enumerate(word[1:], 2):
            if letter in _LETTERS_WITH_VALUE:
                return at == len(word)
            if letter not in _LETTERS_WITHOUT_VALUE:
                return False
        return False
    name = word[2:]
    if name in _WITH_VALUE or "=" in name:
        return "=" not in name
    # an option may be shortened as long as no other begins in the same way
    with_value = any(option.startswith(name) for option in _WITH_VALUE)
    return with_value and not any(option.startswith(name) for option in _WITHOUT_VALUE)
