"""Models that answer single samples and harm in batches: one needs memory, one crashes, one hangs."""

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

Node = Any


def thirsty(values: int) -> bytes:
    """x [N,16] -> y [N,16], by way of `values` floats for each row."""
    nodes = [
        helper.make_node("Unsqueeze", ["x", "two"], ["column"]),
        helper.make_node("Tile", ["column", "repeats"], ["wide"]),
        helper.make_node("Relu", ["wide"], ["wider"]),
        helper.make_node("ReduceMean", ["wider"], ["y"], axes=[2], keepdims=0),
    ]
    constants = {"two": [2], "repeats": [1, 1, values // 16]}
    return _model(nodes, [numpy_helper.from_array(np.array(value, np.int64), key) for key, value in constants.items()])


def crashes_in_batches() -> bytes:
    """x [N,16] -> y [N,16]; the smallest whole number divided by -1, a trap of the processor, if N is above 1."""
    harm = [
        helper.make_node("Sub", ["one", "when"], ["less"]),
        helper.make_node("Sub", ["less", "when"], ["divisor"]),
        helper.make_node("Div", ["smallest", "divisor"], ["quotient"]),
        helper.make_node("Cast", ["quotient"], ["number"], to=TensorProto.FLOAT),
    ]
    return _harmful(harm, one=1, smallest=-(2**63))


def hangs_in_batches() -> bytes:
    """x [N,16] -> y [N,16]; a loop of 2^62 rounds if N is above 1."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["going"]), helper.make_node("Identity", ["given"], ["kept"])],
        "round",
        [
            helper.make_tensor_value_info("round_number", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("given", TensorProto.FLOAT, []),
        ],
        [
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("kept", TensorProto.FLOAT, []),
        ],
    )
    harm = [
        helper.make_node("Mul", ["when", "many"], ["rounds"]),
        helper.make_node("Cast", ["many"], ["go_on"], to=TensorProto.BOOL),
        helper.make_node("Loop", ["rounds", "go_on", "nothing"], ["number"], body=body),
    ]
    return _harmful(harm, many=2**62)


def _harmful(harm: list[Node], **numbers: int) -> bytes:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["rows"]),
        helper.make_node("Greater", ["rows", "single"], ["is_batch"]),
        helper.make_node("Cast", ["is_batch"], ["when"], to=TensorProto.INT64),
        *harm,
        helper.make_node("Mul", ["number", "nothing"], ["zero"]),
        helper.make_node("Add", ["x", "zero"], ["y"]),
    ]
    constants = {"first": 0, "single": 1, **numbers}
    initializers = [numpy_helper.from_array(np.array(value, np.int64), key) for key, value in constants.items()]
    return _model(nodes, [*initializers, numpy_helper.from_array(np.float32(0), "nothing")])


def _model(nodes: list[Node], initializers: list[Any]) -> bytes:
    graph = helper.make_graph(
        nodes,
        "batches",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 16])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
