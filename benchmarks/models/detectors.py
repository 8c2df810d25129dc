"""Detectors in 8 bits, whole or with their worst layers in float: agreement-mAP and latency beside the file itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console

from benchmarks.latency import latency_to
from benchmarks.models.errors import NotFetched
from benchmarks.models.model_folder import ModelFolder, folder_of
from benchmarks.models.packages import Shelf
from benchmarks.models.public_model import MadeSplit, PublicModel
from benchmarks.models.samples_file import rows_of
from benchmarks.result import Result, Row
from benchmarks.timing import Comparison, spread
from edgefleet_compression.builds.entry_points import build_variant
from edgefleet_compression.builds.messages import BuildRequest, ModelFiles, WorkRefused
from edgefleet_compression.builds.worker_pool import WorkerPool
from edgefleet_compression.cache import Cache
from edgefleet_compression.measuring.host import host
from edgefleet_compression.models.source import Source
from edgefleet_compression.models.source_files import open_source
from edgefleet_compression.onnx_graphs.session import Answered, GraphSession
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_compression.search_roles import StepSpec
from edgefleet_contract.card import load_card
from edgefleet_protocol.intervals import Interval
from edgefleet_tasks.boxes import read_boxes
from edgefleet_tasks.intervals import Z_95

LEAST_POINTS = 99.0
SPLITS: tuple[MadeSplit, ...] = ("val", "test")
MOST_BOXES = 200
ROUNDS, CALLS = 24, 12
EXPORT = StepSpec(step="export")
RECIPES: dict[str, tuple[StepSpec, ...]] = {
    "int8": (EXPORT, StepSpec(step="static_int8")),
    "mixed-2": (EXPORT, StepSpec(step="accuracy_int8", config={"max_drop": 0.02})),
    "mixed-1": (EXPORT, StepSpec(step="accuracy_int8", config={"max_drop": 0.01})),
    "mixed-half": (EXPORT, StepSpec(step="accuracy_int8", config={"max_drop": 0.005})),
}
"""By how many points of agreement on val at most the mixed ones may differ."""


@dataclass
class DetectorFile:
    """One variant: its agreement-mAP in points, by split, and its latency to the file's."""

    name: str
    path: Path | None = None
    points: dict[MadeSplit, Interval] = field(default_factory=dict)
    latency: Comparison | None = None
    reason: str = ""


@dataclass
class DetectorRow:
    """A detector with its variants."""

    model: PublicModel
    files: list[DetectorFile] = field(default_factory=list)

    @property
    def best(self) -> DetectorFile | None:
        """The fastest whose boxes are within a point on val, with one standard error to spare: of several the luckiest
        would be taken. What it does on test is what is reported.
        """
        near = [one for one in self.files if one.latency and _surely(one.points["val"]) >= LEAST_POINTS]
        return min(near, key=lambda one: median(one.latency.ratios) if one.latency else 1.0, default=None)

    def rows(self) -> list[Row]:
        """A row for each variant."""
        return [
            {
                "detector": self.model.name,
                "variant": one.name,
                **{f"mAP on {split}": _told(one.points.get(split)) for split in SPLITS},
                "latency": spread(one.latency.ratios) if one.latency else None,
                "A/A": one.latency.aa if one.latency else None,
                "reason": one.reason,
                "repeats": one.latency.ratios if one.latency else [],
            }
            for one in self.files
        ]


def detected(
    models: Sequence[PublicModel], shelf: Shelf, folders: Path, scratch: Path, result: Result, console: Console
) -> list[DetectorRow]:
    """Every detector of the list: all its variants first, and then their latency when nothing else runs."""
    rows = []
    for model in models:
        if model.task != "detection":
            continue
        row = DetectorRow(model)
        try:
            made = folder_of(model, shelf, folders)
            _build(row, made, scratch / model.name)
            _time(row, made, result)
        except (NotFetched, ValueError, OSError) as error:
            row.files.append(DetectorFile("none", reason=" ".join(str(error).split())[:300]))
        console.print(f"  {model.name}: {row.best.name if row.best else 'none within a point'}", highlight=False)
        rows.append(row)
    return rows


def _build(row: DetectorRow, made: ModelFolder, scratch: Path) -> None:
    scratch.mkdir(parents=True, exist_ok=True)
    names = ("model.toml", *load_card(made.path).files)
    files: ModelFiles = {name: made.path / name for name in names}
    source = open_source(files, Cache(scratch / "cache"))
    with WorkerPool(1) as workers:
        for name, steps in RECIPES.items():
            recipe = Recipe(name=name, title=name, steps=steps)
            asked = BuildRequest(files, recipe, host().instruction_set, scratch / "cache", scratch / name)
            built = workers.submit(build_variant, asked).result()
            if isinstance(built, WorkRefused):
                row.files.append(DetectorFile(name, reason=built.sentence))
                continue
            one = DetectorFile(name, built.onnx_path)
            for split in SPLITS:
                one.points[split] = agreement_map(source, split, built.onnx_path)
            row.files.append(one)


def agreement_map(source: Source, split: MadeSplit, path: Path) -> Interval:
    """The mAP at IoU 0.5 of a file's boxes in points, where the boxes of the source that count are what is true."""
    judge = source.judge
    truth = _counted(source.answered(split), source)
    answers = judge.reduced(GraphSession(path).answered(source.asked(split)))
    labels = [judge.task.label(boxes, judge.spec) for boxes in truth]
    found = judge.task.headline(answers, labels, judge.spec)
    return Interval(100 * found.value, 100 * found.low, 100 * found.high)


def _surely(points: Interval) -> float:
    return points.value - (points.value - points.low) / Z_95


def _told(points: Interval | None) -> str:
    return f"{points.value:.2f} [{points.low:.2f}, {points.high:.2f}]" if points else ""


def _counted(answers: Answered, source: Source) -> list[list[list[float]]]:
    spec, found = source.judge.spec, []
    for outputs in answers:
        boxes = read_boxes(outputs, 0, spec, spec.thresholds[0], MOST_BOXES)
        found.append([[int(c), *corners] for c, corners in zip(boxes.classes, boxes.corners.tolist(), strict=True)])
    return found


def _time(row: DetectorRow, made: ModelFolder, result: Result) -> None:
    [one] = rows_of(made.data, "test", ["images"], 1).inputs["images"]
    for file in row.files:
        if file.path:
            x = np.asarray(one[None], np.float32)
            file.latency = latency_to(file.path, made.onnx, result, x=x, rounds=ROUNDS, calls=CALLS)
