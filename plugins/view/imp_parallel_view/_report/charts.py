"""The charts that never change, as SVG with the classes of the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from .._slaves import Doing
from .._words import counted, duration
from .history import History
from .statistics import BINS_PER_DECADE, Bin, SlaveTimes

WIDTH = 960
_STEPS = 240
_DIGIT = 7.0  # how wide one is, or a little less
_AT_WORK = (Doing.WORKING, Doing.SETTING_UP, Doing.IDLE, Doing.STARTING, Doing.QUEUED)
OTHERS = "others"
"""The class of what a slave may be at besides."""


def css_class(doing: Doing) -> str:
    """Return the class of the style sheet for what a slave is at."""
    return doing.value.replace(" ", "-") if doing in _AT_WORK else OTHERS


def slaves_over_time(history: History, height: int = 150) -> str:
    """Return how many slaves were at what, over the run's time, as areas one upon the other."""
    span = max(history.ended_at - history.began_at, 1e-9)
    step = span / _STEPS
    layers = {name: [0.0] * _STEPS for name in [*map(css_class, _AT_WORK), OTHERS]}
    for spans in history.spans.values():
        for each in spans:
            if each.doing not in (Doing.LOST, Doing.NOT_NEEDED, Doing.ENDED):
                begin, end = each.begin - history.began_at, each.end - history.began_at
                _spread(layers[css_class(each.doing)], begin, end, step)
    below = [0.0] * _STEPS
    most = max(sum(column) for column in zip(*layers.values(), strict=True))
    highest = most or 1.0
    areas = []
    for name, heights in layers.items():
        above = [low + more for low, more in zip(below, heights, strict=True)]
        if any(heights):
            areas.append(_area(below, above, name, WIDTH / _STEPS, height / highest, height))
        below = above
    label = counted(round(most), "slave")
    return (
        f'<div class="over-time"><span>{label}</span>'
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" preserveAspectRatio="none" '
        f'aria-label="slaves over time, {label} at most">{"".join(areas)}</svg></div>'
    )


def _spread(heights: list[float], begin: float, end: float, step: float) -> None:
    """Add the time from begin to end to the steps that it is in."""
    first, last = int(begin / step), min(int(end / step), len(heights) - 1)
    for index in range(max(first, 0), last + 1):
        covered = min(end, (index + 1) * step) - max(begin, index * step)
        heights[index] += max(covered, 0.0) / step


def _area(
    below: Sequence[float], above: Sequence[float], name: str, wide: float, high: float, height: int
) -> str:
    top = [
        (index * wide + side, value) for index, value in enumerate(above) for side in (0.0, wide)
    ]
    bottom = [
        (index * wide + side, value)
        for index, value in reversed(list(enumerate(below)))
        for side in (wide, 0.0)
    ]
    points = " ".join(f"{x:.1f},{height - value * high:.1f}" for x, value in [*top, *bottom])
    return f'<polygon class="{name}" points="{points}"/>'


def histogram(bins: Sequence[Bin], height: int = 190) -> str:
    """Return how many tasks took how long, as bars over a logarithmic axis."""
    floor = height - 26
    wide = WIDTH / max(len(bins), 12)
    highest = max((each.done + each.failed for each in bins), default=1) or 1
    bars = []
    for index, each in enumerate(bins):
        at = index * wide
        up = float(floor)
        title = f"{duration(each.begin_s)} to {duration(each.end_s)}: {each.done:,} done"
        if each.failed:
            title += f", {each.failed:,} failed"
        parts = []
        for name, count in (("working", each.done), ("failed", each.failed)):
            if count:
                high = max((floor - 18) * count / highest, 1.5)
                up -= high
                parts.append(
                    f'<rect class="{name}" x="{at + 1:.1f}" y="{up:.1f}" '
                    f'width="{wide - 2:.1f}" height="{high:.1f}" rx="2"/>'
                )
        count = each.done + each.failed
        if count and (len(bins) <= 32 or count == highest):
            parts.append(
                f'<text x="{_middle(at + wide / 2, f"{count:,}"):.1f}" y="{up - 5:.1f}" '
                f'text-anchor="middle">{count:,}</text>'
            )
        bars.append(f"<g><title>{escape(title)}</title>{''.join(parts)}</g>")
    marks = [
        f'<text class="axis" x="{index * wide:.1f}" y="{height - 6}">'
        f"{duration(float(f'{each.begin_s:.1g}'))}</text>"
        for index, each in enumerate(bins)
        if _is_marked(each.begin_s, len(bins))
    ]
    line = f'<line x1="0" x2="{WIDTH}" y1="{floor}" y2="{floor}"/>'
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="how long tasks took">'
        f"{''.join(bars)}{line}{''.join(marks)}</svg>"
    )


def _middle(at: float, label: str) -> float:
    """Return where the middle of a label is, of which nothing may be cut off."""
    half = len(label) * _DIGIT / 2
    return min(max(at, half), WIDTH - half)


def _is_marked(seconds: float, bins: int) -> bool:
    """Return whether an edge of the histogram has its duration written below: 1, 2, 5, 10 …."""
    place = round(math.log10(seconds) * BINS_PER_DECADE) % BINS_PER_DECADE
    return place in ((0, 3, 7) if bins <= 4 * BINS_PER_DECADE else (0,))


def shares(times: Sequence[SlaveTimes]) -> tuple[str, dict[str, float]]:
    """Return a bar of where the slaves' time went, and the seconds of each of its parts."""
    seconds = dict.fromkeys([*map(css_class, _AT_WORK), OTHERS], 0.0)
    for each in times:
        for doing, spent in each.by_doing.items():
            if doing not in (Doing.LOST, Doing.NOT_NEEDED, Doing.ENDED):
                seconds[css_class(doing)] += spent
    total = sum(seconds.values()) or 1.0
    parts = [
        f'<span class="{name}" style="width:{100 * spent / total:.3f}%" '
        f'title="{name.replace("-", " ")}: {duration(spent)}"></span>'
        for name, spent in seconds.items()
        if spent
    ]
    return f'<div class="shares">{"".join(parts)}</div>', seconds
