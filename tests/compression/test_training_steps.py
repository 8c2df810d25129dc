"""The steps that train, beside the first ones: pruning in rounds, width scaling, norms, teachers of either kind."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from tests.compression.brought_models import data_file
from tests.compression.conftest import pictures

from edgefleet_compression.builds.recipe_runner import Workbench, run_recipe
from edgefleet_compression.cache import Cache
from edgefleet_compression.errors import DataError, NothingChanged
from edgefleet_compression.models.door.onnx_card import card_for_onnx
from edgefleet_compression.models.source import Source
from edgefleet_compression.models.source_files import open_source
from edgefleet_compression.models.states import BroughtState, TorchState, copied, load_state
from edgefleet_compression.networks import architectures
from edgefleet_compression.networks.channels import ChannelPruner
from edgefleet_compression.networks.layers import weighted
from edgefleet_compression.onnx_graphs.session import GraphSession, inputs
from edgefleet_compression.recipes.recipe import recipe_from
from edgefleet_compression.step import Context
from edgefleet_compression.steps import export, prune_iterative, prune_structured, reestimate_norms, scale_width
from edgefleet_compression.steps.export import ExportConfig
from edgefleet_compression.steps.finetune import FinetuneConfig
from edgefleet_compression.steps.prune_iterative import PruneIterativeConfig
from edgefleet_compression.steps.prune_structured import PruneStructuredConfig
from edgefleet_compression.steps.reestimate_norms import ReestimateNormsConfig
from edgefleet_compression.steps.scale_width import ScaleWidthConfig, forget
from edgefleet_compression.training import as_logits, corpus
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.spec import LOGITS, PROBABILITIES, Spec
from edgefleet_tasks.tasks.classification import TASK

pytestmark = pytest.mark.torch


FAST: dict[str, Any] = {"epochs": 1, "batch": 32, "flip": False}


def share_of_zeros(state: TorchState) -> float:
    weights = [layer.weight.detach() for _, layer in weighted(state.module)]
    return float(sum((w == 0).sum() for w in weights) / sum(w.numel() for w in weights))


def test_pruning_in_rounds_ends_with_as_few_channels_as_pruning_at_once(context: Context) -> None:
    at_once = prune_structured.run(context.source.state, PruneStructuredConfig(ratio=0.5), context)
    config = PruneIterativeConfig(ratio=0.5, rounds=2, **FAST)
    result = prune_iterative.run(context.source.state, config, context)
    assert result.log["parameters"] == at_once.log["parameters"] < context.source.state.parameters() / 3
    sizes = [entry["parameters"] for entry in result.log["rounds"]]
    assert len(sizes) == 2 and sizes[0] > sizes[1] == result.state.parameters()


def test_pruning_in_rounds_keeps_the_zeros_of_every_round_and_takes_most_at_first(context: Context) -> None:
    config = PruneIterativeConfig(method="unstructured", ratio=0.8, rounds=2, **FAST)
    result = prune_iterative.run(context.source.state, config, context)
    assert share_of_zeros(result.state) == pytest.approx(0.8, abs=0.01)


def test_pruning_in_rounds_comes_back_from_the_cache_as_it_was(context: Context, tmp_path: Path) -> None:
    config = PruneIterativeConfig(ratio=0.5, rounds=2, **FAST)
    state = prune_iterative.run(context.source.state, config, context).state
    state.save(tmp_path)
    assert load_state(tmp_path).digest() == state.digest()


def test_pruning_in_rounds_that_takes_nothing_is_an_error(context: Context) -> None:
    config = PruneIterativeConfig(ratio=0.01, round_to=1, rounds=2, **FAST)
    narrow = prune_structured.run(context.source.state, PruneStructuredConfig(ratio=0.9, round_to=1), context)
    with pytest.raises(NothingChanged, match="prune_iterative removed nothing"):
        prune_iterative.run(narrow.state, config.model_copy(update={"round_to": 1000}), context)


def test_scaling_the_width_keeps_a_share_of_the_channels_and_learns_anew(context: Context) -> None:
    config = ScaleWidthConfig(ratio=0.25, epochs=5, batch=32, rate=0.01, flip=False)
    result = scale_width.run(context.source.state, config, context)
    assert result.log["widths"]["stem"] == 8 and result.log["widths"]["blocks.3.conv2"] == 32
    assert result.log["val"] > 0.8 and result.log["losses"][-1] < result.log["losses"][0]


def test_scaling_the_width_forgets_the_weights_that_it_was_given(context: Context) -> None:
    pruned, again = copied(context.source.state), copied(context.source.state)
    for state in (pruned, again):
        ChannelPruner(state.module, (1, 8, 8), 0.5, 8).prune()
    before = pruned.module.stem.weight.clone()
    forget(pruned.module, 3)
    forget(again.module, 3)
    assert not torch.equal(pruned.module.stem.weight, before)
    assert pruned.digest() == again.digest()


def test_scaling_the_width_that_keeps_every_channel_is_an_error(context: Context) -> None:
    with pytest.raises(NothingChanged, match="kept every channel"):
        scale_width.run(context.source.state, ScaleWidthConfig(round_to=1000, **FAST), context)


def test_reestimated_norms_answer_for_the_data_and_no_weight_changes(context: Context) -> None:
    spoiled = TorchState(**{**vars(context.source.state), "module": spoil(context.source.state)})
    result = reestimate_norms.run(spoiled, ReestimateNormsConfig(samples=192), context)
    assert result.log["val_before"] < 0.7 < 0.85 < result.log["val"]
    before, after = spoiled.module.state_dict(), result.state.module.state_dict()
    changed = {name.rsplit(".", 1)[1] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"running_mean", "running_var", "num_batches_tracked"}


def test_reestimated_norms_are_the_mean_and_variance_of_the_samples(context: Context) -> None:
    config = ReestimateNormsConfig(samples=192)
    module = reestimate_norms.run(context.source.state, config, context).state.module
    x = torch.from_numpy(context.source.data.read("train").arrays.x).float() / 255
    with torch.inference_mode():
        y = module.stem(x)
    torch.testing.assert_close(module.norm.running_mean, y.mean((0, 2, 3)), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(module.norm.running_var, y.var((0, 2, 3)), rtol=1e-3, atol=1e-5)


def test_reestimated_norms_of_a_network_without_norms_are_an_error(context: Context) -> None:
    bare = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
    architectures.REGISTRY["bare"] = lambda shape, classes: bare
    try:
        with pytest.raises(NothingChanged, match="no batch norm"):
            reestimate_norms.run(TorchState("bare", {}, (1, 8, 8), 3, bare), ReestimateNormsConfig(), context)
    finally:
        del architectures.REGISTRY["bare"]


def spoil(state: TorchState) -> torch.nn.Module:
    """The module with statistics that belong to other data."""
    module = copied(state).module
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean += 2 * layer.running_var.sqrt()
    return module


SPLITS = {"train": 192, "calib": 32, "val": 64, "test": 64}


@pytest.fixture(scope="module")
def probabilities(tiny_files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as somebody else might bring it: an ONNX file that ends in a softmax."""
    folder = tmp_path_factory.mktemp("brought")
    source = open_source(tiny_files, Cache(folder / "cache"))
    context = Context(source, None, 0, folder, lambda share, text: None)
    # The tiny model was trained too shortly for its norms to have caught up.
    settled = reestimate_norms.run(source.state, ReestimateNormsConfig(), context).state
    model = onnx.load(export.run(settled, ExportConfig(), context).state.path)
    model.graph.node.append(onnx.helper.make_node("Softmax", [model.graph.output[0].name], ["probs"], axis=1))
    model.graph.output[0].name = "probs"
    onnx.save(model, folder / "probs.onnx")
    return folder / "probs.onnx"


