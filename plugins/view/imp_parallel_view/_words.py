"""Numbers as people read them. Pure."""

from __future__ import annotations

from collections.abc import Iterable

_STEPS = ((86400.0, "d", 3600.0, "h"), (3600.0, "h", 60.0, "min"), (60.0, "min", 1.0, "s"))
_SIZES = ("bytes", "kB", "MB", "GB", "TB")
_KB = 1000.0  # as in what the core says of memory


def duration(seconds: float) -> str:
    """Return a duration in one or two units.

    >>> duration(0.00042), duration(0.25), duration(16.2), duration(250.0), duration(100000.0)
    ('420 µs', '250 ms', '16 s', '4 min 10 s', '1 d 4 h')
    """
    seconds = max(seconds, 0.0)
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 9.95:
        return f"{seconds:.2g} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    for large_s, large, small_s, small in _STEPS:
        if round(seconds / small_s) * small_s >= large_s:
            wholes, rest = divmod(round(seconds / small_s), round(large_s / small_s))
            return f"{wholes} {large} {rest} {small}" if rest else f"{wholes} {large}"
    return f"{seconds:.0f} s"


def rate(per_s: float) -> str:
    """Return a rate per second, minute or hour, whichever has a digit before its point.

    >>> rate(1234.5), rate(24.31), rate(0.5), rate(0.002)
    ('1,234/s', '24.3/s', '30/min', '7.2/h')
    """
    for factor, unit in ((1.0, "s"), (60.0, "min"), (3600.0, "h")):
        if per_s * factor >= 0.995 or unit == "h":
            number = per_s * factor
            return f"{number:,.0f}/{unit}" if number >= 99.95 else f"{number:.3g}/{unit}"
    raise AssertionError


def size(count: float) -> str:
    """Return a size in bytes with a unit.

    >>> size(0), size(1536), size(300 * 1000**2)
    ('0 bytes', '1.5 kB', '300 MB')
    """
    power = 0
    while round(count / _KB**power) >= _KB and power < len(_SIZES) - 1:
        power += 1
    number = count / _KB**power
    return (
        f"{number:.0f} {_SIZES[power]}"
        if power == 0 or number >= 9.95
        else (f"{number:.1f} {_SIZES[power]}")
    )


def counted(count: int, one: str, many: str = "") -> str:
    """Return a count with its noun.

    >>> counted(1, "task"), counted(2000, "task")
    ('1 task', '2,000 tasks')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def most_of(texts: Iterable[tuple[str, int]], limit: int = 2) -> str:
    """Return texts that are said of so many each, most first, and how many more there are.

    >>> most_of([("Resources", 88), ("Priority", 2)]), most_of([("Resources", 5)])
    ('88 Resources, 2 Priority', 'Resources')
    """
    all_texts = list(texts)
    if len(all_texts) == 1:
        return all_texts[0][0]
    shown = [f"{count:,} {text}" for text, count in all_texts[:limit]]
    more = sum(count for _, count in all_texts[limit:])
    return ", ".join([*shown, *([f"{more:,} for other reasons"] if more else [])])


def shortened(text: str, width: int) -> str:
    """Return a text of at most so many characters; one that is longer has dots in its middle.

    Names that begin alike, such as those of contexts that differ in a parameter, stay apart so.
    """
    if len(text) <= width:
        return text
    end = (width - 1) // 2
    return f"{text[: width - 1 - end]}…{text[len(text) - end :]}"
