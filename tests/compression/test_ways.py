"""What may be made of a file follows from what its graph holds, and for the rest there is a sentence."""

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.compression.brought_models import classifier, trees

from edgefleet_compression.models.ways import ANY_WAY, Ways, signed_ways, ways_of
from edgefleet_compression.onnx_graphs.contents import Contents, contents_of
from edgefleet_compression.recipes.recipe import shipped_recipes
from edgefleet_protocol.signature import Signature, Tensor

X, Y = Tensor("x", "FP32", ("n", 3, 8, 8)), Tensor("y", "FP32", ("n", 5))
PLAIN = Signature((X,), (Y,))
WEIGHT = np.arange(192, dtype=np.float32).reshape(64, 3)


def holding(nodes: list[onnx.NodeProto], **weights: np.ndarray) -> onnx.GraphProto:
    model = classifier(nodes=[helper.make_node("Flatten", ["x"], ["flat"], axis=1), *nodes])
    del model.graph.initializer[:], model.graph.input[1:]
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    return model.graph


def node(op: str, inputs: str, output: str = "probs", domain: str = "", **attributes: object) -> onnx.NodeProto:
    return helper.make_node(op, inputs.split(), [output], domain=domain, **attributes)


ZERO = np.array(0, np.uint8)
QUANTIZED = WEIGHT.astype(np.int8)
SCALE, ONE = np.array(0.1, np.float32), np.ones(3, np.float32)


def test_weights_are_found_where_layers_read_them() -> None:
    assert contents_of(classifier().graph).float_numbers == 192
    behind_cast = [node("Cast", "w", "whole", to=TensorProto.FLOAT), node("MatMul", "flat whole")]
    assert contents_of(holding(behind_cast, w=WEIGHT.astype(np.float16))).float_numbers == 192
    constant = [node("Constant", "", "w", value=numpy_helper.from_array(WEIGHT)), node("MatMul", "flat w")]
    constant[0].ClearField("input")
    assert contents_of(holding(constant)).float_numbers == 192


def test_weights_of_branches_are_found_too_and_a_shared_one_counts_once() -> None:
    branches = {
        name: helper.make_graph([node("MatMul", "flat w", name)], name, [], [helper.make_empty_tensor_value_info(name)])
        for name in ("yes", "no")
    }
    choice = helper.make_node("If", ["flag"], ["probs"], then_branch=branches["yes"], else_branch=branches["no"])
    assert contents_of(holding([choice], w=WEIGHT, flag=np.array(True))).float_numbers == 192


UNFOLDED = [node("DequantizeLinear", "w s", "whole"), node("MatMul", "flat whole")]
INTEGERS = [node("Cast", "flat", "small", to=TensorProto.UINT8), node("MatMulInteger", "small w")]
FUSED = [node("FusedMatMul", "flat w", domain="com.microsoft")]
HALVES = [node("Cast", "flat", "half", to=TensorProto.FLOAT16), node("MatMul", "half w")]


FEW, NONE, OTHER = (
    "the model's weights take 8 bits or fewer already (read by {})",
    "the model has no weights that could take fewer bits: it is made of {}, others",
    "nothing here rounds weights as the model has them (read by {})",
)
MOSTLY = holding(
    [UNFOLDED[0], node("MatMul", "flat whole", "y"), node("MatMul", "y v")], w=QUANTIZED, s=SCALE, v=WEIGHT[:3]
)


@pytest.mark.parametrize(
    ("graph", "why"),
    [
        (holding(UNFOLDED, w=QUANTIZED, s=SCALE), FEW.format("MatMul")),
        (holding(INTEGERS, w=QUANTIZED), FEW.format("MatMulInteger")),
        (MOSTLY, f"most of {FEW.format('MatMul')}"),
        (holding(FUSED, w=WEIGHT), OTHER.format("com.microsoft.FusedMatMul")),
        (holding(HALVES, w=WEIGHT.astype(np.float16)), OTHER.format("MatMul (not in fp32)")),
        (trees().graph, NONE.format("Cast, Flatten, ai.onnx.ml.TreeEnsembleRegressor")),
    ],
    ids=["QDQ", "integers", "most of them", "other operators", "other types", "trees"],
)
def test_what_cannot_take_fewer_bits_says_why(graph: onnx.GraphProto, why: str) -> None:
    ways = ways_of(contents_of(graph), "classification", PLAIN)
    assert ways == Ways(weights=why)
    recipes = shipped_recipes()
    assert {name for name, recipe in recipes.items() if recipe.refusal("brought", True, ways) == why} == {"int8", "w8"}
    assert [recipes[name].refusal("brought", True, ways) for name in ("as-brought", "fp32", "student-w5")] == [None] * 3


def test_a_few_small_weights_among_float_ones_are_no_reason() -> None:
    nodes = [UNFOLDED[0], node("MatMul", "flat v", "y"), node("MatMul", "y whole")]
    graph = holding(nodes, w=QUANTIZED[:3], s=SCALE, v=WEIGHT)
    assert ways_of(contents_of(graph), "classification", PLAIN) == ANY_WAY


OF_ONE_SIZE = "a student takes a batch of samples of one size, and the model takes {}"
A_NUMBER_EACH = "a student gives a number for each class, [batch, classes], and the model gives {}"


@pytest.mark.parametrize(
    ("task", "signature", "why"),
    [
        ("regression", PLAIN, "a student learns to tell classes apart, and the model's task is regression"),
        (
            "classification",
            Signature((X, replace(X, name="z")), (Y,)),
            "a student takes one input, and the model takes 2",
        ),
        (
            "classification",
            Signature((X,), (Y, replace(Y, name="z"))),
            "a student gives one output, and the model gives 2",
        ),
        ("classification", Signature((replace(X, shape=("n", 3, "h", 8)),), (Y,)), OF_ONE_SIZE.format("[n, 3, h, 8]")),
        ("classification", Signature((replace(X, batched=False),), (Y,)), OF_ONE_SIZE.format("[n, 3, 8, 8]")),
        ("classification", Signature((X,), (Tensor("y", "INT64", ("n",)),)), A_NUMBER_EACH.format("INT64 [n]")),
        ("classification", Signature((X,), (replace(Y, batch_axis=1),)), A_NUMBER_EACH.format("FP32 [n, 5]")),
    ],
)
def test_what_no_student_can_learn_says_why(task: str, signature: Signature, why: str) -> None:
    ways = ways_of(Contents(float_numbers=10), task, signature)
    recipes = shipped_recipes()
    assert recipes["student-w5"].refusal("brought", True, ways) == why
    assert [recipes[name].refusal("brought", True, ways) for name in ("as-brought", "fp32", "int8", "w8")] == [None] * 4


def test_pictures_of_any_size_are_of_one_where_the_card_resizes_them() -> None:
    signature = Signature((replace(X, shape=("n", 3, "h", "w")),), (Y,))
    assert signed_ways("classification", signature, resized=True) == ANY_WAY
