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
from edgefleet_compression.models.brought import answered_classes, check_graph
from edgefleet_compression.models.inspection import inspect_model
from edgefleet_compression.onnx_graphs.runtime import newest_opset
from edgefleet_contract.uploads import MAX_ONNX_BYTES

X = np.zeros((12, 1, 8, 8), np.uint8)


def refusal(model: onnx.ModelProto, folder: Path) -> str:
    path = written(model, folder)
    with pytest.raises(GraphError) as caught:
        answered_classes(path, check_graph(path), (1, 8, 8))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_says_what_it_takes_and_gives(tmp_path: Path) -> None:
    path = written(classifier(), tmp_path)
    graph = check_graph(path)
    assert (graph.input_name, graph.input_type, graph.batch, graph.sample) == ("input.1", "float32", None, (1, 8, 8))
    assert (graph.opset, graph.parameters, answered_classes(path, graph, (1, 8, 8))) == (11, 192, 3)


@pytest.mark.parametrize("name", ["shufflenet", "resnet50", "densenet121", "squeezenet"])
def test_networks_of_the_model_zoo_are_taken_as_far_as_they_answer_classes(name: str) -> None:
    path = LIGHT / f"light_{name}.onnx"
    if name in ("shufflenet", "resnet50"):
        assert check_graph(path).sample == (3, 224, 224)
    else:
        with pytest.raises(GraphError, match=r"is \[1, 1000, 1, 1\]: a classifier gives \[N, classes\]"):
            check_graph(path)


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
    "two inputs": (lambda: more("inputs"), "takes 2 inputs (input.1, mask): only one"),
    "two outputs": (lambda: more("outputs"), "gives 2 outputs (probs, x): keep only [N, classes]"),
    "a weight cut short": (
        short_weight,
        "(TensorProto (tensor name: w) raw_data size (8 bytes) is too small",
    ),
    "integer input": (lambda: classifier(elem=TensorProto.INT64), "is int64: only float32 and uint8"),
    "batches of four": (lambda: classifier(batch=4), "takes 4 samples at once"),
    "pictures as output": (lambda: shaped("Relu", ["n", 1, 8, 8]), "is [N, 1, 8, 8]: a classifier gives"),
    "one class": (lambda: shaped("ReduceMax", ["n", "c"], axes=[2, 3], keepdims=0), "answers [2, 1] to 2 samples"),
    "samples mixed up": (lambda: shaped("Flatten", ["n", "c"], axis=0), "answers [1, 128] to 2 samples"),
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
    assert answered_classes(classic, check_graph(classic), (1, 8, 8)) == 3
    fused = written(with_node("FusedMatMul", "com.microsoft", ["flat", "w"], alpha=0.5), tmp_path)
    assert answered_classes(fused, check_graph(fused), (1, 8, 8)) == 3


def test_a_domain_that_no_node_is_of_means_nothing(tmp_path: Path) -> None:
    model = classifier()
    model.opset_import.append(helper.make_opsetid("Paddle", 0))
    path = written(model, tmp_path)
    assert answered_classes(path, check_graph(path), (1, 8, 8)) == 3


@pytest.mark.parametrize("opset", [7, newest_opset()])
def test_every_opset_that_the_runtime_reads_is_taken(opset: int, tmp_path: Path) -> None:
    nodes = [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["probs"])]
    path = written(classifier(opset=opset, nodes=nodes), tmp_path)
    assert answered_classes(path, check_graph(path), (1, 8, 8)) == 3


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
    assert answered_classes(path, check_graph(path), (1, 8, 8)) == 3


def test_a_look_from_outside_says_what_file_and_data_are(tmp_path: Path) -> None:
    found = inspect_model(written(classifier(batch=1), tmp_path), data_file(tmp_path, x=X))
    assert (found.classes, found.shape, found.data_type, found.samples, found.labelled) == (
        3,
        (1, 8, 8),
        "uint8",
        5,
        False,
    )


def test_samples_may_be_called_by_the_input(tmp_path: Path) -> None:
    named = data_file(tmp_path, **{"x_val/input.1": X, "x_test/input.1": X, "x_calib": X})
    assert inspect_model(written(classifier(), tmp_path), named).samples == 12


def test_a_model_that_would_eat_the_hosts_memory_ends_as_a_refusal(tmp_path: Path) -> None:
    huge = helper.make_tensor("value", TensorProto.FLOAT, [1], [1.0])
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [2**20, 2**16])
    nodes = [
        helper.make_node("Constant", [], ["shape"], value=shape),
        helper.make_node("ConstantOfShape", ["shape"], ["probs"], value=huge),
    ]
    path = written(classifier(nodes=nodes, output=["n", "c"]), tmp_path)
    with pytest.raises(CompressionError, match=r"cannot run the file|need more than|took more than"):
        inspect_model(path, data_file(tmp_path, x=X))


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"x": X[:, 0]}, r"the samples are \[8, 8\], the graph takes \[1, 8, 8\]"),
        ({"x": X[:9]}, "give 10 samples or more to split"),
        ({"x_val": X}, "has no x_test: add the split"),
        ({"x": X, "y": np.full(12, 3)}, "one label from 0 to 2"),
        ({"x": X, "y": np.zeros(11, int)}, "one label for each of the 12 samples"),
        ({"x": np.full((12, 1, 8, 8), np.nan, np.float32)}, "x holds values that are not finite"),
        ({"x": X.astype(np.float64)}, "x is float64"),
        ({"y": np.zeros(12, int)}, "has no x_val"),
        ({"x_val": X, "x_test": X, "x_train": X[:, 0]}, r"x_train is uint8 \[12, 8, 8\]"),
        ({"x_val": X, "x_test": X, "x_calib": X, "y_calib": np.full(12, 9)}, "y_calib must hold one label from 0 to 2"),
        ({"x_val": X, "x_test": X, "x_vall": X}, "'x_vall' would be ignored: did you mean 'x_val'"),
        ({"x_val": X, "x_test": X, "x": X}, "'x' would be ignored: use one of x_calib, "),
        ({"x": X, "ids": np.zeros(12)}, "'ids' would be ignored: use one of x, y"),
        ({"x_val/input.1": X, "x_test/other": X}, "has no x_test: add the split"),
        ({"x_val/values": X, "x_val/lengths": np.ones(12, int)}, "has x_val: give x_val, one array"),
    ],
)
def test_data_that_does_not_fit_is_refused_with_the_reason(
    arrays: dict[str, np.ndarray], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(CompressionError, match=reason):
        inspect_model(written(classifier(), tmp_path), data_file(tmp_path, **arrays))
