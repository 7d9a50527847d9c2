"""Figures as people read them: lines, a table, a file of numbers, a picture."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from measures import Measure
from peers import Ours

Runs = Mapping[str, Sequence[float]]
"""The figures of each peer, run after run."""


def ratios(runs: Runs, name: str) -> list[float]:
    """Return our figure over another's, pair by pair, in order of size."""
    return sorted(one / other for one, other in zip(runs[Ours.name], runs[name], strict=True))


def lines(measure: Measure, runs: Runs) -> list[str]:
    """Return a measure's figures as text: medians, and how ours compare (median and range)."""
    text = [f"{measure.title} ({measure.unit})"]
    for name, figures in runs.items():
        line = f"  {name:22} {number(statistics.median(figures)):>10}"
        if name != Ours.name:
            pairs = ratios(runs, name)
            middle = statistics.median(pairs)
            line += f"   ours/theirs {middle:.2f} ({pairs[0]:.2f} to {pairs[-1]:.2f})"
        elif len(figures) > 1:
            line += f"   ({number(min(figures))} to {number(max(figures))})"
        text.append(line)
    return text


def number(figure: float) -> str:
    """Return a figure with as many digits as mean something."""
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"


def table(results: Mapping[str, tuple[Measure, Runs]]) -> str:
    """Return all medians as a table in Markdown, one row for each measure."""
    names = list(dict.fromkeys(name for _, runs in results.values() for name in runs))
    rows = [["", *names], ["---"] * (len(names) + 1)]
    for measure, runs in results.values():
        row = [f"{measure.title} ({measure.unit})"]
        for name in names:
            row.append(number(statistics.median(runs[name])) if name in runs else "")
        rows.append(row)
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def write_numbers(path: Path, results: Mapping[str, tuple[Measure, Runs]]) -> None:
    """Write every figure of every run."""
    content = {
        name: {"title": measure.title, "unit": measure.unit, "runs": dict(runs)}
        for name, (measure, runs) in results.items()
    }
    path.write_text(json.dumps(content, indent=1) + "\n")


def draw(path: Path, results: Mapping[str, tuple[Measure, Runs]]) -> None:
    """Draw the measures that have several peers as bars, one panel each."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    panels = [pair for pair in results.values() if len(pair[1]) > 1]
    if not panels:
        return
    figure, axes = plt.subplots(1, len(panels), figsize=(3.4 * len(panels), 3.2), squeeze=False)
    for axis, (measure, runs) in zip(axes[0], panels, strict=True):
        names = list(runs)[::-1]
        middles = [statistics.median(runs[name]) for name in names]
        colours = ["#1f6f8b" if name == Ours.name else "#c9c9c9" for name in names]
        bars = axis.barh(names, middles, color=colours)
        axis.bar_label(bars, [number(middle) for middle in middles], padding=3, fontsize=8)
        which = ", less is better" if measure.smaller_is_better else ""
        axis.set_title(f"{measure.title}\n({measure.unit}{which})", fontsize=9)
        axis.margins(x=0.25)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
