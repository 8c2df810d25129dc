"""Public ONNX files with real samples: our smallest variant that still agrees, beside onnxruntime's quantizers."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.models.chosen import add_choice, chosen
from benchmarks.models.sizes import SizeRow, compared
from benchmarks.result import Bar, Result, at_least, at_most

SEARCH_S = 120.0
MOST_RATIO, SMALL_RATIO, LEAST_SHARE = 1.0, 0.7, 0.5


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    add_choice(parser)
    parser.add_argument("--budget", type=float, default=SEARCH_S, metavar="SECONDS", help="of a search")


def run(options: argparse.Namespace) -> Result:
    """Every model in turn."""
    found = chosen(options)
    with tempfile.TemporaryDirectory(prefix="edgefleet-sizes-") as temporary:
        scratch = options.keep.absolute() if options.keep else Path(temporary)
        rows = compared(found.models, found.shelf, found.folders, scratch, options.budget, Console())
    return Result(rows=[one for row in rows for one in row.rows()], bars=_bars(rows))


def _bars(rows: Sequence[SizeRow]) -> list[Bar]:
    ratios = [row.ratio for row in rows if row.ratio is not None]
    small = sum(ratio <= SMALL_RATIO for ratio in ratios) / len(ratios) if ratios else None
    return [
        at_most("ours to the better quantizer's, the largest", MOST_RATIO, max(ratios, default=None)),
        at_least(f"share of files at {SMALL_RATIO:g} of it or less", LEAST_SHARE, small),
    ]
