"""Data and weights that nothing can be learnt from: each is one sentence that says what to do, or a clear answer."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from tests.parting import mostly_slow

from edgefleet_compression.cache import Cache
from edgefleet_compression.errors import ArchitectureError, CompressionError, DataError, NothingChanged, StepError
from edgefleet_compression.models.source import Source
from edgefleet_compression.models.source_files import open_source
from edgefleet_compression.models.states import OnnxState
from edgefleet_compression.registry import registry
from edgefleet_compression.schemes import Scheme
from edgefleet_compression.step import Context
from edgefleet_compression.steps import (
    accuracy_int8,
    finetune,
    prune_iterative,
    prune_unstructured,
    qat_int8,
    qat_weights,
    static_int8,
)
from edgefleet_compression.steps.accuracy_int8 import AccuracyInt8Config
from edgefleet_compression.steps.finetune import FinetuneConfig
from edgefleet_compression.steps.prune_iterative import PruneIterativeConfig
from edgefleet_compression.steps.prune_structured import PruneStructuredConfig
from edgefleet_compression.steps.prune_unstructured import PruneUnstructuredConfig
from edgefleet_compression.steps.qat_int8 import QatInt8Config
from edgefleet_compression.steps.qat_weights import QatWeightsConfig
from edgefleet_compression.steps.reestimate_norms import ReestimateNormsConfig
from edgefleet_compression.steps.scale_width import ScaleWidthConfig
from edgefleet_compression.steps.static_int8 import StaticInt8Config
from edgefleet_compression.steps.tune_norms import TuneNormsConfig

pytestmark = pytest.mark.torch


Arrays = dict[str, Any]
FAST: dict[str, Any] = {"epochs": 1, "batch": 32, "flip": False}
TRAINING: dict[str, Any] = {
    "finetune": FinetuneConfig(**FAST),
    "qat_weights": QatWeightsConfig(**FAST),
    "qat_int8": QatInt8Config(**FAST),
    "tune_norms": TuneNormsConfig(**FAST),
    "prune_iterative": PruneIterativeConfig(rounds=2, **FAST),
    "scale_width": ScaleWidthConfig(**FAST),
}
Spoil = Callable[[Arrays], None]


@pytest.fixture
def spoiled(tiny_folder: Path, tmp_path: Path) -> Callable[[Spoil], Context]:
    """Makes a context of the tiny model with its data file spoiled."""

    def make(spoil: Spoil) -> Context:
        with np.load(tiny_folder / "data.npz") as npz:
            arrays = dict(npz)
        spoil(arrays)
        np.savez(tmp_path / "data.npz", **arrays)
        return Context(opened(tiny_folder, tmp_path, "data.npz"), Scheme("u8"), 0, tmp_path, lambda share, text: None)

    return make


def opened(tiny_folder: Path, folder: Path, replaced: str) -> Source:
    """The tiny model with one of its files taken from `folder`."""
    text = (tiny_folder / "model.toml").read_text()
    files = {name: tiny_folder / name for name in ("weights.safetensors", "data.npz")}
    was, files[replaced] = files[replaced], folder / replaced
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (was, folder / replaced)]
    (folder / "model.toml").write_text(text.replace(*digests))
    return open_source({**files, "model.toml": folder / "model.toml"}, Cache(folder / "cache"))


def refused(context: Context, name: str, config: Any, kind: type[CompressionError], reason: str) -> None:
    with pytest.raises(kind, match=reason) as caught:
        registry().named(name).run(context.source.state, config, context)
    assert "\n" not in str(caught.value)


def only_class(split: str) -> Spoil:
    def spoil(arrays: Arrays) -> None:
        arrays[f"y_{split}"] = np.full_like(arrays[f"y_{split}"], 2)

    return spoil


@pytest.mark.parametrize("name", TRAINING)
@pytest.mark.parametrize("split", ["train", "val"])
def test_one_class_in_the_data_teaches_nothing(name: str, split: str, spoiled: Callable[[Spoil], Context]) -> None:
    reason = f"every sample of {split} is of class 2: give samples of two classes or more"
    refused(spoiled(only_class(split)), name, TRAINING[name], DataError, reason)


@pytest.mark.parametrize("name", TRAINING)
def test_without_labels_of_train_nothing_is_trained(name: str, spoiled: Callable[[Spoil], Context]) -> None:
    refused(spoiled(lambda a: a.pop("y_train")), name, TRAINING[name], DataError, "has no y_train: add the split")


def test_without_samples_to_train_on_nothing_is_trained(spoiled: Callable[[Spoil], Context]) -> None:
    def spoil(arrays: Arrays) -> None:
        del arrays["x_train"], arrays["y_train"]

    refused(spoiled(spoil), "finetune", FinetuneConfig(**FAST), DataError, "has no x_train and no y_train")


def keep(split: str, count: int) -> Spoil:
    def spoil(arrays: Arrays) -> None:
        for part in "xy":
            arrays[f"{part}_{split}"] = arrays[f"{part}_{split}"][:count]

    return spoil


def test_one_sample_is_too_few_to_train_on(spoiled: Callable[[Spoil], Context]) -> None:
    context = spoiled(keep("train", 1))
    refused(context, "finetune", FinetuneConfig(**FAST), DataError, "give two or more")
    refused(context, "reestimate_norms", ReestimateNormsConfig(), DataError, "needs two or more")


@pytest.mark.slow
def test_fewer_samples_than_a_batch_are_one_batch(spoiled: Callable[[Spoil], Context]) -> None:
    context = spoiled(keep("train", 20))
    log = finetune.run(context.source.state, FinetuneConfig(**FAST), context).log
    assert len(log["losses"]) == 1 and np.isfinite(log["losses"][0])


@pytest.mark.parametrize("calibration", mostly_slow(["entropy", "minmax", "percentile"], one_in=3))
def test_three_samples_to_calibrate_on_are_taken_and_told(
    calibration: Any, spoiled: Callable[[Spoil], Context], exported: OnnxState
) -> None:
    context = spoiled(keep("calib", 3))
    config = StaticInt8Config(calibration=calibration)
    assert static_int8.run(exported, config, context).log["calibration_samples"] == 3


@pytest.mark.slow
def test_three_samples_to_calibrate_on_do_for_sensitivity_and_for_int8_that_is_learned(
    spoiled: Callable[[Spoil], Context], exported: OnnxState
) -> None:
    context = spoiled(keep("calib", 3))
    bits = qat_weights.run(context.source.state, QatWeightsConfig(mean_bits=4, **FAST), context).log["bits"]
    assert len(set(bits.values())) > 1
    assert qat_int8.run(context.source.state, QatInt8Config(**FAST), context).state.ranges
    assert accuracy_int8.run(exported, AccuracyInt8Config(max_drop=0.5), context).log["layers"] > 5


def test_no_sample_to_calibrate_on_is_refused(spoiled: Callable[[Spoil], Context], exported: OnnxState) -> None:
    context = spoiled(keep("calib", 0))
    with pytest.raises(DataError, match="x_calib is"):
        static_int8.run(exported, StaticInt8Config(), context)


def test_weights_that_are_no_numbers_are_refused_as_the_model_is_opened(tiny_folder: Path, tmp_path: Path) -> None:
    tensors = load_file(tiny_folder / "weights.safetensors")
    tensors["blocks.1.conv2.weight"][0, 0, 0, 0] = float("nan")
    save_file(tensors, tmp_path / "weights.safetensors")
    with pytest.raises(ArchitectureError, match=r"the weight 'blocks.1.conv2.weight' holds values that are not finite"):
        opened(tiny_folder, tmp_path, "weights.safetensors")


@pytest.mark.parametrize("name", TRAINING)
def test_training_that_diverges_is_one_sentence(name: str, context: Context) -> None:
    config = TRAINING[name].model_copy(update={"epochs": 30, "rate": 10.0, "weight_decay": 1e6, "alpha": 0.0})
    refused(context, name, config, StepError, "training diverged, the loss is not finite: lower the rate")


def test_what_has_nothing_to_prune_is_said_to_have_nothing(context: Context) -> None:
    for name, config in (
        ("prune_structured", PruneStructuredConfig(round_to=1000)),
        ("prune_iterative", PruneIterativeConfig(rounds=2, round_to=1000, **FAST)),
        ("scale_width", ScaleWidthConfig(round_to=1000, **FAST)),
    ):
        refused(context, name, config, NothingChanged, "round_to")
    once = prune_unstructured.run(context.source.state, PruneUnstructuredConfig(sparsity=0.5), context).state
    with pytest.raises(NothingChanged, match="zero already"):
        prune_iterative.run(once, PruneIterativeConfig(method="unstructured", ratio=0.3, rounds=2, **FAST), context)
