"""Finds the sections that somebody means who types a key, or pastes a message. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence

from .._explained import without_keys
from .._plugins.explanations import Explanation

_MOST = 3  # sections for one message; it may quote others
_LEAST_CHARACTERS = 4  # of what is looked for in texts
_NEAR = 5


def matching(
    said: str, explanations: Sequence[Explanation], classes: Mapping[str, Sequence[str]]
) -> list[Explanation]:
    """Return the sections that are meant, the best first; none if nobody knows.

    Args:
        said: a key, several, or a message or a part of one.
        explanations: all that there are.
        classes: the keys of the sections that explain each error of a class, by its name.
    """
    by_key = {explanation.key: explanation for explanation in explanations}
    words = said.split()
    keys = words if all(word in by_key for word in words) else without_keys(said)[1]
    if named := [by_key[key] for key in dict.fromkeys(keys) if key in by_key]:
        return named
    text = _plain(said)
    if (key := text.replace(" ", "-")) in by_key:
        return [by_key[key]]
    lengths = {
        each: max((len(words) for words in each.all_words if _plain(words) in text), default=0)
        for each in explanations
    }
    found = sorted(filter(lengths.__getitem__, explanations), key=lambda each: -lengths[each])
    of_classes = [key for name in re.findall(r"\w+", said) for key in classes.get(name, ())]
    found += [by_key[key] for key in of_classes if key in by_key]
    if not found and len(text) < _LEAST_CHARACTERS:
        found = [each for each in explanations if text in each.key.split("-")]
    elif not found:
        said_by = {each: _plain("\n".join(each.all_words)) for each in explanations}
        found = [each for each in explanations if text in f"{said_by[each]} {_plain(each.text)}"]
        found.sort(key=lambda each: text not in said_by[each])
    return list(dict.fromkeys(found))[:_MOST]


def near(said: str, explanations: Sequence[Explanation]) -> list[Explanation]:
    """Return the sections whose keys or words are like what somebody has typed, the best first."""
    text = _plain(said)
    by_name = {
        name: each for each in explanations for name in (each.key, *map(_plain, each.all_words))
    }
    alike = difflib.get_close_matches(text, by_name, n=_NEAR, cutoff=0.5)
    words = {word for word in re.findall(r"\w+", text) if len(word) >= _LEAST_CHARACTERS}
    shared = {name: len(words & set(re.findall(r"\w+", name))) for name in by_name}
    alike += sorted(filter(shared.__getitem__, by_name), key=lambda name: -shared[name])
    return list(dict.fromkeys(by_name[name] for name in alike))[:_NEAR]


def _plain(text: str) -> str:
    """Return a text in small letters on one line, without the marks of quotations and code."""
    return " ".join(re.sub(r"[`*|]", "", text).casefold().split())
