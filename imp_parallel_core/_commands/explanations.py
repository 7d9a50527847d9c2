"""All sections that explain errors: the core's own, and those that plugins bring.

A plugin whose explanations can't be used is told, and costs no other.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from .._plugins.explanations import Explanation, read_explanations
from .._plugins.registry import Plugins, warn

FOLDER = Path(__file__).with_name("explanations")
"""The core's own texts, which docs/troubleshooting.md includes."""

_FILES = ("starting", "waiting", "tasks", "results")  # in the order of that page


class Found(NamedTuple):
    """A section, and what messages call the plugin that brings it; "" for the core."""

    explanation: Explanation
    label: str = ""


def find_explanations(plugins: Plugins) -> dict[str, Found]:
    """Return all sections by their keys: the core's, and then those of each plugin."""
    found = {explanation.key: Found(explanation) for explanation in _of_the_core()}
    for answer in plugins.ask("imp_parallel_explanations"):
        if answer.problem:
            continue  # which the registry has told
        label = answer.found.label
        try:
            explanations = read_explanations(answer.value)
        except (TypeError, ValueError) as problem:
            warn(f"plugin {label}: its explanations can't be used: {problem}")
            continue
        for explanation in explanations:
            first = found.setdefault(explanation.key, Found(explanation, label))
            if first.label != label:
                whose = f"{first.label} brings" if first.label else "imp-parallel-core has"
                warn(
                    f"plugin {label}: its explanation {explanation.key} is not used: "
                    f"{whose} one of that key, too"
                )
    return found


def _of_the_core() -> Iterator[Explanation]:
    for name in _FILES:
        text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
        yield from read_explanations(text)
