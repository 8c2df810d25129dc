"""Our smallest variant that answers as the file does, beside onnxruntime's quantizers; all as `zstd -19` packs them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from benchmarks.models.errors import NotFetched
from benchmarks.models.model_folder import folder_of
from benchmarks.models.packages import Shelf
from benchmarks.models.public_model import PublicModel
from benchmarks.models.size_files import QUANTIZERS, FileFigures, JudgeRequest, QuantizeRequest, judge, quantize
from benchmarks.peers.figures import plain_bytes
from benchmarks.result import Row
from edgefleet_compression.builds.messages import ModelFiles, WorkRefused
from edgefleet_compression.builds.worker_pool import WorkerPool
from edgefleet_compression.measuring.host import host
from edgefleet_compression.search.points import Point
from edgefleet_compression.search.search import search_folder
from edgefleet_compression.search.targets import SearchTarget
from edgefleet_contract.card import load_card

LEAST_AGREEMENT = 0.99
"""On val and on test, with the brought file."""
MOST_JUDGED = 6
"""Of our variants, the smallest first, until one holds on test too."""


@dataclass(frozen=True)
class SizedFile:
    """A file of one side, or why there is none."""

    name: str
    figures: FileFigures | None = None
    reason: str = ""

    def counted_bytes(self, fp32: int) -> int:
        """Its bytes, or those of the fp32 file where it refuses or answers otherwise."""
        holds = self.figures is not None and self.figures.agreement >= LEAST_AGREEMENT
        return self.figures.zstd_bytes if self.figures and holds else fp32

    def __str__(self) -> str:
        if self.figures is None:
            return "refused"
        return f"{self.figures.zstd_bytes:,} ({self.figures.agreement:.3f})"


@dataclass
class SizeRow:
    """One model: the fp32 file, both quantizers' and ours; `void` says why the agreement proves nothing, if so."""

    model: PublicModel
    fp32_bytes: int = 0
    peers: list[SizedFile] = field(default_factory=list)
    ours: SizedFile = field(default_factory=lambda: SizedFile("none"))
    void: str = ""
    seconds: float = 0.0

    @property
    def ratio(self) -> float | None:
        """Ours to the better of the quantizers', each at most as large as the fp32 file."""
        if self.void or not self.fp32_bytes:
            return None
        better = min([self.fp32_bytes, *(peer.counted_bytes(self.fp32_bytes) for peer in self.peers)])
        return min(self.fp32_bytes, self.ours.counted_bytes(self.fp32_bytes)) / better

    def rows(self) -> list[Row]:
        """The row of the table, and one more for each reason."""
        found: Row = {"model": self.model.name, "task": self.model.task, "fp32": f"{self.fp32_bytes:,}"}
        found |= {peer.name: str(peer) for peer in self.peers}
        found |= {"ours": str(self.ours), "by": self.ours.name, "ratio": self.ratio, "s": round(self.seconds)}
        told = [(peer.name, peer.reason) for peer in (*self.peers, self.ours) if peer.reason]
        told += [("row", self.void)] if self.void else []
        return [found, *({"not compared": self.model.name, "file": name, "reason": why} for name, why in told)]


def compared(
    models: Sequence[PublicModel], shelf: Shelf, folders: Path, scratch: Path, budget_s: float, console: Console
) -> list[SizeRow]:
    """Those with real samples, each side in turn.

    Args:
        models: what to compare.
        shelf: the packages.
        folders: where folders of models are kept.
        scratch: for what is made.
        budget_s: of the search for our variants.
        console: hears of each row.
    """
    rows = []
    with WorkerPool(1) as workers:
        for model in models:
            if model.samples != "real":
                continue
            row, began = SizeRow(model), time.monotonic()
            try:
                _compare(row, shelf, folders, scratch / model.name, budget_s, workers)
            except NotFetched as error:
                row.void = str(error)
            except Exception as error:  # the other rows go on
                row.void = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            row.seconds = time.monotonic() - began
            console.print(f"  {model.name}, {row.seconds:.0f} s: {_line(row)}", highlight=False)
            rows.append(row)
    return rows


def _line(row: SizeRow) -> str:
    peers = ", ".join(f"{peer.name} {peer}" for peer in row.peers)
    return row.void or f"fp32 {row.fp32_bytes:,}, {peers}, ours {row.ours} by {row.ours.name}: {row.ratio:.2f}"


def _compare(row: SizeRow, shelf: Shelf, folders: Path, scratch: Path, budget_s: float, workers: WorkerPool) -> None:
    made = folder_of(row.model, shelf, folders)
    scratch.mkdir(parents=True, exist_ok=True)
    row.fp32_bytes = plain_bytes(made.onnx)
    files: ModelFiles = {"model.toml": made.path / "model.toml"}
    files = {**files, **{name: made.path / name for name in load_card(made.path).files}}
    cache = scratch / "cache"
    itself = workers.submit(judge, JudgeRequest(files, cache, made.onnx)).result()
    if isinstance(itself, WorkRefused):
        row.void = itself.sentence
        return
    if itself.alike >= LEAST_AGREEMENT:
        row.void = f"every sample has the same answer ({itself.alike:.3f}): agreement tells nothing"
        return
    for quantizer in QUANTIZERS:
        target = scratch / f"{quantizer}.onnx"
        given = workers.submit(quantize, QuantizeRequest(files, made.onnx, cache, target, quantizer)).result()
        row.peers.append(_sized(quantizer, given, files, cache, workers))
    found = search_folder(
        made.path, scratch, targets=(SearchTarget(host().instruction_set),), budget_s=budget_s, workers=1
    )
    row.ours = _smallest(found.points, files, cache, workers)


def _sized(name: str, given: Path | WorkRefused, files: ModelFiles, cache: Path, workers: WorkerPool) -> SizedFile:
    if isinstance(given, WorkRefused):
        return SizedFile(name, reason=given.sentence)
    found = workers.submit(judge, JudgeRequest(files, cache, given)).result()
    if isinstance(found, WorkRefused):
        return SizedFile(name, reason=f"its file does not run: {found.sentence}".replace(f"{given.parent}/", ""))
    return SizedFile(name, found)


def _smallest(points: Sequence[Point], files: ModelFiles, cache: Path, workers: WorkerPool) -> SizedFile:
    """Of the variants that hold on val, the smallest that holds on test as well; else the nearest."""
    holding = [p for p in points if p.built and p.metrics and (p.metrics.agreement_val or 0) >= LEAST_AGREEMENT]
    holding.sort(key=lambda p: p.metrics.encoding_bytes or 0 if p.metrics else 0)
    near = SizedFile("none", reason=_why_none(points))
    for point in holding[:MOST_JUDGED]:
        assert point.built is not None  # by the list above
        near = _sized(point.recipe.name, point.built.onnx_path, files, cache, workers)
        if near.figures and near.figures.agreement >= LEAST_AGREEMENT:
            return near
    return near


def _why_none(points: Sequence[Point]) -> str:
    if any(point.built for point in points):
        best = max((p.metrics.agreement_val or 0 for p in points if p.metrics), default=0)
        return f"no variant of {len(points)} agrees by {LEAST_AGREEMENT:g} on val, the nearest by {best:.3f}"
    return points[0].rejected or "nothing was built" if points else "nothing was tried"
