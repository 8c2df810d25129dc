"""The small models as somebody brings them: a file, its samples, and a card that says no more than it must."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from tests.any_model.small_models import SmallModel, samples

from edgefleet_compression.builds.messages import ModelFiles
from edgefleet_process.reading import digest_of_file

BOXES = """
[answers.boxes]
boxes = { output = "boxes" }
scores = { output = "scores" }
"""


def bring(model: SmallModel, folder: Path, card: str = "", **arrays: Any) -> ModelFiles:
    """Write the files of a model; `card` is what its card says of it, and `arrays` replace those of its data."""
    onnx_path, data = model.write(folder / "model.onnx"), folder / "data.npz"
    np.savez(data, **(arrays or data_of(model, onnx_path)))
    return files_of(folder, card or (BOXES if model.task == "detection" else ""))


def bring_graph(graph: onnx.ModelProto, folder: Path, card: str = "", **arrays: Any) -> ModelFiles:
    """As `bring`, of any graph."""
    onnx.save(graph, str(folder / "model.onnx"))
    np.savez(folder / "data.npz", **arrays)
    return files_of(folder, card)


def files_of(folder: Path, card: str) -> ModelFiles:
    """Write the card, and name the files."""
    top, bracket, tables = card.partition("\n[")
    lines = ['name = "small"', 'door = "onnx"', top]
    for part, name in (("onnx", "model.onnx"), ("data", "data.npz")):
        lines += [f"[{part}]", f'file = "{name}"', f'sha256 = "{digest_of_file(folder / name)}"']
    (folder / "model.toml").write_text("\n".join([*lines, bracket + tables]))
    return {name: folder / name for name in ("model.toml", "model.onnx", "data.npz")}


def data_of(model: SmallModel, path: Path) -> dict[str, Any]:
    """Samples of val, test and calib, and the labels of the first two."""
    arrays: dict[str, Any] = {}
    for seed, split in enumerate(("val", "test", "calib")):
        x = samples(seed, 40)
        arrays[f"x_{split}"] = x
        if split != "calib" and model.labels is not None:
            whole = [np.concatenate(one) for one in zip(*model.answers(path, x), strict=True)]
            arrays |= _labels(f"y_{split}", model.labels(whole))
    return arrays


def _labels(name: str, labels: Any) -> dict[str, Any]:
    if isinstance(labels, np.ndarray):
        return {name: labels}
    lengths = [len(one) for one in labels]
    if len(set(lengths)) == 1 and np.asarray(labels).dtype.kind in "iu":
        return {name: np.asarray(labels)}
    rows = [row for one in labels for row in one]
    return {f"{name}/values": np.array(rows, np.float32).reshape(-1, 5), f"{name}/lengths": np.array(lengths)}
