"""Public detectors in 8 bits: their boxes beside those of the brought file, and how fast they are."""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rich.console import Console

from benchmarks.models.chosen import add_choice, chosen
from benchmarks.models.detectors import LEAST_POINTS, DetectorRow, detected
from benchmarks.result import Bar, Result, at_least, at_most

MOST_LATENCY = 0.7


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    add_choice(parser)


def run(options: argparse.Namespace) -> Result:
    """Every detector in turn."""
    found, result = chosen(options), Result()
    with tempfile.TemporaryDirectory(prefix="edgefleet-detectors-") as temporary:
        scratch = options.keep.absolute() if options.keep else Path(temporary)
        rows = detected(found.models, found.shelf, found.folders, scratch, result, Console())
    result.rows += [one for row in rows for one in row.rows()]
    result.bars += _bars(rows)
    return result


def _bars(rows: Sequence[DetectorRow]) -> list[Bar]:
    best = [row.best for row in rows if row.best]
    fastest = min(best, key=lambda one: median(one.latency.ratios) if one.latency else 1.0, default=None)
    latency = median(fastest.latency.ratios) if fastest and fastest.latency else None
    return [
        at_least("agreement-mAP on test, points", LEAST_POINTS, fastest.points["test"].value if fastest else None),
        at_most("latency of that variant to fp32", MOST_LATENCY, latency),
    ]
