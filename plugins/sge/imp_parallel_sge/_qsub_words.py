"""Which words of a user's options qsub would take for a script to run instead of ours. Pure.

qsub reads options up to the first word that is neither an option nor the value of one. It submits
the file of this name, and heeds nothing that follows.
"""

from __future__ import annotations

from collections.abc import Sequence

_NAMES_WITHOUT_VALUE = """
    -V -clear -cwd -h -hard -help -inherit -noshell -nostdin -notify -soft -terse -verbose -verify
"""
_NAMES_WITH_VALUE = """
    -@ -A -C -M -N -P -R -S -a -ac -ar -b -c -ckpt -dc -display -dl -e -hold_jid -hold_jid_ad -i -j
    -js -jsv -l -m -masterq -now -o -ot -p -pty -q -r -sc -shell -sync -t -tc -u -v -w -wd
"""
_WITH_VALUE = frozenset(_NAMES_WITH_VALUE.split())
_WITHOUT_VALUE = frozenset(_NAMES_WITHOUT_VALUE.split())
_BINDINGS = frozenset({"env", "pe", "set"})  # before the value of -binding, or left out


def refuse_plain_words(words: Sequence[str]) -> None:
    """Raise ValueError for a word that is neither an option nor the value of one.

    An option that is not known here, as other Grid Engines have some, may have any values.
    """
    at = 0
    while at < len(words):
        word = words[at]
        if word in ("-", "--") or not word.startswith("-"):
            raise ValueError(
                f"{word!r} among the qsub options is neither an option nor the value of one: qsub "
                "would take it for a script, and run that instead of slaves"
            )
        count = _count_of_values(words[at:])
        at += 1 + count
        if at > len(words):
            raise ValueError(f"the qsub option {word} needs a value")


def _count_of_values(words: Sequence[str]) -> int:
    """Return how many of the words behind an option, the first word, are its values."""
    option = words[0]
    if option in _WITHOUT_VALUE:
        return 0
    if option in _WITH_VALUE:
        return 1
    if option == "-pe":
        return 2
    if option == "-binding":
        return 2 if _BINDINGS.intersection(words[1:2]) else 1
    plain = (at for at, word in enumerate(words[1:]) if word.startswith("-"))
    return next(plain, len(words) - 1)
