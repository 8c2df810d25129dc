"""The example's model with the whole of Fashion-MNIST in place of the part that is committed."""

import hashlib
import runpy
import shutil
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import EXAMPLE

SOURCE = Path("/usr/share/datasets/fashion-mnist")
HOW = "install Debian's package dataset-fashion-mnist"
CALIB = 256


def whole(folder: Path, floats: bool = False) -> Path:
    """A model folder with the pinned teacher, which never saw val or test: 55,000 train, 5,000 val, 10,000 test.

    Args:
        folder: where to write it.
        floats: whether samples are scaled already, so that its files take what the network does.

    Raises:
        SystemExit: the data set is not installed.
    """
    if not SOURCE.is_dir():
        raise SystemExit(f"{SOURCE} is missing: {HOW}")
    folder.mkdir(parents=True, exist_ok=True)
    weights = tomllib.loads((EXAMPLE / "model.toml").read_text())["weights"]["file"]
    shutil.copy(EXAMPLE / weights, folder / weights)
    splits: dict[str, Any] = runpy.run_path(str(EXAMPLE / "make_data.py"))["full_splits"](SOURCE)
    splits["calib"] = tuple(part[:CALIB] for part in splits["train"])
    arrays = {f"{axis}_{name}": part for name, pair in splits.items() for axis, part in zip("xy", pair, strict=True)}
    text = (EXAMPLE / "model.toml").read_text()
    if floats:
        scale = tomllib.loads(text)["preprocessing"]["scale"]
        arrays = {n: x.astype(np.float32) * np.float32(scale) if n[0] == "x" else x for n, x in arrays.items()}
        text = text.replace(f"scale = {scale!r}", "scale = 1.0")
    np.savez(folder / "data.npz", **arrays)
    digest = hashlib.sha256((folder / "data.npz").read_bytes()).hexdigest()
    card = text.replace(_data_digest(), digest)
    (folder / "model.toml").write_text(card)
    return folder


def _data_digest() -> str:
    return str(tomllib.loads((EXAMPLE / "model.toml").read_text())["data"]["sha256"])
