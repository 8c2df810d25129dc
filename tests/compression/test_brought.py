"""An ONNX file that somebody else made is taken if a device can run it, and else refused in one line."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.compression.brought_models import LIGHT, classifier, data_file, written

from edgefleet_compression.errors import CompressionError, GraphError
from edgefleet_compression.models.door.brought import check_graph, open_graph
from edgefleet_compression.models.door.inspection import Findings, inspect_model
from edgefleet_compression.models.door.onnx_card import file_lines, head_lines
from edgefleet_compression.onnx_graphs.runtime import newest_opset
from edgefleet_contract.card import parse_card
from edgefleet_contract.first_card import CardHints
from edgefleet_contract.uploads import MAX_ONNX_BYTES
from edgefleet_protocol.signature import Tensor

X = np.zeros((12, 1, 8, 8), np.uint8)
Y = np.arange(12) % 3
UNSAID = CardHints()


def looked_at(model: Path, data: Path, told: CardHints = UNSAID) -> Findings:
    parts = head_lines("m", 1, told), file_lines("onnx", "m.onnx", model), file_lines("data", "d.npz", data)
    return inspect_model(model, data, parse_card("\n".join(parts)))


def answered(path: Path) -> int:
    """How many numbers a checked file answers to a sample."""
    check_graph(path)
    return open_graph(path).run({"input.1": X[:1].astype(np.float32)})[0].shape[1]


def refusal(model: onnx.ModelProto, folder: Path, told: CardHints = UNSAID) -> str:
    with pytest.raises(CompressionError) as caught:
        looked_at(written(model, folder), data_file(folder, x=X, y=Y), told)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_says_what_it_takes_and_gives(tmp_path: Path) -> None:
    path = written(classifier(), tmp_path)
    graph, signature = check_graph(path), open_graph(path).signature
    assert signature.inputs == (Tensor("input.1", "FP32", ("n", 1, 8, 8)),)
    assert (graph.opset, graph.parameters, signature.outputs[0].shape[1]) == (11, 192, 3)


@pytest.mark.parametrize("name", ["shufflenet", "resnet50", "densenet121", "squeezenet"])
def test_networks_of_the_model_zoo_are_taken(name: str) -> None:
    path = LIGHT / f"light_{name}.onnx"
    check_graph(path)
    assert open_graph(path).signature.inputs[0].sample_shape == (3, 224, 224)


def external() -> onnx.ModelProto:
    model = classifier()
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="../../etc/passwd")
    return model


def custom(domain: str = "com.acme", inner: bool = False, op: str = "Detect") -> onnx.ModelProto:
    node = helper.make_node(op, ["x"], ["probs"], domain=domain)
    if inner:
        yes = helper.make_graph([helper.make_node(op, ["x"], ["y"], domain=domain)], "yes", [], [])
        no = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "no", [], [])
        node = helper.make_node("If", ["x"], ["probs"], then_branch=yes, else_branch=no)
    model = classifier(nodes=[node])
    model.opset_import.append(helper.make_opsetid(domain, 1))
    return model


def more(what: str) -> onnx.ModelProto:
    model = classifier()
    values = model.graph.input if what == "inputs" else model.graph.output
    values.append(
        helper.make_tensor_value_info("x" if what == "outputs" else "mask", TensorProto.FLOAT, ["n", 1, 8, 8])
    )
    return model


def short_weight() -> onnx.ModelProto:
    model = classifier()
    model.graph.initializer[0].raw_data = b"\0" * 8
    return model


def shaped(op: str, output: list[int | str], **attributes: int) -> onnx.ModelProto:
    return classifier(nodes=[helper.make_node(op, ["x"], ["probs"], **attributes)], output=output)


BAD: dict[str, tuple[Callable[[], onnx.ModelProto], str]] = {
    "external data": (external, "the weight 'w' lies in another file: register it by"),
    "custom operators": (custom, "operators that onnxruntime does not have (com.acme.Detect)"),
    "an unknown operator of a known domain": (lambda: custom("ai.onnx.ml"), "(ai.onnx.ml.Detect)"),
    "custom operators in a branch": (lambda: custom(inner=True), "(com.acme.Detect)"),
    "two inputs": (lambda: more("inputs"), "the data file's 'x' would be ignored: use one of x/input.1, x/mask, y"),
    "a weight cut short": (
        short_weight,
        "(TensorProto (tensor name: w) raw_data size (8 bytes) is too small",
    ),
    "integer input": (lambda: classifier(elem=TensorProto.INT64), "x is uint8 [12, 1, 8, 8]: give int64 [N, 1, 8, 8]"),
    "batches of four": (lambda: classifier(batch=4), "takes 4 samples at once"),
    "a newer opset": (lambda: classifier(opset=99), "needs opset 99, and onnxruntime"),
    "operators of one kind of processor": (lambda: custom("com.microsoft.nchwc", op="Conv"), "give the file as it was"),
    "an unknown operator": (lambda: shaped("Nonsense", ["n", 3]), "onnx.checker refuses the file"),
    "shapes that don't fit": (lambda: classifier(weight=np.zeros((63, 3), np.float32)), "onnxruntime cannot run"),
    "no graph": (onnx.ModelProto, "this is not an ONNX file, or an empty one"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_no_device_could_run_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    make, reason = BAD[name]
    assert reason in refusal(make(), tmp_path)


def with_node(op: str, domain: str, inputs: list[str], **attributes: Any) -> onnx.ModelProto:
    model = classifier(
        nodes=[
            helper.make_node("Flatten", ["x"], ["flat"], axis=1),
            helper.make_node(op, inputs, ["probs"], domain=domain, **attributes),
        ]
    )
    model.opset_import.append(helper.make_opsetid(domain, 1))
    return model


def test_operators_that_onnxruntime_has_itself_are_taken(tmp_path: Path) -> None:
    linear = {"coefficients": [0.1] * 192, "intercepts": [0.0] * 3, "post_transform": "SOFTMAX"}
    classic = written(with_node("LinearRegressor", "ai.onnx.ml", ["flat"], targets=3, **linear), tmp_path)
    assert answered(classic) == 3
    fused = written(with_node("FusedMatMul", "com.microsoft", ["flat", "w"], alpha=0.5), tmp_path)
    assert answered(fused) == 3


def test_a_domain_that_no_node_is_of_means_nothing(tmp_path: Path) -> None:
    model = classifier()
    model.opset_import.append(helper.make_opsetid("Paddle", 0))
    path = written(model, tmp_path)
    assert answered(path) == 3


@pytest.mark.parametrize("opset", [7, newest_opset()])
def test_every_opset_that_the_runtime_reads_is_taken(opset: int, tmp_path: Path) -> None:
    nodes = [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["probs"])]
    path = written(classifier(opset=opset, nodes=nodes), tmp_path)
    assert answered(path) == 3


@pytest.mark.parametrize("content", [pickle.dumps({"weights": [1, 2]}), b"", b"PK\x03\x04", b"<html>not found</html>"])
def test_a_file_that_is_no_onnx_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(GraphError, match="this is not an ONNX file"):
        check_graph(tmp_path / "m.onnx")


def test_a_file_beyond_the_limit_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "m.onnx").open("wb") as file:
        file.truncate(MAX_ONNX_BYTES + 1)
    with pytest.raises(GraphError, match="at most 2,147,483,647 are possible in one file"):
        check_graph(tmp_path / "m.onnx")


def test_functions_of_its_own_are_put_in_place(tmp_path: Path) -> None:
    model = classifier(opset=18, nodes=[helper.make_node("Bars", ["x", "w"], ["probs"], domain="own")])
    model.ir_version = 8
    model.opset_import.append(helper.make_opsetid("own", 1))
    body = [
        helper.make_node("Flatten", ["a"], ["flat"]),
        helper.make_node("MatMul", ["flat", "b"], ["c"]),
    ]
    model.functions.append(helper.make_function("own", "Bars", ["a", "b"], ["c"], body, [helper.make_opsetid("", 18)]))
    path = written(model, tmp_path)
    check_graph(path)
    assert looked_at(path, data_file(tmp_path, x=X, y=Y)).classes == 3


def test_a_look_from_outside_says_what_file_and_data_are(tmp_path: Path) -> None:
    found = looked_at(written(classifier(batch=1), tmp_path), data_file(tmp_path, x=X))
    assert (found.classes, found.shapes, found.scale) == (3, {"input.1": (1, 8, 8)}, 1 / 255)
    assert (found.samples, found.labelled, found.reading.task) == (5, False, "classification")
    assert found.reading.guesses == (
        "the task is taken to be classification: its answers are probabilities that sum to 1",
    )


def test_samples_may_be_called_by_the_input(tmp_path: Path) -> None:
    named = data_file(tmp_path, **{"x_val/input.1": X, "x_test/input.1": X, "x_calib": X})
    assert looked_at(written(classifier(), tmp_path), named).samples == 12


def test_a_model_that_would_eat_the_hosts_memory_ends_as_a_refusal(tmp_path: Path) -> None:
    huge = helper.make_tensor("value", TensorProto.FLOAT, [1], [1.0])
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [2**20, 2**16])
    nodes = [
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("ConstantOfShape", ["shape"], ["probs"], value=huge),
    ]
    path = written(classifier(nodes=nodes, output=["n", "c"]), tmp_path)
    with pytest.raises(CompressionError, match=r"cannot run the file|need more than|took more than"):
        looked_at(path, data_file(tmp_path, x=X))


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"x": X[:, 0]}, "has 2 axes and the model takes .*: give 3, without"),
        ({"x": X[:9]}, "give 10 samples or more to split"),
        ({"x_val": X}, "has no x_test: add the split"),
        ({"x": X, "y": np.full(12, 3)}, "label 0 of y_val: a class is a whole number from 0 to 2; not 3"),
        ({"x": X, "y": np.zeros(11, int)}, "one label for each of the 12 samples"),
        ({"x": np.full((12, 1, 8, 8), np.nan, np.float32)}, "x holds values that are not finite"),
        ({"x": X.astype(np.float64)}, "x is float64"),
        ({"y": np.zeros(12, int)}, "has no x_val"),
        ({"x_val": X, "x_test": X, "x_train": X[:, 0]}, r"x_train is uint8 \[12, 8, 8\]"),
        (
            {"x_val": X, "x_test": X, "x_calib": X, "y_calib": np.full(12, 9)},
            "label 0 of y_calib: a class is .* 0 to 2; not 9",
        ),
        ({"x_val": X, "x_test": X, "x_vall": X}, "'x_vall' would be ignored: did you mean 'x_val'"),
        ({"x_val": X, "x_test": X, "x": X}, "'x' would be ignored: use one of x_calib, "),
        ({"x": X, "ids": np.zeros(12)}, "'ids' would be ignored: use one of x, y"),
        ({"x_val/input.1": X, "x_test/other": X}, "'x_test/other' would be ignored: "),
        ({"x_val/values": X, "x_val/lengths": np.ones(12, int)}, "has no x_test: add the split"),
    ],
)
def test_data_that_does_not_fit_is_refused_with_the_reason(
    arrays: dict[str, np.ndarray], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(CompressionError, match=reason):
        looked_at(written(classifier(), tmp_path), data_file(tmp_path, **arrays), CardHints(task="classification"))
