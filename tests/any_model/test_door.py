"""Models of every task are read, asked and built as they are brought; what contradicts itself is one line."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.any_model.brought import BOXES, bring, bring_graph
from tests.any_model.small_models import MODELS, SmallModel, detection, regression

from edgefleet_compression.builds.entry_points import build_variant
from edgefleet_compression.builds.messages import BuildOutcome, BuildRequest, ModelFiles
from edgefleet_compression.cache import Cache
from edgefleet_compression.errors import CompressionError
from edgefleet_compression.models.source import Source
from edgefleet_compression.models.source_files import open_source
from edgefleet_compression.recipes.recipe import shipped_recipes
from edgefleet_contract.errors import ContractError
from edgefleet_protocol.signature import Signature, Tensor

RNG = np.random.default_rng(0)
TASKS = {make().task: make() for make in MODELS}
UNLABELLED = ("embedding", "outputs")


def opened(files: ModelFiles) -> Source:
    return open_source(files, Cache(files["model.toml"].parent / "cache"))


def refused(files: ModelFiles) -> str:
    with pytest.raises((CompressionError, ContractError)) as caught:
        opened(files)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("task", TASKS)
def test_what_a_model_does_is_found_and_its_own_answers_are_right(task: str, tmp_path: Path) -> None:
    card = f'task = "{task}"\n' if task in UNLABELLED else ""
    source = opened(bring(TASKS[task], tmp_path, card + (BOXES if task == "detection" else "")))
    assert (source.task, source.batches) == (task, True)
    scores = source.judge.scores(source.reduced("val"), source.data.read("val").y)
    assert scores is None if task in UNLABELLED else scores is not None and scores.mean() > 0.95
    again = opened(source_files(tmp_path))
    assert again.spec == source.spec and again.reduced("test") == source.reduced("test")


def source_files(folder: Path) -> ModelFiles:
    return {name: folder / name for name in ("model.toml", "model.onnx", "data.npz")}


@pytest.mark.parametrize("model", [detection(), TASKS["outputs"]], ids=lambda model: model.task)
def test_a_variant_is_built_measured_and_recorded(model: SmallModel, tmp_path: Path) -> None:
    files = bring(model, tmp_path, BOXES if model.task == "detection" else 'task = "outputs"')
    for recipe in ("as-brought", "w8"):
        work = tmp_path / recipe
        made = build_variant(BuildRequest(files, shipped_recipes()[recipe], "x86-avx2", tmp_path / "cache", work))
        assert isinstance(made, BuildOutcome), made
        assert made.metrics.agreement > 0.95 and made.metrics.p50_ms
        assert (made.metrics.score_val is None) == (model.task == "outputs")
        assert (made.task, made.signature) == (model.task, opened(files).signature)
        assert made.recorded.size.samples == 32 and made.recorded.probabilities is None


def graph(nodes: list[Any], inputs: list[Any], outputs: list[Any], *weights: Any) -> Any:
    infos = [[helper.make_tensor_value_info(*one) for one in side] for side in (inputs, outputs)]
    made = helper.make_graph(nodes, "made", *infos, [numpy_helper.from_array(w, n) for n, w in weights])
    return helper.make_model(made, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
LOOKUP = graph(
    [
        helper.make_node("Gather", ["table", "tokens"], ["rows"]),
        helper.make_node("ReduceMean", ["rows"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("Mul", ["mean", "rate"], ["y"]),
    ],
    [("tokens", INT64, ["n", "time"]), ("rate", FLOAT, [])],
    [("y", FLOAT, ["n", 3])],
    ("table", RNG.normal(size=(10, 3)).astype(np.float32)),
)


def lookup(**changed: Any) -> dict[str, Any]:
    """Ragged tokens, and a number of its own for each sample."""
    lengths = np.arange(12) % 4 + 1
    arrays = {"x/tokens/values": RNG.integers(0, 10, lengths.sum()), "x/tokens/lengths": lengths}
    arrays |= {"x/rate": np.ones(12, np.float32), "y": RNG.normal(size=(12, 3)).astype(np.float32)}
    return {name: value for name, value in {**arrays, **changed}.items() if value is not None}


def test_several_inputs_are_asked_as_their_samples_are(tmp_path: Path) -> None:
    source = opened(bring_graph(LOOKUP, tmp_path, **lookup()))
    assert (source.task, source.batches) == ("regression", False)
    tokens, rate = source.signature.inputs
    assert tokens.shape == (1, "time") and tokens.batched and not rate.batched
    assert source.told_signature == source.signature
    assert len(source.reduced("val")) == len(source.data.read("val"))


def test_a_model_that_takes_samples_whole_is_asked_that_way(tmp_path: Path) -> None:
    relu = graph([helper.make_node("Relu", ["x"], ["y"])], [("x", FLOAT, ["n", 4])], [("y", FLOAT, ["n", 4])])
    arrays = {"x": RNG.normal(size=(12, 5, 4)).astype(np.float32)}
    whole = opened(bring_graph(relu, tmp_path, 'task = "outputs"\nbatch = "none"', **arrays))
    assert not whole.signature.inputs[0].batched and not whole.batches
    told = Signature((Tensor("x", "FP32", ("n", 4), batched=False),), (Tensor("y", "FP32", ("n", 4), batched=False),))
    assert whole.told_signature == told


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"x/rate": None}, "the data file has no x/rate: the model takes tokens, rate: give one array for each"),
        ({"x/rate": np.ones(12)}, "x/rate is float64 [12]: give float32 [N]"),
        ({"x/rate": np.ones(11, np.float32)}, "x/tokens has 12 samples and x/rate 11: give one of each"),
        ({"x/rate": np.full(12, np.nan, np.float32)}, "x/rate holds values that are not finite"),
        ({"x/rate": np.ones((12, 2, 2), np.float32)}, "a sample of 'rate' has 2 axes and the model takes []"),
        ({"x/tokens/lengths": np.arange(12)}, "x/tokens/lengths adds up to 66, and x/tokens/values has 30 rows"),
        ({"y": np.zeros((12, 2), np.float32)}, "may be"),
    ],
)
def test_data_that_does_not_fit_is_one_line(changed: dict[str, Any], says: str, tmp_path: Path) -> None:
    assert says in refused(bring_graph(LOOKUP, tmp_path, **lookup(**changed)))


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ('task = "detektion"', "there is no task 'detektion': "),
        ('task = "detection"', "say in the card which of them hold boxes"),
        ('task = "segmentation"', "the model answers"),
        ('[[inputs]]\nname = "y"', "model.toml names the input 'y', the graph 'x': correct input.name"),
        ('[[inputs]]\nname = "x"\nshape = [17]', "gives samples [17], the graph takes [16]: correct input.shape"),
        ('[answers]\nread_from = "z"', "answers: there is no output 'z': the model has y"),
        ("[answers]\nscale = [0.0]", "answers: scale is of numbers above 0"),
        ("[preprocessing]\nscale = 0.5", "or float32 with a scale of 1"),
    ],
)
def test_a_card_that_says_otherwise_than_the_file_is_one_line(card: str, says: str, tmp_path: Path) -> None:
    assert says in refused(bring(regression(), tmp_path, f"\n{card}"))
