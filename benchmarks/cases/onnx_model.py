"""A network brought as ONNX, EfficientNet-Lite0: int8 that answers as fp32 does, beside NNCF's accuracy control.

Crops of pictures that scikit-image ships, split by picture: some calibrate, some steer, the others are evaluated.
"""

import argparse
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from benchmarks.efficientnet.agreement import MeanShare, by_picture
from benchmarks.efficientnet.stages import MadeFiles, controlled, made
from benchmarks.latency import latency_to
from benchmarks.peers.errors import PeerError
from benchmarks.result import Result, Row, at_least, at_most
from benchmarks.timing import Comparison, spread
from edgefleet_compression.builds.entry_points import build_variant
from edgefleet_compression.builds.messages import BuildOutcome, BuildRequest, WorkRefused
from edgefleet_compression.builds.step_reports import figures_of
from edgefleet_compression.builds.worker_pool import WorkerPool
from edgefleet_compression.measuring.host import host
from edgefleet_compression.models.door.onnx_card import DATA_FILE, ONNX_FILE, card_for_onnx
from edgefleet_compression.onnx_graphs.int8 import quantized_layers
from edgefleet_compression.onnx_graphs.session import GraphSession
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_compression.schemes import NO_SCHEME, scheme_for
from edgefleet_compression.search_roles import StepSpec
from edgefleet_contract.card import CARD_FILE
from edgefleet_protocol.encoding import compress

ASKED = 0.90
"""Of accuracy_int8 and of NNCF alike: so much agreement with fp32, on val."""
PRESET = "mixed"
"""NNCF's more accurate one: asymmetric activations, as ours are."""
MOST_RATIO, LEAST_CROPS = 0.75, 1000
ROUNDS, CALLS = 24, 12
EXPORT = StepSpec(step="export")
STEPS: dict[str, tuple[StepSpec, ...]] = {
    "accuracy_int8": (EXPORT, StepSpec(step="accuracy_int8", config={"max_drop": round(1 - ASKED, 6)})),
    "static_int8": (EXPORT, StepSpec(step="static_int8")),
}
OURS, NNCF = "accuracy_int8", "nncf"


@dataclass
class ComparedFile:
    """An int8 file, or why there is none."""

    name: str
    path: Path | None = None
    reason: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    agrees: NDArray[np.float64] | None = None
    latency: Comparison | None = None


def add_options(parser: argparse.ArgumentParser) -> None:
    """What can be chosen."""
    parser.add_argument("--state", type=Path, default=Path(".bench/onnx_model"), help="where everything made is kept")
    parser.add_argument("--peers", type=Path, default=Path(".bench/peers"), help="where NNCF's environment is kept")


def run(options: argparse.Namespace) -> Result:
    """Make the files, compare answers on the pictures that nothing was chosen by, and time."""
    if scheme_for(host().instruction_set) is None:
        raise SystemExit(f"there is no int8 to compare on this machine: {NO_SCHEME[host().instruction_set]}")
    state, result = options.state.absolute(), Result()
    try:
        of = made(state)
    except PeerError as error:
        raise SystemExit(f"the network cannot be made: {error}") from None
    candidates = [*_ours(of, state), _nncf(of, state, options.peers.absolute())]
    with np.load(of.crops) as splits:
        crops = splits["x_test"]
    wanted = _top1(of.network, crops)
    for candidate in candidates:
        if candidate.path:
            candidate.agrees = (_top1(candidate.path, crops) == wanted).astype(np.float64)
    for candidate in candidates:
        if candidate.path:
            candidate.latency = latency_to(candidate.path, of.network, result, x=crops[:1], rounds=ROUNDS, calls=CALLS)
    report(candidates, of, result)
    return result


# ---- files ---------------------------------------------------------------------------------------------------------


