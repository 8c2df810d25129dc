"""Where a graph computes in 8 bits, what makes answers of its last layers does not; layers keep their activations."""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgefleet_compression.onnx_graphs.losses import loss_between
from edgefleet_compression.onnx_graphs.regions import tail, with_followers
from edgefleet_protocol.spec import BoxReading, OutputColumns, Spec

WEIGHT = np.ones((8, 8), np.float32)


def graph(*nodes: tuple[str, str, str, str], outputs: str = "answers") -> onnx.GraphProto:
    """Nodes as (name, operator, inputs, output); names that begin with `w` are stored weights."""
    made = [helper.make_node(op, inputs.split(), [output], name=name) for name, op, inputs, output in nodes]
    stored = sorted({name for node in made for name in node.input if name.startswith("w")})
    return helper.make_graph(
        made,
        "g",
        [helper.make_empty_tensor_value_info("x")],
        [helper.make_empty_tensor_value_info(name) for name in outputs.split()],
        [numpy_helper.from_array(WEIGHT, name) for name in stored],
    )


def test_what_decodes_boxes_and_scores_stays_in_float() -> None:
    head = graph(
        ("stem", "MatMul", "x w0", "a"),
        ("wave", "Sigmoid", "a", "s"),
        ("times", "Mul", "a s", "b"),
        ("boxes", "MatMul", "b w1", "raw"),
        ("scores", "MatMul", "b w2", "logits"),
        ("strides", "Mul", "raw w3", "pixels"),
        ("shares", "Sigmoid", "logits", "probable"),
        ("joined", "Concat", "pixels probable", "answers"),
    )
    assert tail(head) == ["strides", "shares", "joined"]


def test_a_head_of_which_one_branch_goes_on_ends_where_that_does() -> None:
    two = graph(
        ("one", "MatMul", "x w0", "a"),
        ("early", "Sigmoid", "a", "first"),
        ("half", "Mul", "a w3", "b"),
        ("two", "MatMul", "b w1", "second"),
        outputs="first second",
    )
    assert tail(two) == ["early"]


def test_an_activation_of_the_last_layer_is_rounded_with_it() -> None:
    last = ("last", "MatMul", "x w0", "a"), ("cut", "Relu", "a", "b"), ("mean", "Softmax", "b", "answers")
    assert tail(graph(*last)) == ["mean"]


def test_a_layer_takes_the_activation_with_it_that_reads_nothing_else() -> None:
    shortcut = graph(
        ("one", "MatMul", "x w0", "a"),
        ("wave", "Sigmoid", "a", "s"),
        ("times", "Mul", "a s", "b"),
        ("plus", "Add", "b x", "c"),
        ("two", "MatMul", "c w1", "d"),
        ("bias", "Add", "d w3", "answers"),
    )
    assert with_followers(shortcut, ["one"]) == {"one", "wave", "times"}
    assert with_followers(shortcut, ["two"]) == {"two", "bias"}


def test_scores_of_a_detector_count_beside_its_coordinates() -> None:
    reading = BoxReading(OutputColumns(0, 0, 4), OutputColumns(0, 4), boxes_last=True)
    exact = np.concatenate([np.linspace(0, 320, 80).reshape(1, 4, 20), np.eye(2, 20)[None]], 1).astype(np.float32)
    without_scores = exact.copy()
    without_scores[:, 4:] = 0
    lost = loss_between("scaled_error", [[exact]], [[without_scores]], Spec(boxes=reading))
    assert lost > 0.4 > 1e-3 > loss_between("scaled_error", [[exact]], [[without_scores]], Spec())
