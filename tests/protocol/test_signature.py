"""Signatures: which axis is the batch, and what no tensor is."""

import json
from typing import Any

import pytest

from edgefleet_protocol.intervals import Interval
from edgefleet_protocol.signature import MAX_TENSORS, Signature, Tensor


@pytest.mark.parametrize(
    ("shape", "sample", "size"),
    [
        (("batch", 3, 224, 224), (3, 224, 224), 3 * 224 * 224),
        ((None, 4), (4,), 4),
        ((1, "time", 80), ("time", 80), None),
        ((3, 224, 224), (3, 224, 224), 3 * 224 * 224),
        ((2, 1, 64), (2, 1, 64), 128),  # a state: its leading axis is its layers
        ((), (), 1),
        ((0,), (0,), 0),
    ],
)
def test_a_leading_axis_of_any_size_or_1_is_the_batch_and_of_another_size_is_not(
    shape: tuple[Any, ...], sample: tuple[Any, ...], size: int | None
) -> None:
    tensor = Tensor("x", "FP32", shape)
    assert (tensor.sample_shape, tensor.sample_size, tensor.batched) == (sample, size, len(sample) < len(shape))


def test_a_card_may_say_otherwise() -> None:
    assert Tensor("x", "FP32", (1, 16), batched=False).sample_shape == (1, 16)
    assert Tensor("x", "FP32", (8, 16), batched=True).sample_shape == (16,)
    assert Tensor("x", "FP32", ("n", None, 3)).shown == "[n, any, 3]"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Tensor("x", "FLOAT", (1,)), "'x' is of 'FLOAT': use one of BOOL, BYTES"),
        (lambda: Tensor("x", "FP32", (1, -1)), "a size is 0 or more"),
        (lambda: Tensor("x", "FP32", (1,) * 17), "17 axes: at most 16"),
        (lambda: Tensor("x", "FP32", (), batched=True), "no axis that could be the batch"),
        (lambda: Signature((), (Tensor("y", "FP32", ()),) * 2), "two outputs have one name"),
        (lambda: Signature(tuple(Tensor(f"x{n}", "FP32", ()) for n in range(MAX_TENSORS + 1)), ()), "at most 256"),
        (lambda: Interval(0.5, 0.6, 0.4), "the lower bound first"),
        (lambda: Interval(0.5, float("nan"), 0.6), "finite"),
    ],
)
def test_what_no_model_has_is_refused(make: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make()


def test_outputs_have_places_by_name() -> None:
    signature = Signature((), (Tensor("boxes", "FP32", (1, 100, 4)), Tensor("scores", "FP32", (1, 100))))
    assert signature.output_named("scores") == 1
    with pytest.raises(ValueError, match="no output 'box': the model has boxes, scores"):
        signature.output_named("box")


def test_outputs_have_no_batch_where_no_input_has_one() -> None:
    boxes = Tensor("boxes", "FP32", ("found", 4))
    assert Signature((Tensor("image", "FP32", (3, "h", "w")),), (boxes,)).outputs[0].sample_shape == ("found", 4)
    batched = Signature((Tensor("image", "FP32", (None, 3, "h", "w")),), (boxes,))
    assert batched.outputs[0].sample_shape == (4,)
    assert batched.without_batch().outputs[0].sample_shape == ("found", 4)
    assert batched.without_batch().inputs[0].sample_shape == (None, 3, "h", "w")


def test_a_batch_may_be_any_axis_and_samples_come_without_it() -> None:
    frames = Tensor("frames", "FP32", (20, "batch", 37), True, 1)
    assert frames.sample_shape == (20, 37)
    for axis in (-1, 3):
        with pytest.raises(ValueError, match="is no batch of it"):
            Tensor("frames", "FP32", (20, "batch", 37), True, axis)
    with pytest.raises(ValueError, match="is no batch of it"):
        Tensor("frames", "FP32", (20, "batch", 37), False, 1)


def test_a_signature_is_told_as_plain_values_and_read_again() -> None:
    frames = Tensor("frames", "FP32", (20, "batch", None), True, 1)
    signature = Signature((Tensor("x", "BYTES", ("batch",)), Tensor("rate", "INT64", ())), (frames,))
    assert Signature.of(json.loads(json.dumps(signature.told()))) == signature
    for wrong in ({}, {"inputs": [], "outputs": [{"name": "x"}]}, {"inputs": 1, "outputs": []}):
        with pytest.raises(ValueError, match="no signature"):
            Signature.of(wrong)