def _ours(of: MadeFiles, state: Path) -> list[ComparedFile]:
    """Through the door that a user takes: a card for the file and its data, and a recipe in a watched worker."""
    card = state / CARD_FILE
    card.write_text(card_for_onnx(of.network, of.crops, name="efficientnet-lite0", version=1))
    files = {CARD_FILE: card, ONNX_FILE: of.network, DATA_FILE: of.crops}
    found = []
    with WorkerPool(1) as workers:
        for name, steps in STEPS.items():
            request = BuildRequest(
                files=files,
                recipe=Recipe(name=name.replace("_", "-"), title=name, steps=steps),
                instruction_set=host().instruction_set,
                cache_dir=state / "cache",
                work_dir=state / name,
            )
            found.append(_built(name, workers.submit(build_variant, request).result()))
    return found


def _built(name: str, built: BuildOutcome | WorkRefused) -> ComparedFile:
    if isinstance(built, WorkRefused):
        return ComparedFile(name, reason=built.sentence)
    last = built.steps[-1]
    notes = {"seconds": figures_of(last).took_s, "agreement on val": built.metrics.agreement_val, "log": last.log}
    return ComparedFile(name, built.onnx_path, notes=notes)


def _nncf(of: MadeFiles, state: Path, peers: Path) -> ComparedFile:
    try:
        path, said = controlled(of, state, peers, round(1 - ASKED, 6), PRESET)
    except PeerError as error:
        return ComparedFile(NNCF, reason=str(error))
    # What it tried last is not always what it gives back.
    notes = {"seconds": said["seconds"], "agreement on val": None, "log": said}
    return ComparedFile(f"{NNCF}", path, notes=notes)


# ---- figures -------------------------------------------------------------------------------------------------------


def _top1(path: Path, x: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.asarray(GraphSession(path).logits(x, batch=1).argmax(1))


def in_float(path: Path) -> tuple[int, int]:
    """How many of a file's layers with weights compute in float, and how many there are."""
    model = onnx.load(path)
    layers = sum(node.op_type in ("Conv", "Gemm", "MatMul") for node in model.graph.node)
    return layers - len(quantized_layers(model)), layers


def report(candidates: list[ComparedFile], of: MadeFiles, result: Result) -> None:
    """Rows and bars."""
    pictures = of.owners["test"]
    shares = {c.name: by_picture(c.agrees, pictures) for c in candidates if c.agrees is not None}
    result.rows += [_row(candidate, shares.get(candidate.name)) for candidate in candidates]
    ours, theirs = (next(c for c in candidates if c.name == name) for name in (OURS, NNCF))
    difference = None
    if ours.agrees is not None and theirs.agrees is not None:
        difference = by_picture(ours.agrees - theirs.agrees, pictures)
        result.rows.append({"ours less nncf's agreement": str(difference), "by picture": difference.by_picture})
    chosen_by = {*of.owners["calib"], *of.owners["val"]}
    result.rows.append({"split": "pictures", "repeats": {s: sorted(set(names)) for s, names in of.owners.items()}})
    result.bars += [
        at_least("int8: agreement with fp32", ASKED, shares[OURS].mean if OURS in shares else None),
        at_least("int8: agreement less that of nncf's accuracy control", 0, difference.mean if difference else None),
        at_most("int8: latency to fp32", MOST_RATIO, statistics.median(ours.latency.ratios) if ours.latency else None),
        at_least("crops evaluated", LEAST_CROPS, len(pictures)),
        at_most("crops evaluated of pictures that calibrated or steered", 0, sum(p in chosen_by for p in pictures)),
    ]


def _row(candidate: ComparedFile, share: MeanShare | None) -> Row:
    row: Row = {"file": candidate.name, "instruction set": host().instruction_set}
    if candidate.path is None or share is None or candidate.latency is None:
        return row | {"reason": candidate.reason or "not measured"}
    floats, layers = in_float(candidate.path)
    return row | {
        "agreement": str(share),
        "on val": candidate.notes["agreement on val"],
        "latency to fp32": spread(candidate.latency.ratios),
        "A/A": candidate.latency.aa,
        "file bytes": candidate.path.stat().st_size,
        "encoding bytes": len(compress(candidate.path.read_bytes())),
        "layers in float": f"{floats} of {layers}",
        "seconds": candidate.notes["seconds"],
        "repeats": candidate.latency.ratios,
        "by picture": share.by_picture,
        "log": candidate.notes["log"],
    }
