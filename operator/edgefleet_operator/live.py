"""Progress on a terminal: a line for each build that fits any width, whatever the names are, and is never wrapped."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

from edgefleet_contract.operations import BuildProgress

PERCENT = 5
NAME_SHARE = 0.4
"""Of what bar and figure leave; the rest is for the text."""


@dataclass(frozen=True)
class Columns:
    """How many columns each part of a line takes; a part of none is left out."""

    name: int
    bar: int
    text: int

    @classmethod
    def of(cls, width: int, longest: int) -> "Columns":
        """The layout for a terminal's width and the longest name."""
        bar = 30 if width >= 120 else 12 if width >= 72 else 0
        rest = max(0, width - PERCENT - 2 - (bar + 1 if bar else 0))
        name = min(longest, max(int(rest * NAME_SHARE), min(rest, 8)))
        return cls(name, bar, rest - name)


class Bars:
    """The latest entries, drawn anew for the terminal's size at each look."""

    def __init__(self, entries: Sequence[BuildProgress] = ()) -> None:
        self._entries = entries

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw."""
        yield from bars(self._entries, options.max_width, console.height)


def bars(entries: Sequence[BuildProgress], width: int, height: int) -> Iterator[Text]:
    """A line for each entry; where there are too many for the height, those in progress first, and the rest counted.

    Args:
        entries: the first one is of the whole.
        width: of the terminal, in columns.
        height: of the terminal, in lines.
    """
    shown = _chosen(entries, max(2, height - 2))
    layout = Columns.of(width, max((cell_len(one.recipe) for one in shown), default=0))
    yield from (_line(one, layout) for one in shown)
    if more := len(entries) - len(shown):
        yield _fitted(f"and {more:,} more", width)


def _chosen(entries: Sequence[BuildProgress], room: int) -> list[BuildProgress]:
    if len(entries) <= room:
        return list(entries)
    order = sorted(range(1, len(entries)), key=lambda at: (not 0 < entries[at].fraction < 1, at))
    return [entries[at] for at in sorted([0, *order[: room - 1]])]


def _line(entry: BuildProgress, layout: Columns) -> Text:
    done = round(layout.bar * entry.fraction)
    drawn = [Text.assemble(("━" * done, "green"), ("─" * (layout.bar - done), "dim"))] if layout.bar else []
    parts = [_fitted(entry.recipe, layout.name, pad=True), *drawn, Text(f"{entry.fraction:>4.0%}".replace("%", " %"))]
    line = Text(" ", no_wrap=True, overflow="crop").join([*parts, _fitted(entry.text, layout.text)])
    line.no_wrap, line.overflow = True, "crop"
    return line


def _fitted(text: str, width: int, *, pad: bool = False) -> Text:
    """A text in so many columns, with an ellipsis where it is longer."""
    found = Text(" ".join(text.split()), no_wrap=True)
    found.truncate(width, overflow="ellipsis", pad=pad)
    return found


class LiveBars:
    """Keeps the bars on a terminal up to date; the last ones stay."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=4, vertical_overflow="crop")

    def __enter__(self) -> "LiveBars":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, entries: Sequence[BuildProgress]) -> None:
        """Draw these entries; none leaves the last ones."""
        if entries:
            self._live.update(Bars(entries))
