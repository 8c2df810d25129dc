"""The state of sequences: which tensors hold it, and what an application sees of the model."""

import json
from dataclasses import replace
from typing import Any

import pytest

from edgefleet_protocol.manifest import BlobRef, Core
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_protocol.state import MAX_STATE_BYTES, SequenceState, StatePair

STATE = SequenceState((StatePair("state", "stateN"),))
H = Tensor("state", "FP32", (2, 1, 128), batched=False)
SIGNATURE = Signature(
    (Tensor("input", "FP32", ("batch", None)), H, Tensor("sr", "INT64", ())),
    (Tensor("output", "FP32", ("batch", 1)), replace(H, name="stateN")),
)


def test_applications_see_one_step_and_nothing_of_the_state() -> None:
    seen = STATE.visible(SIGNATURE)
    assert [(one.name, one.shape) for one in seen.inputs] == [("input", (1, None)), ("sr", ())]
    assert [(one.name, one.shape, one.batched) for one in seen.outputs] == [("output", (1, 1), True)]


def test_a_batch_that_is_not_the_first_axis_is_one_sample_too() -> None:
    signature = Signature((Tensor("x", "FP32", (None, 4)), H), (Tensor("y", "FP32", (20, "batch", 37), True, 1),))
    assert STATE.visible(signature).outputs[0].shape == (20, 1, 37)


def test_the_state_has_a_size() -> None:
    STATE.check(SIGNATURE)
    assert STATE.size_bytes(SIGNATURE) == 2 * 128 * 4
    assert [one.name for one in STATE.tensors(SIGNATURE)] == ["state"]


def test_open_sizes_are_filled_in_at_both_ends() -> None:
    told = Signature(
        (SIGNATURE.inputs[0], Tensor("state", "FP32", (2, None, 128)), SIGNATURE.inputs[2]),
        (SIGNATURE.outputs[0], Tensor("stateN", "FP32", (None, None, None))),
    )
    with pytest.raises(ValueError, match=r"'state' is FP32 \[2, any, 128\], and 'stateN' is FP32 \[any, any, any\]"):
        STATE.check(told)
    assert STATE.sized(told, {"state": (2, 1, 128)}) == SIGNATURE


@pytest.mark.parametrize(
    ("state", "signature", "told"),
    [
        (SequenceState((StatePair("h", "stateN"),)), SIGNATURE, "names the input 'h': the model has input, state, sr"),
        (SequenceState((StatePair("state", "hn"),)), SIGNATURE, "names the output 'hn': the model has output, stateN"),
        (STATE, Signature(SIGNATURE.inputs, (Tensor("stateN", "FP16", (2, 1, 128)),)), "FP32 .* FP16"),
        (STATE, Signature(SIGNATURE.inputs, (Tensor("stateN", "FP32", (2, 1, 64)),)), "one size, at every step"),
        (STATE, Signature((Tensor("state", "BYTES", (1,)),), (Tensor("stateN", "BYTES", (1,)),)), "texts"),
        (
            STATE,
            Signature((Tensor("state", "FP32", (1, 2**23)),), (Tensor("stateN", "FP32", (1, 2**23)),)),
            f"33,554,432 bytes: at most {MAX_STATE_BYTES:,}",
        ),
    ],
)
def test_a_state_that_no_device_can_keep_is_told(state: SequenceState, signature: Signature, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        state.check(signature)
    onnx = BlobRef(sha256="a" * 64, size_bytes=4)
    assert Core(onnx=onnx, signature=signature, state=state).wrong_state
    assert Core(onnx=onnx, signature=SIGNATURE, state=STATE).wrong_state is None
    assert Core(onnx=onnx, state=STATE).wrong_state == "a state needs the signature that has its inputs and outputs"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: SequenceState(()), "1 to 256 pairs"),
        (lambda: SequenceState((StatePair("a", "b"), StatePair("a", "c"))), "input 'a' is in two pairs"),
        (lambda: SequenceState((StatePair("a", "b"), StatePair("c", "b"))), "output 'b' is in two pairs"),
        (lambda: SequenceState((StatePair("a", "b"),), idle_s=0), "above 0"),
        (lambda: SequenceState((StatePair("a", "b"),), idle_s=float("nan")), "above 0"),
        (lambda: SequenceState.of({"pairs": [{"given": "a"}]}), "no state"),
    ],
)
def test_what_is_no_state_is_refused(make: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make()


@pytest.mark.parametrize("state", [STATE, SequenceState((StatePair("h", "hn"), StatePair("c", "cn")), True, 5.0)])
def test_a_state_is_told_and_read_back(state: SequenceState) -> None:
    assert SequenceState.of(json.loads(json.dumps(state.told()))) == state
    assert STATE.told() == {"pairs": [{"given": "state", "gives": "stateN"}]}