@pytest.fixture
def brought(probabilities: Path, tmp_path: Path) -> Source:
    """A teacher that came as ONNX, with pictures to train on and no labels."""
    arrays = {
        f"x_{split}": pictures(count, seed)[0].astype(np.float32) / 255
        for seed, (split, count) in enumerate(SPLITS.items())
    }
    data = data_file(tmp_path, **arrays)
    (tmp_path / "model.toml").write_text(card_for_onnx(probabilities, data, name="bars", version=1))
    files = {"model.toml": tmp_path / "model.toml", "model.onnx": probabilities, "data.npz": data}
    return open_source(files, Cache(tmp_path / "cache"))


def test_a_teacher_that_came_as_onnx_teaches_a_student_its_answers_without_labels(
    brought: Source, tmp_path: Path
) -> None:
    config = {"args": {"width": 8}, "epochs": 6, "batch": 32, "rate": 0.02, "flip": False, "alpha": 0.9}
    steps = [{"step": "distill", "config": config}, {"step": "export"}]
    bench = Workbench(brought, None, 0, brought.cache, tmp_path)
    path, reports = run_recipe(recipe_from({"name": "r", "title": "t", "steps": steps}), bench, lambda *_: None)
    assert reports[0].log["val"] > 0.8
    x = inputs(brought.data.read("test").arrays.x, brought.scale)
    top1 = GraphSession(path).logits(x).argmax(1)
    assert (top1 == brought.logits("test").argmax(1)).mean() > 0.8


