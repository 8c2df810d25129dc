"""Derive the splits of Fashion-MNIST that this example is trained, measured and shipped with.

    python examples/fashion/make_data.py --source /usr/share/datasets/fashion-mnist

The 60,000 training images are permuted with seed 2026: the first 55,000 are `train`, the other 5,000 `val`;
`test` is the official 10,000 in the official order. `data.npz` holds a prefix of each. The same source gives
the same bytes.
"""

import argparse
import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SEED = 2026
TRAIN = 55_000
COMMITTED = {"train": 10_000, "calib": 256, "val": 2_000, "test": 2_000}
FILES = {"train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
         "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")}  # fmt: skip

Split = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of an IDX file of bytes: magic 0x0000 08 rank, the dimensions, the data (LeCun's format)."""
    raw = gzip.decompress(path.read_bytes())
    kind, rank = raw[2], raw[3]
    if raw[:2] != b"\0\0" or kind != 8:
        raise SystemExit(f"{path} is not an IDX file of bytes: give the folder of Fashion-MNIST's .gz files")
    shape = struct.unpack(f">{rank}I", raw[4 : 4 + 4 * rank])
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * rank).reshape(shape).copy()


def full_splits(source: Path) -> dict[str, Split]:
    """The full splits: images uint8 [N, 1, 28, 28] and labels uint8 [N], by split name."""
    x, y = (read_idx(source / name) for name in FILES["train"])
    x_test, y_test = (read_idx(source / name) for name in FILES["test"])
    order = np.random.default_rng(SEED).permutation(len(x))
    train, val = order[:TRAIN], order[TRAIN:]
    return {
        "train": (x[train][:, None], y[train]),
        "val": (x[val][:, None], y[val]),
        "test": (x_test[:, None], y_test),
    }


def committed_subset(splits: dict[str, Split]) -> dict[str, NDArray[np.uint8]]:
    """The arrays of data.npz: a prefix of each split; `calib` is the beginning of `train`."""
    arrays: dict[str, NDArray[np.uint8]] = {}
    for name, count in COMMITTED.items():
        x, y = splits["train" if name == "calib" else name]
        arrays[f"x_{name}"], arrays[f"y_{name}"] = x[:count], y[:count]
    return arrays


def main() -> None:
    """Write data.npz beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "data.npz")
    args = parser.parse_args()
    np.savez_compressed(args.out, **committed_subset(full_splits(args.source)))  # type: ignore[arg-type]
    print(f"{args.out}: {args.out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
