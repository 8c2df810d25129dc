"""Bring your own model: an ONNX file and its data go the same way, by the recipes that need no module."""

import io
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto
from tests.compression.brought_models import LIGHT, classifier, data_file, written
from tests.compression.conftest import pictures

from edgefleet_compression.builds.comparison import compare_answers
from edgefleet_compression.builds.entry_points import build_variant, source_metrics
from edgefleet_compression.builds.messages import BuildOutcome, BuildRequest, CompareRequest, SourceRequest, WorkRefused
from edgefleet_compression.errors import CompressionError
from edgefleet_compression.models.door.inspection import inspect_model
from edgefleet_compression.models.door.onnx_card import card_for_onnx, slug
from edgefleet_compression.recipes.recipe import Recipe, recipe_from, shipped_recipes
from edgefleet_contract.card import load_card, parse_card
from edgefleet_contract.errors import CardError
from edgefleet_contract.first_card import CardHints
from edgefleet_contract.metrics import Metrics

OF_A_FILE = ["as-brought", "fp32", "int8", "w8"]


class Brought:
    """A model's folder as the client makes it, and builds of it."""

    def __init__(self, folder: Path, model: Path, data: Path, **card: Any) -> None:
        self.folder = folder
        text = card_for_onnx(model, data, **{"name": None, "version": 1, **card})
        (folder / "model.toml").write_text(text)
        self.card = parse_card(text)
        self._built: dict[str, BuildOutcome] = {}
        self.files = {"model.toml": folder / "model.toml", "model.onnx": model, "data.npz": data}

    def build(self, recipe: str | Recipe, **changed: Any) -> BuildOutcome | WorkRefused:
        if isinstance(recipe, str):
            recipe = shipped_recipes()[recipe]
        work = self.folder / "work" / f"{recipe.name}-{len(self._built)}"
        return build_variant(
            replace(BuildRequest(self.files, recipe, "x86-avx2", self.folder / "cache", work), **changed)
        )

    def built(self, recipe: str | Recipe, **changed: Any) -> BuildOutcome:
        key = repr((recipe, changed))
        if key not in self._built:
            outcome = self.build(recipe, **changed)
            assert isinstance(outcome, BuildOutcome), outcome
            self._built[key] = outcome
        return self._built[key]

    def refusal(self, recipe: str | Recipe, **changed: Any) -> WorkRefused:
        outcome = self.build(recipe, **changed)
        assert isinstance(outcome, WorkRefused) and "\n" not in outcome.sentence
        return outcome

    def source(self) -> Metrics:
        metrics = source_metrics(SourceRequest(self.files, self.folder / "cache"))
        assert isinstance(metrics, Metrics), metrics
        return metrics


def golden_set(outcome: BuildOutcome) -> Any:
    return np.load(io.BytesIO(outcome.recorded.golden))


