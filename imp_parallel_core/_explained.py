"""The last line of a message, which names sections of the documentation: ``imp-parallel explain``.

A message may quote another that has such a line. The lines of both become one, at the end. Slaves
import this module, too, so it imports nothing at its top.
"""

from __future__ import annotations

BEGINNING = "More: imp-parallel explain"
"""What the line begins with; the keys of sections follow."""

KEY = "[a-z0-9]+(?:-[a-z0-9]+)+"
"""The pattern of a section's key: words with hyphens, as few words of a sentence are."""

_QUOTED_KEYS = 2  # of messages that are quoted; they are more particular than the message's own

_said: set[str] = set()  # the keys that the log has named


def explained(text: str, *keys: str, once: bool = False) -> str:
    """Return a message with a last line that names sections which ``imp-parallel explain`` prints.

    For plugins, too: for the errors and the warnings that the plugin's own sections explain (see
    the hook ``imp_parallel_explanations``).

    Args:
        text: the message. If it quotes messages that have such a line, there is one line for all.
        keys: the keys of the sections.
        once: whether to leave out keys that a call with ``once`` has named before in this process,
            which is for warnings that are said again and again.

    >>> print(explained("no car could be started", "no-car-started"))
    no car could be started
    More: imp-parallel explain no-car-started
    """
    if BEGINNING in text:
        text, quoted = without_keys(text)
        keys = tuple(dict.fromkeys([*quoted[:_QUOTED_KEYS], *keys]))
    if once:
        keys = tuple(key for key in keys if key not in _said)
        _said.update(keys)
    return f"{text}\n{BEGINNING} {' '.join(keys)}" if text and keys else text


def forget_what_was_said() -> None:
    """Have the next call with ``once`` name its keys, whatever earlier ones have named."""
    _said.clear()


def without_keys(text: str) -> tuple[str, list[str]]:
    """Return a message without such lines, also where it is quoted, and the keys that they name."""
    import re  # few messages need it

    keys: list[str] = []

    def take(match: re.Match[str]) -> str:
        keys.extend(match[1].split())
        return ""

    # a quotation may be indented, or on one line, with its line breaks escaped
    line = rf"(?:(?:\n|\\n)[ \t|]*|^[ \t|]*){BEGINNING}((?: {KEY})+)"
    return re.sub(line, take, text), list(dict.fromkeys(keys))
