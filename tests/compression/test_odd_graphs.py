"""Odd but legal graphs: every step that takes a file gives the right answers, or refuses in words of its own."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.compression.brought_models import classifier, data_file, written
from tests.compression.conftest import pictures
from tests.compression.odd_graphs import Odd, each_choice, every_pair, odd_graph
from tests.parting import mostly_slow

from edgefleet_compression.builds.recipe_runner import Workbench, run_recipe
from edgefleet_compression.builds.refusals import refusal_of
from edgefleet_compression.cache import Cache
from edgefleet_compression.models.door.onnx_card import card_for_onnx
from edgefleet_compression.models.source import Source
from edgefleet_compression.models.source_files import open_source
from edgefleet_compression.onnx_graphs.graph import nodes
from edgefleet_compression.onnx_graphs.masks import is_erased
from edgefleet_compression.onnx_graphs.names import drop_unused, readers, rename_all
from edgefleet_compression.onnx_graphs.session import GraphSession, inputs
from edgefleet_compression.onnx_graphs.stripping import strip
from edgefleet_compression.onnx_graphs.weighted_nodes import weighted_nodes
from edgefleet_compression.recipes.recipe import recipe_from
from edgefleet_compression.registry import registry
from edgefleet_compression.schemes import Scheme
from edgefleet_compression.step import FILE
from edgefleet_contract.first_card import CardHints

CLASSES = CardHints(task="classification")

OWN = {name: found.step for name, found in registry().steps.items() if found.plugin is None}
TAKE_FILES = [name for name, one in OWN.items() if one.consumes & FILE]
MILD: dict[str, dict[str, Any]] = {"prune_unstructured": {"sparsity": 0.3}, "accuracy_int8": {"max_drop": 0.05}}
"""Settings for steps whose own are too rough for 64 pictures to be answered as before."""
MORE: list[tuple[str, dict[str, Any]]] = [
    ("static_int8", {"calibration": "percentile"}),
    ("static_int8", {"calibration": "entropy"}),
    ("static_int8", {"calibration": "mse", "per_channel": False}),
    ("storage_quant", {"mean_bits": 5.0}),
    ("storage_quant", {"lossless": True}),
    ("weight_only", {"bits": 8, "accuracy_level": 0}),
]
LEAST_AGREEMENT, LEAST_DB = 0.95, 15.0
EVERYWHERE = Scheme("u8", reduce_range=True)
"""Weights of 8 bits saturate on processors without VNNI, and these may be of this kind."""


def brought(how: Odd, folder: Path) -> Source:
    model = written(odd_graph(how), folder, "model.onnx")
    x, y = pictures(160, 3)
    data = data_file(folder, x=x, y=y)
    card = folder / "model.toml"
    card.write_text(card_for_onnx(model, data, name="odd", version=1))
    return open_source({"model.toml": card, "model.onnx": model, "data.npz": data}, Cache(folder / "cache"))


def judged(source: Source, step: str, config: dict[str, Any], folder: Path) -> str:
    """`right`, or why the step refused; fails where answers are wrong or nobody foresaw the error."""
    steps = [{"step": "export"}, {"step": step, "config": config}]
    recipe = recipe_from({"name": "odd", "title": "odd", "steps": steps})
    val = source.data.read("val").arrays
    try:
        path, _ = run_recipe(recipe, Workbench(source, EVERYWHERE, 0, source.cache, folder), lambda *_: None)
    except Exception as error:
        refused = refusal_of(error)
        assert refused.reason in ("nothing_changed", "step_failed"), (step, config, refused)
        return refused.sentence
    before, after = source.logits("val"), GraphSession(path).logits(inputs(val.x, 1 / 255))
    noise, signal = np.square(after - before).sum(), np.square(before - before.mean(0)).sum()
    db = 10 * np.log10(signal / max(noise, 1e-12 * signal))
    agreement = (after.argmax(1) == before.argmax(1)).mean()
    assert agreement >= LEAST_AGREEMENT and db >= LEAST_DB, (step, config, agreement, db)
    return "right"


@pytest.mark.parametrize("how", mostly_slow(each_choice(), one_in=2), ids=str)
def test_each_odd_choice_is_compressed_rightly_or_refused_in_our_words(how: Odd, tmp_path: Path) -> None:
    source = brought(how, tmp_path)
    assert (source.logits("val").argmax(1) == source.data.read("val").arrays.y).mean() > LEAST_AGREEMENT
    said = {step: judged(source, step, MILD.get(step, {}), tmp_path) for step in TAKE_FILES}
    refused = {step: sentence for step, sentence in said.items() if sentence != "right"}
    assert refused.keys() <= {"pack"}, refused  # nothing but packing may find that it doesn't pay
    assert all("layouts encodes to fewer" in sentence for sentence in refused.values()), refused


@pytest.mark.slow
@pytest.mark.parametrize("how", every_pair(), ids=str)
def test_any_two_odd_choices_together_are_too(how: Odd, tmp_path: Path) -> None:
    source = brought(how, tmp_path)
    said = [judged(source, step, config, tmp_path) for step, config in [*MILD.items(), *MORE]]
    said += [judged(source, step, {}, tmp_path) for step in TAKE_FILES if step not in MILD]
    assert said.count("right") > len(said) / 2


def test_ranges_by_histogram_refuse_infinite_activations_with_what_to_do(tmp_path: Path) -> None:
    source = brought(Odd(mask="where"), tmp_path)
    for calibration in ("percentile", "entropy"):
        said = judged(source, "static_int8", {"calibration": calibration}, tmp_path)
        assert said == (
            f"ranges by {calibration} need finite activations, and a mask makes some infinite: "
            "set calibration to minmax or mse"
        )


def test_layers_within_nodes_are_found_with_the_graph_that_stores_their_weights() -> None:
    outer, own = odd_graph(Odd(home="if")).graph, odd_graph(Odd(home="if-own")).graph
    assert [(layer.name, layer.home is outer) for layer in weighted_nodes(outer)][1] == ("inner_weight", True)
    assert [(layer.name, layer.home is own) for layer in weighted_nodes(own)][1] == ("inner_weight", False)
    shared = weighted_nodes(odd_graph(Odd(home="shared")).graph)
    assert [layer.name for layer in shared].count("inner_weight") == 1


@pytest.mark.parametrize("home", ["if", "nested", "loop", "scan"])
def test_what_only_a_graph_within_a_node_reads_is_not_unused(home: Any) -> None:
    graph = odd_graph(Odd(home=home)).graph
    graph.initializer.append(numpy_helper.from_array(np.zeros(3, np.float32), "idle"))
    assert readers(graph)["inner_weight"] == 1
    drop_unused(graph)
    kept = {tensor.name for tensor in graph.initializer}
    assert "inner_weight" in kept and "idle" not in kept


def test_new_names_meet_none_that_stay_and_none_of_a_graph_within() -> None:
    model = odd_graph(Odd(home="nested"))
    strip(model)
    graph = model.graph
    names = [name for node in nodes(graph) for name in node.output] + [tensor.name for tensor in graph.initializer]
    assert len(names) == len(set(names)) and "v0" not in names and graph.input[0].name == "v0"


def test_branches_that_name_their_values_alike_get_other_names() -> None:
    branch = [helper.make_node("Relu", ["x"], ["y"])]
    given = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    both = {side: helper.make_graph(branch, side, [], given) for side in ("then_branch", "else_branch")}
    graph = helper.make_graph(
        [helper.make_node("If", ["holds"], ["chosen"], **both)],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "holds")],
        [helper.make_tensor_value_info("chosen", TensorProto.FLOAT, None)],
    )
    rename_all(graph, iter("abc"))
    inner = [node for node in nodes(graph) if node.op_type == "Relu"]
    assert [(list(node.input), list(node.output)) for node in inner] == [(["x"], ["a"]), (["x"], ["b"])]
    assert [a.g.output[0].name for a in graph.node[0].attribute] == ["a", "b"]


@pytest.mark.parametrize(
    ("values", "erased"),
    [
        ([0.0, -np.inf, 3.0], True),
        ([0.0, -10_000.0, 3.0, 7.0], True),
        ([0.0, -10_000.0], False),  # two values, and each gets a level of its own
        ([0.0, 1.0, 2.0, 100.0], False),
        ([0.0, 0.1, 0.2, 100.0], True),
        ([5.0, 5.0], False),
    ],
)
def test_a_tensor_is_a_mask_if_one_level_holds_all_its_other_values(values: list[float], erased: bool) -> None:
    exact = np.array(values, np.float32)
    assert is_erased(exact, float(exact.min()), float(exact.max())) is erased


def test_every_fault_of_a_file_is_told_at_once_and_then_those_of_its_data(tmp_path: Path) -> None:
    model = classifier(opset=99, nodes=[helper.make_node("Detect", ["x"], ["probs"], domain="com.acme")])
    model.opset_import.append(helper.make_opsetid("com.acme", 1))
    data = data_file(tmp_path, x_val=np.zeros((12, 1, 8, 8), np.uint8))
    with pytest.raises(Exception, match=r"^2 things are wrong: \(1\) .*com.acme.Detect.* \(2\) .*opset 99") as caught:
        card_for_onnx(written(model, tmp_path), data, name=None, version=1)
    assert "\n" not in str(caught.value)
    with pytest.raises(Exception, match="has no x_test"):
        card_for_onnx(written(classifier(), tmp_path), data, name=None, version=1)


def test_infinite_constants_are_taken_and_answers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    x = pictures(40, 1)[0]
    for value, refused in ((np.inf, True), (np.nan, True), (0.5, False)):
        weight = np.zeros((64, 3), np.float32)
        weight[5, 1] = value
        model = written(classifier(weight=weight), tmp_path, "one.onnx")
        if not refused:
            assert "name" in card_for_onnx(model, data_file(tmp_path, x=x), name=None, version=1, told=CLASSES)
            continue
        with pytest.raises(Exception, match=r"16 of .* answers to the first 16 samples of val .* not finite"):
            card_for_onnx(model, data_file(tmp_path, x=x), name=None, version=1, told=CLASSES)