def self_test(outcome: BuildOutcome) -> None:
    """What a device of 0.1.0 does: one sample at a time, softmax, against what was recorded."""
    golden = golden_set(outcome)
    session = onnxruntime.InferenceSession(outcome.onnx_path, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    dtype = np.uint8 if given.type == "tensor(uint8)" else np.float32
    for sample, expected in zip(golden["inputs"], outcome.recorded.probabilities, strict=True):
        x = sample.astype(dtype)[None]
        logits = session.run(None, {given.name: x})[0].astype(np.float64)
        powers = np.exp(logits - logits.max())
        np.testing.assert_allclose((powers / powers.sum())[0], expected, atol=0.02)
        assert int(logits.argmax()) == int(np.argmax(expected))


@pytest.fixture(scope="module")
def bars(tmp_path_factory: pytest.TempPathFactory) -> Brought:
    """A classifier in opset 11 with its weight among the inputs, and labelled pictures in one piece."""
    folder = tmp_path_factory.mktemp("bars")
    x, y = pictures(200, 3)
    return Brought(folder, written(classifier(), folder, "Bars V2.onnx"), data_file(folder, x=x, y=y))


def test_a_card_is_made_of_the_file_and_its_data(bars: Brought) -> None:
    card = bars.card
    assert (card.name, card.version, card.door, card.source, card.labels) == ("bars-v2", 1, "onnx", "brought", ())
    assert (card.input.name, card.input.shape, card.golden.samples) == ("input.1", (1, 8, 8), 32)
    assert card.preprocessing.scale == pytest.approx(1 / 255)
    assert card.files.keys() == {"model.onnx", "data.npz"}


def test_every_recipe_that_needs_no_module_builds_and_is_measured_as_ever(bars: Brought) -> None:
    source = bars.source()
    assert source.accuracy_val == 1.0 and source.accuracy_test == 1.0
    for recipe in OF_A_FILE:
        metrics = bars.built(recipe).metrics
        unknown = [name for name, value in metrics if value is None]
        assert unknown == ["mj_per_inference"], recipe
        assert (metrics.accuracy_test, metrics.agreement, metrics.test_samples) == (1.0, 1.0, 80)
        assert metrics.parameters == 192


def test_a_file_that_is_sent_what_it_takes_is_delivered_byte_for_byte(tmp_path: Path) -> None:
    x, y = pictures(90, 4)
    floats = data_file(tmp_path, x=x.astype(np.float32) / 255, y=y)
    network = written(classifier(), tmp_path)
    outcome = Brought(tmp_path, network, floats).built("as-brought")
    assert outcome.onnx_path.read_bytes() == network.read_bytes()
    assert (outcome.min_onnxruntime, outcome.metrics.file_bytes) == ("1.20", network.stat().st_size)
    self_test(outcome)


def test_the_others_say_that_they_need_the_module_or_samples_to_train_on(bars: Brought) -> None:
    for recipe in shipped_recipes().keys() - set(OF_A_FILE):
        refused = bars.refusal(recipe)
        module, samples = "needs a torch module, but this model came as ONNX", "this model came without x_train"
        assert refused.reason == "not_applicable"
        assert (samples if recipe == "student-w5" else module) in refused.sentence


def test_the_cleaned_file_is_as_our_own_exports_are_and_answers_as_the_brought_one(bars: Brought) -> None:
    outcome = bars.built("fp32")
    model = onnx.load(outcome.onnx_path)
    assert [value.name for value in model.graph.input] == ["input.1"]
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 21)]
    assert outcome.steps[0].log["cleaned"] == "folded, opset raised"
    assert float(str(outcome.steps[0].log["largest_difference"])) < 1e-5
    x = pictures(16, 9)[0]
    answers = [
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"input.1": sent})[0]
        for path, sent in ((bars.files["model.onnx"], x.astype(np.float32) / 255), (outcome.onnx_path, x))
    ]
    np.testing.assert_allclose(*answers, atol=1e-6)


def test_a_file_of_a_controller_of_0_1_is_compared_by_what_it_takes_itself(bars: Brought) -> None:
    made = bars.built("fp32").onnx_path
    request = CompareRequest(bars.files, bars.folder / "cache", bars.files["model.onnx"], made, {})
    found = compare_answers(request)
    assert (found.agreement, found.same_top1) == (1, found.samples)
    assert found.largest_difference is not None and found.largest_difference < 1e-5


def test_int8_follows_the_scheme_and_leaves_the_probabilities_alone(bars: Brought) -> None:
    vnni, avx2 = (bars.built("int8", instruction_set=name) for name in ("x86-vnni", "x86-avx2"))
    assert [made.scheme and made.scheme.reduce_range for made in (vnni, avx2)] == [False, True]
    assert onnx.load(vnni.onnx_path).graph.node[-1].op_type == "Softmax"


def test_weights_may_take_four_bits_although_the_file_came_in_an_old_opset(bars: Brought) -> None:
    steps = [{"step": "export"}, {"step": "storage_quant", "config": {"linear": 4}}]
    outcome = bars.built(recipe_from({"name": "w4", "title": "t", "steps": steps}))
    kinds = {tensor.data_type for tensor in onnx.load(outcome.onnx_path).graph.initializer}
    assert TensorProto.INT4 in kinds and outcome.metrics.agreement == 1.0


def test_a_device_gets_the_answers_that_were_recorded(bars: Brought) -> None:
    for recipe in OF_A_FILE:
        assert golden_set(bars.built(recipe))["labels"].shape == (32,)
        self_test(bars.built(recipe))


def test_a_second_build_does_no_step(bars: Brought) -> None:
    bars.built("w8")
    again = bars.build("w8")
    assert isinstance(again, BuildOutcome) and all(step.cached for step in again.steps)


