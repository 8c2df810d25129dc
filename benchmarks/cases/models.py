"""Public ONNX files of every task, as they are: through the loop, beside onnxruntime's quantizers, and detectors.

`--part loop` takes each file through register, compress, rollout, self-test, requests by Triton's client, feedback and
rollback; a row says where it stopped and why. `sizes` compares our smallest variant that still agrees with those of
onnxruntime, `detectors` looks at boxes and latency. Packages and samples are kept in `--state`.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from rich.console import Console

from benchmarks.models.catalogue import CATALOGUE
from benchmarks.models.detectors import DetectorRow, detected
from benchmarks.models.loop import DEVICE, LoopPlace, through
from benchmarks.models.loop_row import LoopRow
from benchmarks.models.packages import Shelf
from benchmarks.models.public_model import PublicModel
from benchmarks.models.sizes import SizeRow, compared
from benchmarks.processes import Agent, Controller
from benchmarks.result import Bar, Result, at_least, at_most
from edgefleet_compression.measuring.host import host

PARTS = ("loop", "sizes", "detectors")
STATE = Path.home() / ".cache" / "edgefleet" / "public-models"
BUILD_S, SEARCH_S = 240.0, 120.0
LEAST_FILES, LEAST_TASKS, LEAST_WHOLE = 20, 6, 18
MOST_RATIO, SMALL_RATIO, LEAST_SHARE = 1.0, 0.7, 0.5
LEAST_POINTS, MOST_LATENCY = 99.0, 0.7
BOARDS = {"x86-vnni": "x86-vnni", "x86-avx2": "x86-avx2", "arm-dotprod": "rpi5", "arm-neon": "rpi4"}
"""By instruction set, a board of the catalogue for which this machine measures what it builds."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part; may be repeated")
    parser.add_argument("--only", metavar="NAME", action="append", help="only this model; may be repeated")
    parser.add_argument("--build-seconds", type=float, default=BUILD_S, help="of a build in the loop, at most")
    parser.add_argument(
        "--recipe", metavar="NAME", action="append", help="only this recipe in the loop; may be repeated"
    )
    parser.add_argument("--budget", type=float, default=SEARCH_S, metavar="SECONDS", help="of a search for sizes")
    parser.add_argument("--state", type=Path, default=STATE, help="where packages and samples are kept")
    parser.add_argument("--keep", type=Path, help="a folder for state and logs of controller and agent that stays")


def run(options: argparse.Namespace) -> Result:
    """The parts in turn."""
    models, result, console = _chosen(options.only), Result(), Console()
    parts = options.part or PARTS
    shelf = Shelf(options.state.absolute() / "packages")
    folders = options.state.absolute() / "folders"
    if "loop" in parts:
        _loop(models, shelf, folders, options, result, console)
    with tempfile.TemporaryDirectory(prefix="edgefleet-models-") as temporary:
        scratch = options.keep.absolute() if options.keep else Path(temporary)
        if "sizes" in parts:
            sized = compared(models, shelf, folders, scratch / "sizes", options.budget, console)
            result.rows += [one for row in sized for one in row.rows()]
            result.bars += _size_bars(sized)
        if "detectors" in parts:
            found = detected(models, shelf, folders, scratch / "detectors", result, console)
            result.rows += [one for row in found for one in row.rows()]
            result.bars += _detector_bars(found)
    return result


def _chosen(only: Sequence[str] | None) -> list[PublicModel]:
    if unknown := [name for name in only or () if name not in CATALOGUE]:
        raise SystemExit(f"no public model '{unknown[0]}': there are {', '.join(CATALOGUE)}")
    return [CATALOGUE[name] for name in only or CATALOGUE]


def _loop(
    models: Sequence[PublicModel],
    shelf: Shelf,
    folders: Path,
    options: argparse.Namespace,
    result: Result,
    console: Console,
) -> None:
    with tempfile.TemporaryDirectory(prefix="edgefleet-models-") as temporary:
        folder = options.keep.absolute() if options.keep else Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        profile = f"eu/{BOARDS.get(host().instruction_set, 'x86-avx2')}/ethernet"
        controller = Controller(folder)
        controller.start()
        try:
            agent = Agent(folder, DEVICE, profile, controller.broker_url)
            agent.start()
            try:
                place = LoopPlace(controller, agent, profile, shelf, folders, options.build_seconds, options.recipe)
                rows = through(models, place, console)
            finally:
                agent.stop()
        finally:
            controller.stop()
    result.rows += [one for row in rows for one in row.rows()]
    result.bars += _loop_bars(rows)


def _loop_bars(rows: Sequence[LoopRow]) -> list[Bar]:
    whole = [row for row in rows if row.whole]
    tasks = Counter(row.model.task for row in whole)
    return [
        at_least("loop: public files", LEAST_FILES, len(rows)),
        at_least("loop: whole", LEAST_WHOLE, len(whole)),
        at_least("loop: tasks of those that are whole", LEAST_TASKS, len(tasks)),
    ]


def _size_bars(rows: Sequence[SizeRow]) -> list[Bar]:
    ratios = [row.ratio for row in rows if row.ratio is not None]
    small = sum(ratio <= SMALL_RATIO for ratio in ratios) / len(ratios) if ratios else None
    return [
        at_most("sizes: ours to the better quantizer's, the largest", MOST_RATIO, max(ratios, default=None)),
        at_least(f"sizes: share of files at {SMALL_RATIO:g} of it or less", LEAST_SHARE, small),
    ]


def _detector_bars(rows: Sequence[DetectorRow]) -> list[Bar]:
    best = [row.best for row in rows if row.best]
    fastest = min(best, key=lambda one: median(one.latency.ratios) if one.latency else 1.0, default=None)
    latency = median(fastest.latency.ratios) if fastest and fastest.latency else None
    return [
        at_least("detectors: agreement-mAP on test, points", LEAST_POINTS, fastest.points["test"] if fastest else None),
        at_most("detectors: latency of that variant to fp32", MOST_LATENCY, latency),
    ]
