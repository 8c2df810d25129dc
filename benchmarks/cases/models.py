"""Public ONNX files of every task, as they are, through the whole loop.

Each file is registered, compressed, rolled out to a real agent, tested there, asked by Triton's client, given feedback
and rolled back; a row says where it stopped and why.
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from benchmarks.models.chosen import add_choice, chosen
from benchmarks.models.loop import DEVICE, LoopPlace, through
from benchmarks.models.loop_row import LoopRow
from benchmarks.processes import Agent, Controller
from benchmarks.result import Bar, Result, at_least
from edgefleet_compression.measuring.host import host

BUILD_S = 240.0
LEAST_FILES, LEAST_TASKS, LEAST_WHOLE = 20, 6, 18
BOARDS = {"x86-vnni": "x86-vnni", "x86-avx2": "x86-avx2", "arm-dotprod": "rpi5", "arm-neon": "rpi4"}
"""By instruction set, a board of the catalogue for which this machine measures what it builds."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    add_choice(parser)
    parser.add_argument("--build-seconds", type=float, default=BUILD_S, help="of a build, at most")
    parser.add_argument("--recipe", metavar="NAME", action="append", help="only this recipe; may be repeated")


def run(options: argparse.Namespace) -> Result:
    """Every model in turn."""
    found = chosen(options)
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
                place = LoopPlace(
                    controller, agent, profile, found.shelf, found.folders, options.build_seconds, options.recipe
                )
                rows = through(found.models, place, Console())
            finally:
                agent.stop()
        finally:
            controller.stop()
    return Result(rows=[one for row in rows for one in row.rows()], bars=_bars(rows))


def _bars(rows: Sequence[LoopRow]) -> list[Bar]:
    whole = [row for row in rows if row.whole]
    tasks = Counter(row.model.task for row in whole)
    return [
        at_least("public files", LEAST_FILES, len(rows)),
        at_least("whole", LEAST_WHOLE, len(whole)),
        at_least("tasks of those that are whole", LEAST_TASKS, len(tasks)),
    ]
