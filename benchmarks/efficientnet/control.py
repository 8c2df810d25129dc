"""NNCF's accuracy control on an ONNX file; runs in the environment of benchmarks/peers/nncf.txt.

python -m benchmarks.efficientnet.control NETWORK.onnx CROPS.npz OUT.onnx MAX_DROP PRESET
"""

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nncf  # type: ignore[import-not-found, unused-ignore]
import numpy as np
import onnx
import onnxruntime
from nncf.quantization.advanced_parameters import (  # type: ignore[import-not-found, unused-ignore]
    AdvancedAccuracyRestorerParameters,
)

CALIBRATION_SAMPLES, RANKING_SAMPLES = 256, 64
"""As many as `accuracy_int8` calibrates on by default, and ranks its layers by."""


def top1(model: onnx.ModelProto, batches: Iterable[dict[str, Any]]) -> list[int]:
    """The answers, one crop at a time, as a device is asked."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [int(session.run(None, {"input": batch["input"]})[0].argmax()) for batch in batches]


def main(network: Path, crops: Path, out: Path, max_drop: float, preset: str) -> dict[str, Any]:
    """Quantize, steered by the agreement with the float file on val."""
    started = time.monotonic()
    model = onnx.load(network)
    with np.load(crops) as splits:
        calib, val = splits["x_calib"][:CALIBRATION_SAMPLES], splits["x_val"]
    wanted = top1(model, ({"input": x[None]} for x in val))
    samples = [{"input": x[None], "wanted": answer} for x, answer in zip(val, wanted, strict=True)]
    drops: list[float] = []

    def agreement(candidate: onnx.ModelProto, some: Iterable[dict[str, Any]]) -> tuple[float, list[float]]:
        asked = list(some)
        hits = [float(a == s["wanted"]) for a, s in zip(top1(candidate, asked), asked, strict=True)]
        drops.append(1 - float(np.mean(hits)))
        return float(np.mean(hits)), hits

    made = nncf.quantize_with_accuracy_control(
        model,
        nncf.Dataset([x[None] for x in calib], lambda x: {"input": x}),
        nncf.Dataset(samples),
        agreement,
        max_drop=max_drop,
        preset=nncf.QuantizationPreset(preset),
        subset_size=len(calib),
        advanced_accuracy_restorer_parameters=AdvancedAccuracyRestorerParameters(ranking_subset_size=RANKING_SAMPLES),
    )
    onnx.save(made, out)
    return {"seconds": time.monotonic() - started, "drops": drops, "nncf": nncf.__version__}


if __name__ == "__main__":
    given = sys.argv[1:]
    print(json.dumps(main(Path(given[0]), Path(given[1]), Path(given[2]), float(given[3]), given[4])))