def test_without_labels_only_agreement_is_measured(tmp_path: Path) -> None:
    x = pictures(40, 5)[0]
    data = data_file(tmp_path, x_calib=x[:10], x_val=x[10:20], x_test=x[20:], y_test=np.full(20, -1))
    model = Brought(tmp_path, written(classifier(), tmp_path), data)
    outcome = model.built("int8")
    metrics = outcome.metrics
    assert (metrics.accuracy_val, metrics.accuracy_test, metrics.accuracy_test_ci) == (None, None, None)
    assert (metrics.agreement, metrics.agreement_val, metrics.test_samples) == (1.0, 1.0, 20)
    assert model.source().accuracy_val is None
    assert golden_set(outcome).files == ["inputs"]
    assert outcome.recorded.size.unlike_asked is None


def test_float32_samples_are_taken_as_they_are(tmp_path: Path) -> None:
    x, y = pictures(60, 5)
    floats = (x / 255).astype(np.float32)
    model = Brought(tmp_path, written(classifier(batch=1), tmp_path), data_file(tmp_path, x=floats, y=y))
    assert model.card.preprocessing.scale == 1
    outcome = model.built("int8")
    assert outcome.metrics.accuracy_test == 1.0
    assert golden_set(outcome)["inputs"].dtype == np.float32
    self_test(outcome)


def test_a_graph_that_takes_uint8_is_given_uint8(tmp_path: Path) -> None:
    x, y = pictures(60, 5)
    network = written(classifier(elem=TensorProto.UINT8, scaled_by=1 / 255), tmp_path)
    model = Brought(tmp_path, network, data_file(tmp_path, x=x, y=y))
    assert model.card.preprocessing.scale is None
    for recipe in ("int8", "w8"):
        outcome = model.built(recipe)
        assert outcome.metrics.accuracy_test == 1.0
        self_test(outcome)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Brought:
    """ShuffleNet of the ONNX Model Zoo, by Caffe2, opset 9, IR version 3, and pictures without labels."""
    folder = tmp_path_factory.mktemp("zoo")
    x = np.random.RandomState(0).randint(0, 256, (20, 3, 224, 224)).astype(np.uint8)
    return Brought(folder, LIGHT / "light_shufflenet.onnx", data_file(folder, x=x))


@pytest.mark.parametrize("recipe", [pytest.param("int8", marks=pytest.mark.slow), "w8"])
def test_a_network_that_this_project_did_not_make_goes_the_whole_way(zoo: Brought, recipe: str) -> None:
    outcome = zoo.built(recipe)
    metrics = outcome.metrics
    assert (metrics.accuracy_val, metrics.agreement, metrics.parameters) == (None, 1.0, 1_379_880)
    assert metrics.p50_ms and metrics.p50_ms > 0
    assert outcome.steps[0].log["cleaned"] == "folded, opset raised"
    nodes = {node.op_type for node in onnx.load(outcome.onnx_path).graph.node}
    assert nodes.isdisjoint({"BatchNormalization", "ConstantOfShape"})
    assert ("QuantizeLinear" in nodes) == (recipe == "int8")
    self_test(outcome)


def test_a_golden_set_of_large_pictures_has_one_and_what_it_takes_is_said(zoo: Brought) -> None:
    size = zoo.built("w8").recorded.size
    assert (size.samples, size.wanted, size.held) == (1, 8, 8)
    assert size.size_bytes > 3 * 224 * 224 > size.budget_bytes
    assert size.unlike_asked and size.unlike_asked.startswith(
        f"a golden set of 1 sample takes {size.size_bytes:,} bytes"
    )


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.pkl", "net.pt2"])
def test_pickles_are_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    with pytest.raises(CardError, match="loading this format runs code"):
        card_for_onnx(tmp_path / name, tmp_path / "d.npz", name=None, version=1)


def test_other_formats_and_missing_files_are_refused(tmp_path: Path, bars: Brought) -> None:
    with pytest.raises(CardError, match=r"must end in \.onnx"):
        card_for_onnx(tmp_path / "net.tflite", tmp_path / "d.npz", name=None, version=1)
    with pytest.raises(CardError, match=r"must end in \.npz"):
        card_for_onnx(bars.files["model.onnx"], tmp_path / "d.csv", name=None, version=1)
    with pytest.raises(CardError, match="does not exist: give the path"):
        card_for_onnx(tmp_path / "net.onnx", tmp_path / "d.npz", name=None, version=1)
    with pytest.raises(CardError, match=r"model\.toml, name"):
        card_for_onnx(*(bars.files[n] for n in ("model.onnx", "data.npz")), name="Not A Name", version=1)


