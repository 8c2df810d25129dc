"""Built-in architectures, and how a pruned one is rebuilt from the shapes of its weights."""

from pathlib import Path

import pytest
import torch

from edgefleet_compression.architectures import build, resize
from edgefleet_compression.errors import ArchitectureError
from edgefleet_compression.states import TorchState, load_state
from edgefleet_compression.step import Context
from edgefleet_compression.step_configs import PruneStructuredConfig
from edgefleet_compression.steps import STEPS


def parameters(name: str, **args: int) -> int:
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
    ("name", "args", "shape", "reason"),
    [
        ("resnet_xl", {}, (1, 8, 8), "no architecture 'resnet_xl' is built in: use one of resnet_s, ds_cnn"),
        ("ds_cnn", {"depht": 3}, (1, 8, 8), "doesn't take these arguments"),
        ("ds_cnn", {}, (64,), r"takes inputs shaped \[C, H, W\]"),
    ],
)
def test_what_cannot_be_built_is_refused(name: str, args: dict[str, int], shape: tuple[int, ...], reason: str) -> None:
    with pytest.raises(ArchitectureError, match=reason):
        build(name, args, shape, 3)


@pytest.mark.parametrize("name", ["resnet_s", "ds_cnn"])
def test_a_pruned_network_comes_back_from_disk_with_the_same_answers(
    name: str, context: Context, tmp_path: Path
) -> None:
    state = TorchState(name, {}, (1, 8, 8), 3, build(name, {}, (1, 8, 8), 3).eval())
    pruned = STEPS["prune_structured"](state, PruneStructuredConfig(), context).state
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
