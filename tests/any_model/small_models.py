"""A small real ONNX model for each task, with samples, labels, and the ways in which a version of it may be damaged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgefleet_compression.onnx_graphs.asked import Asked
from edgefleet_compression.onnx_graphs.session import Answered, GraphSession
from edgefleet_compression.samples import Column, Samples
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.spec import BoxReading, OutputColumns, Spec

WIDTH, HIDDEN, SAMPLES = 16, 48, 120
Weights = dict[str, NDArray[Any]]
Damage = Callable[[Weights], None]
"""Changes the weights of a version in place."""


@dataclass(frozen=True)
class SmallModel:
    """A model of two layers and a head, written as a graph.

    `damages` are by what they do; `labels` makes the right ones of what the source answers.
    """

    task: str
    head: list[onnx.NodeProto]
    outputs: tuple[Tensor, ...]
    weights: Weights
    damages: Mapping[str, Damage]
    labels: Callable[[list[Any]], Any] | None
    declared: Spec = field(default_factory=Spec)

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return Signature((Tensor("x", "FP32", ("n", WIDTH)),), self.outputs)

    def write(self, path: Path, change: Damage = lambda weights: None) -> Path:
        """Write the model, or a version whose weights were changed."""
        weights = {name: one.copy() for name, one in self.weights.items()}
        change(weights)
        layers = [
            helper.make_node("Gemm", ["x", "w1"], ["h"]),
            helper.make_node("Relu", ["h"], ["a"]),
            helper.make_node("Gemm", ["a", "w2", "b2"], ["last"]),
        ]
        graph = helper.make_graph(
            [*layers, *self.head],
            "small",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", WIDTH])],
            [helper.make_tensor_value_info(t.name, TYPES[t.datatype], list(t.shape)) for t in self.outputs],
            [numpy_helper.from_array(one, name) for name, one in weights.items()],
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
        return path

    def asked(self, samples: NDArray[Any]) -> Asked:
        """Samples as the model takes them."""
        return Asked(Samples({"x": Column(samples)}), self.signature, batches=True)

    def answers(self, path: Path, samples: NDArray[Any]) -> Answered:
        """What a file answers, sample by sample."""
        return GraphSession(path).answered(self.asked(samples))


TYPES = {"FP32": TensorProto.FLOAT, "INT64": TensorProto.INT64}


def samples(seed: int = 0, count: int = SAMPLES) -> NDArray[Any]:
    """What all models are asked."""
    return np.random.default_rng(seed).normal(size=(count, WIDTH)).astype("f4")


def _layers(seed: int, answers: int, size: float = 1.0, **more: NDArray[Any]) -> Weights:
    dice = np.random.default_rng(seed)
    return {
        "w1": dice.normal(size=(WIDTH, HIDDEN)).astype("f4") / 4,
        "w2": (dice.normal(size=(HIDDEN, answers)) / np.sqrt(HIDDEN) * size).astype("f4"),
        "b2": np.zeros(answers, "f4"),
        **more,
    }


def _columns(order: Any) -> Damage:
    """Answers in another order: a head whose rows were exchanged."""

    def change(weights: Weights) -> None:
        weights["w2"] = np.ascontiguousarray(weights["w2"][:, order])
        weights["b2"] = np.ascontiguousarray(weights["b2"][order])

    return change


def _biased(by: Any) -> Damage:
    def change(weights: Weights) -> None:
        weights["b2"] = (weights["b2"] + np.asarray(by, "f4")).astype("f4")

    return change


def _other(name: str, value: Any) -> Damage:
    return lambda weights: weights.update({name: np.asarray(value, weights[name].dtype)})


def _scaled(name: str, by: float) -> Damage:
    return lambda weights: weights.update({name: (weights[name] * np.float32(by)).astype("f4")})


def _top1(outputs: list[Any]) -> Any:
    return outputs[0].argmax(1)


def classification() -> SmallModel:
    """Six classes."""
    return SmallModel(
        "classification",
        [helper.make_node("Identity", ["last"], ["logits"])],
        (Tensor("logits", "FP32", ("n", 6)),),
        _layers(1, 6, 4.0),
        {"two classes exchanged": _columns([1, 0, 2, 3, 4, 5]), "one class always wins": _biased([20, 0, 0, 0, 0, 0])},
        _top1,
    )


def multilabel() -> SmallModel:
    """Eight classes, each there or not."""
    return SmallModel(
        "multilabel",
        [helper.make_node("Sigmoid", ["last"], ["there"])],
        (Tensor("there", "FP32", ("n", 8)),),
        _layers(2, 8, 6.0),
        {"classes in another order": _columns(np.roll(np.arange(8), 1)), "nothing is there": _biased([-6.0] * 8)},
        lambda outputs: (outputs[0] >= 0.5).astype(np.int64),
    )


def regression() -> SmallModel:
    """Two numbers."""
    return SmallModel(
        "regression",
        [helper.make_node("Identity", ["last"], ["y"])],
        (Tensor("y", "FP32", ("n", 2)),),
        _layers(3, 2, 10.0),
        {"biased": _biased([6.0, 6.0]), "of the wrong sign": _scaled("w2", -1), "in other units": _scaled("w2", 3)},
        lambda outputs: outputs[0],
    )


def embedding() -> SmallModel:
    """A vector of 24 numbers."""
    turned, _ = np.linalg.qr(np.random.default_rng(5).normal(size=(24, 24)))
    return SmallModel(
        "embedding",
        [helper.make_node("MatMul", ["last", "turn"], ["v"])],
        (Tensor("v", "FP32", ("n", 24)),),
        _layers(4, 24, turn=np.eye(24, dtype="f4")),
        {"rotated": _other("turn", turned), "mirrored": _other("turn", -np.eye(24))},
        None,
    )


def detection() -> SmallModel:
    """Three boxes of four classes, of places that the picture moves and scores that it decides."""
    corners = np.array([[20, 20, 80, 80], [200, 40, 320, 160], [60, 240, 180, 300]], "f4").reshape(1, 12)
    head = [
        helper.make_node("Slice", ["last", "zero", "twelve", "one"], ["moved"]),
        helper.make_node("Add", ["moved", "corners"], ["flat"]),
        helper.make_node("Reshape", ["flat", "as_boxes"], ["boxes"]),
        helper.make_node("Slice", ["last", "twelve", "end", "one"], ["raw"]),
        helper.make_node("Reshape", ["raw", "as_scores"], ["grid"]),
        helper.make_node("Softmax", ["grid"], ["scores"], axis=2),
    ]
    fixed = {"zero": [0], "twelve": [12], "end": [24], "one": [1], "as_boxes": [0, 3, 4], "as_scores": [0, 3, 4]}
    constants = {name: np.array(value, np.int64) for name, value in fixed.items()}
    weights = _layers(6, 24, 5.0, corners=corners, **constants)
    weights["w2"][:, :12] *= 0.4  # boxes move by a few pixels
    moved = corners.reshape(3, 4)
    sizes = np.tile(moved[:, 2:] - moved[:, :2], 2)
    swapped = [*range(12), *[12 + 4 * box + c for box in range(3) for c in (1, 0, 3, 2)]]
    return SmallModel(
        "detection",
        head,
        (Tensor("boxes", "FP32", ("n", 3, 4)), Tensor("scores", "FP32", ("n", 3, 4))),
        weights,
        {
            "boxes shifted": _other("corners", (moved + 0.25 * sizes).reshape(1, 12)),
            "x and y exchanged": _other("corners", moved[:, [1, 0, 3, 2]].reshape(1, 12)),
            "classes exchanged": _columns(swapped),
        },
        lambda outputs: [_boxes(*one) for one in zip(*outputs, strict=True)],
        Spec(boxes=BoxReading(OutputColumns(0), OutputColumns(1))),
    )


def _boxes(corners: Any, scores: Any) -> list[list[float]]:
    best, classes = scores.max(1), scores.argmax(1)
    found = zip(classes, corners, best, strict=True)
    return [[int(k), *map(float, box)] for k, box, score in found if score >= 0.3]


def segmentation() -> SmallModel:
    """A class of three for each of 16 x 16 points, in large patches."""
    head = [
        helper.make_node("Reshape", ["last", "as_map"], ["coarse"]),
        helper.make_node("Resize", ["coarse", "", "scales"], ["map"], mode="linear"),
        helper.make_node("Gather", ["map", "order"], ["shifted"], axis=3),
    ]
    constants = {
        "as_map": np.array([0, 3, 4, 4], np.int64),
        "scales": np.array([1, 1, 4, 4], "f4"),
        "order": np.arange(16),
    }
    return SmallModel(
        "segmentation",
        head,
        (Tensor("shifted", "FP32", ("n", 3, 16, 16)),),
        _layers(7, 48, 4.0, **constants),
        {
            "masks shifted": _other("order", np.roll(np.arange(16), 3)),
            "masks mirrored": _other("order", np.arange(16)[::-1]),
            "classes exchanged": _columns(np.arange(48).reshape(3, 16)[[1, 0, 2]].ravel()),
        },
        lambda outputs: list(outputs[0].argmax(1)),
    )


def sequence() -> SmallModel:
    """Eight tokens of a vocabulary of ten."""
    head = [
        helper.make_node("Reshape", ["last", "as_steps"], ["steps"]),
        helper.make_node("Gather", ["steps", "order"], ["ordered"], axis=2),
        helper.make_node("ArgMax", ["ordered"], ["tokens"], axis=2, keepdims=0),
    ]
    constants = {"as_steps": np.array([0, 8, 10], np.int64), "order": np.arange(10)}
    return SmallModel(
        "sequence",
        head,
        (Tensor("tokens", "INT64", ("n", 8)),),
        _layers(8, 80, 4.0, **constants),
        {
            "two tokens swapped": _other("order", [1, 0, 2, 3, 4, 5, 6, 7, 8, 9]),
            "tokens off by one": _other("order", np.roll(np.arange(10), 1)),
            "steps in another order": _columns(np.arange(80).reshape(8, 10)[::-1].ravel()),
        },
        lambda outputs: list(outputs[0]),
    )


def outputs() -> SmallModel:
    """Numbers that nobody has a name for, and whole ones."""
    head = [
        helper.make_node("Identity", ["last"], ["some"]),
        helper.make_node("ArgMax", ["last"], ["most"], axis=1, keepdims=0),
    ]
    return SmallModel(
        "outputs",
        head,
        (Tensor("some", "FP32", ("n", 7)), Tensor("most", "INT64", ("n",))),
        _layers(9, 7, 4.0),
        {"in another order": _columns(np.arange(7)[::-1]), "of the wrong sign": _scaled("w2", -1)},
        None,
    )


MODELS = (classification, multilabel, regression, embedding, detection, segmentation, sequence, outputs)
