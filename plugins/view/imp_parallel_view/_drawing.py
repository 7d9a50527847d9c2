"""What the progress bar shows, drawn from a model of the run. Pure but for rich's classes."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from imp_parallel_core import printable

from ._model import ContextCounts, RunModel
from ._slaves import Doing
from ._words import counted, duration, most_of, rate, shortened

CONTEXTS = 6
"""How many contexts have a line of their own."""
_NAME_WIDTH = 24
_DETAIL_WIDTH = 60
STYLES = {
    Doing.WORKING: "green",
    Doing.SETTING_UP: "cyan",
    Doing.STARTING: "cyan",
    Doing.QUEUED: "yellow",
    Doing.PAUSED: "yellow",
    Doing.SET_ASIDE: "yellow",
    Doing.SILENT: "yellow",
    Doing.LOST: "bold red",
}
_WITH_DETAIL = (Doing.QUEUED, Doing.PAUSED, Doing.LOST, Doing.SILENT)


class Bar:
    """A bar of tasks: those that are done, those that failed, those that are left.

    Args:
        counts: what to draw.
    """

    def __init__(self, counts: ContextCounts) -> None:
        self.counts = counts

    def lengths(self, width: int) -> tuple[int, int, int]:
        """Return how many columns are done, failed or dropped; the rest is left."""
        total = max(self.counts.ended + self.counts.left, 1)
        ended = width * self.counts.ended // total
        failed = -(-width * self.counts.failed // total)  # a single failure is seen
        dropped = width * self.counts.cancelled // total
        failed = min(failed, ended)
        dropped = min(dropped, ended - failed)
        return ended - failed - dropped, failed, dropped

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        done, failed, dropped = self.lengths(width)
        full, empty = ("#", "-") if options.ascii_only else ("━", "─")
        yield Segment(full * done, Style(color="green"))
        yield Segment(full * failed, Style(color="red"))
        yield Segment(full * dropped, Style(color="bright_black"))
        yield Segment(empty * (width - done - failed - dropped), Style(color="bright_black"))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(8, 60)


def block(model: RunModel, now: float) -> Table:
    """Return the whole block: a line for each context, one for the tasks, one for the slaves.

    Args:
        model: of the run.
        now: the time, in the events' seconds.
    """
    table = Table.grid(padding=(0, 2), expand=False)
    # without no_wrap, which their texts have, so that both give way on a narrow terminal
    table.add_column(max_width=_NAME_WIDTH, style="bold", overflow="ellipsis")
    table.add_column(overflow="ellipsis")
    shown, folded = shown_contexts(model)
    for counts in shown:
        label = Text(shortened(printable(counts.name), _NAME_WIDTH))
        label.no_wrap, label.overflow = True, "ellipsis"
        table.add_row(label, _bar_line(counts))
    if folded:
        table.add_row(Text(f"{folded} more" if shown else "tasks"), Text("contexts", "dim"))
    for name, line in (("tasks", tasks_line(model, now)), ("slaves", slaves_line(model))):
        line.no_wrap = True
        table.add_row(Text(name, "dim"), line)
    return table


def shown_contexts(model: RunModel) -> tuple[list[ContextCounts], int]:
    """Return the contexts that have lines of their own, and how many others there are."""
    used = [each for each in model.contexts.values() if each.added]
    if len(used) <= CONTEXTS:
        return used, 0
    open_ones = [each for each in used if each.is_open and each.left]
    shown = (open_ones or used)[-CONTEXTS:]
    return shown, len(used) - len(shown)


def _bar_line(counts: ContextCounts) -> Table:
    line = Table.grid(padding=(0, 1))
    line.add_column(ratio=1, min_width=8)
    line.add_column(no_wrap=True, justify="right")
    line.add_column(no_wrap=True, justify="right")
    total = counts.ended + counts.left
    percent = 100 * counts.ended // total if total else 0
    line.add_row(Bar(counts), Text(f"{counts.ended:,} of {total:,}"), Text(f"{percent:3d} %"))
    return line


def tasks_line(model: RunModel, now: float) -> Text:
    """Return the counts of all tasks, with the rate and the time that is left."""
    total, running = model.total(), model.running
    parts = [Text(f"{total.done:,} done", "green")]
    if total.failed:
        parts.append(Text(f"{total.failed:,} failed", "bold red"))
    if total.cancelled:
        parts.append(Text(f"{total.cancelled:,} dropped", "dim"))
    if running:
        parts.append(Text(f"{running:,} running"))
    if waiting := max(total.left - running, 0):
        words = "waiting" if model.ended_at is None else "without an outcome"
        parts.append(Text(f"{waiting:,} {words}", "dim"))
    per_s, left_s = model.rate_per_s(now), model.left_s(now)
    if per_s is not None:
        parts.append(Text(rate(per_s), "dim"))
    if left_s is not None:
        parts.append(Text(f"{duration(left_s)} left"))
    if model.missed:
        parts.append(Text("(counted roughly: events were missed)", "yellow"))
    return Text(", ").join(parts)


def slaves_line(model: RunModel) -> Text:
    """Return how many slaves are at what, with the reasons of those that wait."""
    parts = list(_slave_parts(model))
    return Text(", ").join(parts) if parts else Text("none yet", "dim")


def _slave_parts(model: RunModel) -> Iterator[Text]:
    for doing, count in model.slave_counts().items():
        text = f"{count:,} {doing.value}"
        if doing in _WITH_DETAIL and (details := model.details(doing)):
            text += f" ({_short(printable(most_of(details)))})"
        yield Text(text, STYLES.get(doing, "dim"))


def last_line(model: RunModel) -> str:
    """Return what is said of the run when it has ended, in one line."""
    total = model.total()
    parts = [f"{total.done:,} done"]
    if total.failed:
        parts.append(f"{total.failed:,} failed")
    if without := model.without_outcome():
        parts.append(f"{without:,} without an outcome")
    tasks = counted(sum(each.added for each in model.contexts.values()), "task")
    took = ""
    if model.began_at is not None:
        took = f" in {duration((model.ended_at or model.last_at) - model.began_at)}"
    slaves = counted(len(model.slaves), "slave")
    lost = model.slave_counts().get(Doing.LOST, 0)
    return f"{tasks}{took}: {', '.join(parts)}; {slaves}{f', {lost:,} lost' if lost else ''}"


def _short(text: str) -> str:
    return text if len(text) <= _DETAIL_WIDTH else f"{text[: _DETAIL_WIDTH - 1]}…"
