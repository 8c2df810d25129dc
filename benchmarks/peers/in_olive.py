"""Compress with Olive's `OnnxStaticQuantization` in a workflow of one pass; runs in Olive's own environment."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from olive import run  # type: ignore[import-not-found, unused-ignore]
from olive.data.component.dataset import BaseDataset  # type: ignore[import-not-found, unused-ignore]
from olive.data.registry import Registry  # type: ignore[import-not-found, unused-ignore]

from benchmarks.peers.peer_request import PeerRequest, answer

PRECISIONS = {"u8": "uint8", "s8": "int8"}


@Registry.register_dataset("samples_of_a_request")  # type: ignore[untyped-decorator, unused-ignore]
def samples_of_a_request(path: str, input_name: str, **_: Any) -> Any:
    """The samples of a request as Olive reads them."""
    return BaseDataset([{input_name: one} for one in np.load(path)])


def quantize(request: PeerRequest) -> None:
    """The model of a request; options are `activation` and `weight` (u8 or s8) and `reduce_range`."""
    folder = Path(f"{request.target}.olive")
    samples = {"type": "samples_of_a_request", "params": {"path": request.samples, "input_name": request.input_name}}
    run(
        {
            "input_model": {"type": "ONNXModel", "model_path": request.model},
            "data_configs": [{"name": "calib", "load_dataset_config": samples}],
            "passes": {"int8": {"type": "OnnxStaticQuantization", **_settings(request.options)}},
            "output_dir": str(folder / "out"),
            "cache_dir": str(folder / "cache"),
        }
    )
    shutil.copyfile(next((folder / "out").rglob("*.onnx")), request.target)


def _settings(options: dict[str, Any]) -> dict[str, Any]:
    return {
        "data_config": "calib",
        "activation_type": PRECISIONS[options["activation"]],
        "precision": PRECISIONS[options["weight"]],
        "per_channel": True,
        "reduce_range": options["reduce_range"],
        # With its own configuration of Q/DQ pairs, the default, 0.13 drops reduce_range in silence.
        "prepare_qdq_config": not options["reduce_range"],
    }


if __name__ == "__main__":
    answer(quantize, "olive-ai")