def test_a_name_is_made_of_the_files() -> None:
    assert [slug(stem) for stem in ("MobileNet V2.1", "net", "_x_")] == ["mobilenet-v2-1", "net", "x"]
    with pytest.raises(CardError, match="give one"):
        slug("模型")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name = "input.1"', 'name = "image"', "names the input 'image', the graph 'input.1'"),
        ("[1, 8, 8]", "[1, 8, 9]", r"gives samples \[1, 8, 9\], the graph takes \[1, 8, 8\]"),
        ("version = 1\n", 'version = 1\nlabels = ["a", "b"]\n', "2 labels are named, but the model answers 3 classes"),
    ],
)
def test_a_card_that_says_otherwise_than_the_file_is_refused(
    bars: Brought, tmp_path: Path, old: str, new: str, reason: str
) -> None:
    text = (bars.folder / "model.toml").read_text()
    assert old in text
    (tmp_path / "model.toml").write_text(text.replace(old, new))
    with pytest.raises(CompressionError, match=reason):
        inspect_model(bars.files["model.onnx"], bars.files["data.npz"], parse_card(text.replace(old, new)))
    changed = {**bars.files, "model.toml": tmp_path / "model.toml"}
    assert bars.refusal("fp32", files=changed).reason == "bad_model"


@pytest.mark.parametrize(
    ("part", "reason"),
    [
        ('door = "onnx"', r"door 'onnx' needs \[onnx\]"),
        ('door = "architecture"\nlabels = ["a", "b"]', r"door 'architecture' needs \[architecture\]"),
        (f'door = "onnx"\n[onnx]\nfile = "m.pt"\nsha256 = "{"0" * 64}"', "loading this format runs code"),
        (f'door = "onnx"\n[onnx]\nfile = "m.h5"\nsha256 = "{"0" * 64}"', r"must end in \.onnx"),
    ],
)
def test_a_card_has_the_parts_of_its_door(part: str, reason: str) -> None:
    rest = f'\n[data]\nfile = "d.npz"\nsha256 = "{"0" * 64}"\n[input]\nshape = [1, 8, 8]\n'
    assert tomllib.loads(f'name = "m"\n{part}{rest}')
    with pytest.raises(CardError, match=reason):
        parse_card(f'name = "m"\n{part}{rest}')


def test_a_folder_with_such_a_card_is_a_models_folder_as_any(bars: Brought, tmp_path: Path) -> None:
    for name, path in bars.files.items():
        (tmp_path / name).write_bytes(path.read_bytes())
    assert load_card(tmp_path) == bars.card


def test_answers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    node = [onnx.helper.make_node("ReduceMean", ["x"], ["m"], axes=[2, 3], keepdims=0),
            onnx.helper.make_node("Concat", ["m", "m"], ["two"], axis=1),
            onnx.helper.make_node("Log", ["two"], ["probs"])]  # fmt: skip
    x = pictures(20, 1)[0]
    x[16:] = 0  # beyond what a first look asks for
    data = data_file(tmp_path, x_val=x, x_test=x, x_calib=x)
    network = written(classifier(nodes=node, output=["n", 2]), tmp_path)
    model = Brought(tmp_path, network, data, told=CardHints(task="classification"))
    assert "answer to 4 of 20 samples of val is not finite" in model.refusal("fp32").sentence


def test_a_recipe_says_whether_it_applies() -> None:
    recipes = shipped_recipes()
    assert [name for name, recipe in sorted(recipes.items()) if recipe.refusal("brought") is None] == OF_A_FILE
    of_a_module = {name for name, recipe in recipes.items() if recipe.refusal("torch") is None}
    assert of_a_module == recipes.keys() - {"as-brought"}
    assert "this model came as a module" in (recipes["as-brought"].refusal("torch") or "")
    own = recipe_from({"name": "r", "title": "t", "steps": [{"step": "finetune"}, {"step": "export"}]})
    assert own.refusal("brought") == "'finetune' needs a torch module, but this model came as ONNX"
