"""Progress fits a terminal of any size, one line a build, whatever the names are."""

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from edgefleet_contract.operations import BuildProgress
from edgefleet_operator.live import LiveBars, bars

LONG = "prune50-lowrank25-finetune-qat-int8-per-channel-storage4-zstd"
TEXT = "training step 3,000 of 12,000, epoch 7 of 20; 12 points, 3 rejected; at most 7 min left [red]x[/red]"
ENTRIES = [
    BuildProgress(recipe="search", fraction=0.37, text=TEXT),
    BuildProgress(recipe=LONG, fraction=0.2, text=TEXT),
    BuildProgress(recipe="模型压缩" * 8, fraction=1.0, text="学习 3 步 " * 9),
    BuildProgress(recipe="fp32", fraction=0.0, text="waiting\nfor a worker"),
]


def entries(count: int, running: set[int]) -> list[BuildProgress]:
    made = [BuildProgress(recipe=f"r{n}", fraction=0.5 if n in running else 1.0, text="") for n in range(1, count)]
    return [BuildProgress(recipe="all", fraction=0.9, text="59 of 60"), *made]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 200, 300])
def test_a_line_for_each_entry_fits_and_shows_its_name_and_how_far_it_is(width: int) -> None:
    lines = [line.plain for line in bars(ENTRIES, width, 24)]
    assert len(lines) == len(ENTRIES)
    assert all(cell_len(line) <= width and "\n" not in line for line in lines)
    for line, entry in zip(lines, ENTRIES, strict=True):
        assert line.startswith(entry.recipe[:3])
        assert f"{entry.fraction:.0%}".replace("%", " %") in line


def test_a_wide_terminal_cuts_nothing() -> None:
    first, second, *_ = (line.plain for line in bars(ENTRIES, 300, 24))
    assert TEXT in first and "━" * 11 + "─" * 19 in first
    assert LONG in second and TEXT in second


def test_what_does_not_fit_the_height_is_counted_and_what_runs_is_shown() -> None:
    lines = [line.plain for line in bars(entries(60, {40, 50}), 80, 10)]
    assert len(lines) == 9
    assert lines[0].startswith("all") and lines[-1] == "and 52 more"
    assert [line.split()[0] for line in lines[1:-1]] == ["r1", "r2", "r3", "r4", "r5", "r40", "r50"]


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_a_live_display_overwrites_its_own_lines_and_nothing_else(width: int) -> None:
    out = io.StringIO()
    console = Console(file=out, width=width, height=20, force_terminal=True, color_system=None, legacy_windows=False)
    with LiveBars(console) as live:
        for step in range(1, 6):
            live.show([one.model_copy(update={"fraction": step / 5}) for one in ENTRIES])
            live._live.refresh()
        live.show([])
    screen = on_screen(out.getvalue(), width)
    assert len(screen) == len(ENTRIES), screen
    assert all("100 %" in line for line in screen)


def on_screen(written: str, width: int) -> list[str]:
    """What a terminal shows of lines, cursor movements and erasures; a line too long would wrap."""
    lines, row = [""], 0
    for piece in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written):
        if piece == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif piece == "\x1b[1A":
            row -= 1
        elif piece == "\x1b[2K":
            lines[row] = ""
        elif piece[0] not in "\x1b\r":
            assert cell_len(piece) <= width, "the terminal would wrap it"
            lines[row] = piece.rstrip()
    return [line for line in lines if line]
