"""Built-in architectures, and how a pruned one is rebuilt from the shapes of its weights."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from edgefleet_compression.builds.recipe_runner import Workbench, run_recipe
from edgefleet_compression.cache import Cache
from edgefleet_compression.errors import ArchitectureError
from edgefleet_compression.models.source import Source
from edgefleet_compression.models.source_files import open_source
from edgefleet_compression.models.states import TorchState, load_state
from edgefleet_compression.networks.architectures import Args, build, resize
from edgefleet_compression.onnx_graphs.session import GraphSession
from edgefleet_compression.recipes.recipe import recipe_from
from edgefleet_compression.schemes import Scheme
from edgefleet_compression.step import Context
from edgefleet_compression.steps import prune_structured
from edgefleet_compression.steps.prune_structured import PruneStructuredConfig

pytestmark = pytest.mark.torch


def parameters(name: str, **args: int | str) -> int:
    return sum(p.numel() for p in build(name, args, (1, 28, 28), 10).parameters())


def test_the_source_network_of_the_example_has_382_000_parameters() -> None:
    assert parameters("resnet_s") == 382_058


def test_a_students_width_and_depth_decide_its_size() -> None:
    assert parameters("ds_cnn", width=12) < parameters("ds_cnn", width=24) < parameters("ds_cnn", width=24, depth=3)


def test_the_seed_decides_the_weights_whatever_ran_before() -> None:
    first = build("ds_cnn", {}, (1, 8, 8), 3, seed=5)
    torch.rand(3)
    second = build("ds_cnn", {}, (1, 8, 8), 3, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.parametrize(
    ("shape", "left"),
    [((1, 16, 16), 16), ((1, 28, 28), 14), ((3, 32, 32), 16), ((3, 96, 96), 24), ((3, 40, 200), 20), ((2, 100), 100),
     ((6, 1000), 250)],
)  # fmt: skip
@pytest.mark.parametrize("stem", ["conv", "patch"])
def test_a_student_fits_inputs_of_any_shape(stem: str, shape: tuple[int, ...], left: int) -> None:
    module = build("ds_cnn", {"width": 8, "depth": 1, "stem": stem}, shape, 5)
    assert module(torch.rand(2, *shape)).shape == (2, 5)
    x = torch.rand(2, *shape)
    seen = module.stem(x.unsqueeze(2) if len(shape) == 2 else x)
    assert min(seen.shape[2:] if len(shape) == 3 else seen.shape[3:]) == left


def test_a_stem_has_the_stride_and_width_that_were_asked() -> None:
    patch = build("ds_cnn", {"stem": "patch", "stride": 4, "stem_width": 6, "width": 8}, (3, 32, 32), 5)
    assert patch.stem.kernel_size == patch.stem.stride == (4, 4) and patch.stem.out_channels == 6
    assert patch(torch.rand(1, 3, 32, 32)).shape == (1, 5)
    conv = build("ds_cnn", {"stride": 4}, (3, 96, 96), 5)
    assert conv.stem.kernel_size == (5, 5) and conv.stem(torch.rand(1, 3, 96, 96)).shape[2:] == (24, 24)


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 64)], ids=["picture", "signal"])
def test_a_student_is_trained_pruned_quantized_and_stored_whatever_its_input(
    shape: tuple[int, ...], tmp_path: Path
) -> None:
    source = signals(shape, tmp_path)
    recipe = recipe_from({"name": "r", "title": "t", "steps": [
        {"step": "distill", "config": {"args": {"width": 16, "depth": 0}, **FAST}},
        {"step": "prune_structured", "config": {"ratio": 0.4}},
        {"step": "qat_int8", "config": FAST},
        {"step": "export"},
        {"step": "static_int8"}]})  # fmt: skip
    path, reports = run_recipe(recipe, Workbench(source, Scheme("u8"), 0, source.cache, tmp_path), lambda *_: None)
    assert GraphSession(path).run(np.zeros((1, *shape), np.float32)).shape == (1, 2)
    assert [report.cached for report in reports] == [False] * 5


FAST = {"epochs": 1, "batch": 32}
CARD = """
name = "toy"
labels = ["low", "high"]
[architecture]
name = "ds_cnn"
args = {{ width = 40, stem = "patch" }}
[weights]
file = "weights.safetensors"
sha256 = "{weights}"
[data]
file = "data.npz"
sha256 = "{data}"
[input]
shape = {shape}
[golden]
samples = 8
"""


def signals(shape: tuple[int, ...], folder: Path) -> Source:
    """A source model for inputs of a shape, untrained, and samples of two classes: dark and bright."""
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split in ("train", "calib", "val", "test"):
        y = random.integers(0, 2, 64)
        noise = random.integers(0, 100, (64, *shape)) + 100 * y.reshape(-1, *[1] * len(shape))
        arrays |= {f"x_{split}": noise.astype(np.uint8), f"y_{split}": y}
    np.savez(folder / "data.npz", **arrays)
    module = build("ds_cnn", {"width": 40, "stem": "patch"}, shape, 2)
    save_file({name: t.contiguous() for name, t in module.state_dict().items()}, folder / "weights.safetensors")
    files = {name: folder / name for name in ("weights.safetensors", "data.npz")}
    digests = {name.split(".")[0]: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    (folder / "model.toml").write_text(CARD.format(**digests, shape=list(shape)))
    return open_source({**files, "model.toml": folder / "model.toml"}, Cache(folder / "cache"))


@pytest.mark.parametrize(
    ("name", "args", "shape", "reason"),
    [
        ("resnet_xl", {}, (1, 8, 8), "no architecture 'resnet_xl' is built in: use one of resnet_s, ds_cnn"),
        ("ds_cnn", {"depht": 3}, (1, 8, 8), "doesn't take these arguments"),
        ("ds_cnn", {}, (64,), r"takes inputs shaped \[C, H, W\] or \[C, L\], not \[64\]"),
        ("resnet_s", {}, (2, 64), r"takes inputs shaped \[C, H, W\], not \[2, 64\]"),
        ("ds_cnn", {"stem": "round"}, (1, 8, 8), "stem one of conv, patch"),
        ("ds_cnn", {"width": 0}, (1, 8, 8), "width >= 1"),
        ("ds_cnn", {"stride": 9}, (1, 8, 8), "stride of 9 is larger than the input"),
    ],
)
def test_what_cannot_be_built_is_refused(name: str, args: Args, shape: tuple[int, ...], reason: str) -> None:
    with pytest.raises(ArchitectureError, match=reason):
        build(name, args, shape, 3)


@pytest.mark.parametrize("name", ["resnet_s", "ds_cnn"])
def test_a_pruned_network_comes_back_from_disk_with_the_same_answers(
    name: str, context: Context, tmp_path: Path
) -> None:
    state = TorchState(name, {}, (1, 8, 8), 3, build(name, {}, (1, 8, 8), 3).eval())
    pruned = prune_structured.run(state, PruneStructuredConfig(), context).state
    assert isinstance(pruned, TorchState) and pruned.parameters() < state.parameters()
    pruned.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir() if path.is_file()} == {".json", ".safetensors"}
    back = load_state(tmp_path)
    assert isinstance(back, TorchState) and back.digest() == pruned.digest()
    x = torch.rand(4, 1, 8, 8)
    assert torch.equal(back.module(x), pruned.module(x))


def test_weights_of_another_network_are_refused() -> None:
    tensors = build("ds_cnn", {}, (1, 8, 8), 3).state_dict()
    with pytest.raises(ArchitectureError, match="the weights don't fit the architecture"):
        resize(build("resnet_s", {}, (1, 8, 8), 3), tensors)