def test_a_teacher_that_came_as_onnx_is_asked_once_for_a_training(brought: Source) -> None:
    settings = FinetuneConfig(flip=False, alpha=1.0)
    first = corpus(brought, settings).soft
    deaf = replace(brought, state=BroughtState(Path("nowhere"), brought.state.graph))
    again = corpus(deaf, settings).soft
    assert first is not None and again is not None and torch.equal(first, again)


def test_a_teacher_that_came_as_onnx_gives_the_logits_of_its_probabilities(brought: Source) -> None:
    answers = brought.logits("train")
    np.testing.assert_allclose(answers.sum(1), 1, atol=1e-5)
    assert brought.spec == Spec(PROBABILITIES)
    logits = as_logits(answers, brought.spec)
    np.testing.assert_allclose(np.exp(logits), answers, atol=1e-6)
    np.testing.assert_array_equal(as_logits(logits, Spec(LOGITS)), logits)


@pytest.mark.slow
def test_a_student_of_a_teacher_that_gives_probabilities_gives_probabilities_too(
    brought: Source, tmp_path: Path
) -> None:
    steps = [
        {"step": "distill", "config": {"args": {"width": 8}, "epochs": 1, "batch": 32, "flip": False}},
        {"step": "export"},
    ]
    bench = Workbench(brought, None, 0, brought.cache, tmp_path)
    path, _ = run_recipe(recipe_from({"name": "r", "title": "t", "steps": steps}), bench, lambda *_: None)
    answers = GraphSession(path).logits(inputs(brought.data.read("test").arrays.x, brought.scale))
    assert brought.spec == TASK.spec(Signature((), ()), [[answers]])


def test_a_teacher_that_came_as_onnx_teaches_nobody_without_samples_to_train_on() -> None:
    recipe = recipe_from({"name": "r", "title": "t", "steps": [{"step": "distill"}, {"step": "export"}]})
    assert recipe.refusal("brought", train=True) is None
    assert recipe.refusal("brought") == ("'distill' learns from samples, but this model came without x_train")


def test_without_labels_and_without_a_teacher_nothing_is_right(brought: Source) -> None:
    taught = corpus(brought, FinetuneConfig(flip=False))
    assert taught.soft is not None and torch.equal(taught.y, taught.soft.argmax(1))
    with pytest.raises(DataError, match="add y_train, or set alpha above 0"):
        corpus(brought, FinetuneConfig(flip=False, alpha=0.0))


def test_a_picture_and_its_mirror_image_are_taught_the_mean_of_the_answers_to_both(context: Context) -> None:
    class Slanted(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            level = x.mean((1, 2, 3)) + x[..., 0].mean((1, 2)) / 100
            return torch.stack([level, torch.full_like(level, 0.4), 0.8 - level], 1)

    source = replace(context.source, state=TorchState("resnet_s", {}, (1, 8, 8), 3, Slanted()), digest="slanted")
    plain, mirrored = (torch.from_numpy(source.logits("train", view)) for view in (False, True))
    assert not torch.allclose(plain, mirrored)
    both, alone = corpus(source, FinetuneConfig()), corpus(source, FinetuneConfig(flip=False))
    assert both.mirrors and both.soft is not None and torch.equal(both.soft, (plain + mirrored) / 2)
    assert alone.soft is not None and torch.equal(alone.soft, plain)


def test_pictures_are_mirrored_only_where_the_teacher_knows_them_still(context: Context) -> None:
    settled = reestimate_norms.run(context.source.state, ReestimateNormsConfig(), context).state
    bars = replace(context.source, state=settled, digest="settled")
    assert not corpus(bars, FinetuneConfig()).mirrors

    class Brightness(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            level = x.mean((1, 2, 3))
            return torch.stack([level, torch.full_like(level, 0.4), 0.8 - level], 1)

    even = TorchState("resnet_s", {}, (1, 8, 8), 3, Brightness())
    assert corpus(replace(context.source, state=even, digest="even"), FinetuneConfig()).mirrors
