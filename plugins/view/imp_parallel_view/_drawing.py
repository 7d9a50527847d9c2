"""What the progress bar shows, drawn from a model of the run. Pure but for rich's classes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from imp_parallel_core import printable

from ._model import ContextCounts, RunModel
from ._slaves import Doing
from ._words import counted, duration, most_of, rate, shortened

CONTEXTS = 6
"""How many contexts have a line of their own."""
_NAME_WIDTH = 24
_BAR_WIDTHS = 8, 60  # at least, unless the terminal is narrower, and at most
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
        return Measurement(*_BAR_WIDTHS)


class BarLine:
    """The bar of a context, its counts and how many per cent these are.

    Args:
        counts: what to draw.
    """

    def __init__(self, counts: ContextCounts) -> None:
        total = counts.ended + counts.left
        percent = 100 * counts.ended // total if total else 0
        self.bar = Bar(counts)
        self.text = Text(f" {counts.ended:,} of {total:,} {percent:3d} %")

    @property
    def least_width(self) -> int:
        """How wide it is with the shortest bar."""
        return _BAR_WIDTHS[0] + self.text.cell_len

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width - self.text.cell_len, _BAR_WIDTHS[1])
        if width > 0:
            yield from self.bar.__rich_console__(console, options.update(width=width))
        yield from _cut(console, self.text, options.max_width)


class Block:
    """Lines with a label each, which are no wider than the terminal.

    rich's tables can do the same, but take six times as long, and a block is drawn while tasks want
    the processors.

    Args:
        lines: the label of each line, and what it labels.
    """

    def __init__(self, lines: Sequence[tuple[Text, BarLine | Text]]) -> None:
        self.lines = lines

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        bars = [line.least_width for _, line in self.lines if isinstance(line, BarLine)]
        room = max(bars, default=width // 2)
        # both give way on a narrow terminal
        label_width = min(
            max(label.cell_len for label, _ in self.lines), max(width - 2 - room, width // 3)
        )
        rest = options.update(width=max(width - label_width - 2, 0))
        for label, line in self.lines:
            yield from _cut(console, label, label_width, pad=True)
            yield Segment("  "[: width - label_width])
            if isinstance(line, Text):
                yield from _cut(console, line, rest.max_width)
            else:
                yield from line.__rich_console__(console, rest)
            yield Segment.line()


def _cut(console: Console, text: Text, width: int, *, pad: bool = False) -> Iterable[Segment]:
    """Return the segments of a text, cut to a width."""
    cut = text.copy()
    cut.truncate(width, overflow="ellipsis", pad=pad)
    # render leaves the style of the whole text out, if no part has one of its own
    return Segment.apply_style(cut.render(console), console.get_style(cut.style))


def block(model: RunModel, now: float) -> Block:
    """Return the whole block: a line for each context, one for the tasks, one for the slaves.

    Args:
        model: of the run.
        now: the time, in the events' seconds.
    """
    shown, folded = shown_contexts(model)
    lines: list[tuple[Text, BarLine | Text]] = [
        (Text(shortened(printable(counts.name), _NAME_WIDTH), "bold"), BarLine(counts))
        for counts in shown
    ]
    if folded:
        label = f"{folded} more" if shown else "tasks"
        lines.append((Text(label, "bold"), Text("contexts", "dim")))
    for name, line in (("tasks", tasks_line(model, now)), ("slaves", slaves_line(model))):
        lines.append((Text(name, "bold dim"), line))
    return Block(lines)


def shown_contexts(model: RunModel) -> tuple[list[ContextCounts], int]:
    """Return the contexts that have lines of their own, and how many others there are."""
    used = [each for each in model.contexts.values() if each.added]
    if len(used) <= CONTEXTS:
        return used, 0
    open_ones = [each for each in used if each.is_open and each.left]
    shown = (open_ones or used)[-CONTEXTS:]
    return shown, len(used) - len(shown)


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
