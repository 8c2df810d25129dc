"""When a version is too unlike the one before, and what applications must do otherwise."""

import pytest

from edgefleet_contract.pairs import PairView
from edgefleet_contract.rollouts import Gate, RolloutSpec
from edgefleet_controller.rollouts.versions_alike import refusal, signature_change, why_refused
from edgefleet_protocol.intervals import Interval
from edgefleet_protocol.moments import Moments
from edgefleet_protocol.signature import Signature, Tensor
from edgefleet_tasks.pairing import PairOnVal


def pair(disagrees: tuple[float, float], drop: tuple[float, float] | None = None) -> PairOnVal:
    """A pair with these figures, each with its lower bound."""
    interval = Interval(disagrees[0], disagrees[1], 1)
    return PairOnVal(2000, (), Moments(), interval, drop=Interval(drop[0], drop[1], 1) if drop else None)


@pytest.mark.parametrize(
    ("found", "gate", "told"),
    [
        (pair((0.12, 0.09)), Gate(), None),
        (pair((0.12, 0.1)), Gate(), None),
        (pair((0.4, 0.38)), Gate(), "disagrees by 40.0 % on 2,000 samples of val (surely by 38.0 %), max_disagreement"),
        (pair((0.4, 0.38)), Gate(max_disagreement=0.5), None),
        (pair((1.0, 1.0)), Gate(max_disagreement=1), None),
        (pair((0.0, 0.0)), Gate(max_disagreement=0), None),
        (pair((0.05, 0.04), (0.03, 0.019)), Gate(), None),
        (
            pair((0.05, 0.04), (0.04, 0.03)),
            Gate(),
            "lower accuracy, by 4.0 points on 2,000 samples of val (surely",
        ),
        (pair((0.05, 0.04), (0.04, 0.03)), Gate(max_accuracy_drop=0.03), None),
        (pair((0.4, 0.38), (0.04, 0.03)), Gate(), "max_disagreement is 10.0 %; has a lower accuracy"),
    ],
)
def test_bounds_decide(found: PairOnVal, gate: Gate, told: str | None) -> None:
    said = refusal(found, gate, "accuracy")
    assert (said is None) if told is None else (said is not None and told in said)


X, Y = Tensor("x", "FP32", (None, 1, 28, 28)), Tensor("y", "FP32", ("n", 10))


def takes(*inputs: Tensor, gives: tuple[Tensor, ...] = (Y,)) -> Signature:
    return Signature(inputs, gives)


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (takes(X), None),
        (takes(Tensor("x", "FP32", (None, None, "h", "w"))), None),
        (takes(X, gives=(Y, Tensor("more", "FP32", (None,)))), None),
        (takes(X, gives=(Tensor("y", "FP32", (None, None)),)), None),
        (
            takes(Tensor("x", "UINT8", (None, "height", "width", 3))),
            "send 'x' as UINT8 [any, height, width, 3] where it is FP32 [any, 1, 28, 28] now",
        ),
        (
            takes(Tensor("x", "FP32", (1, 1, 28, 28))),
            "send 'x' as FP32 [1, 1, 28, 28] where it is FP32 [any,",
        ),
        (
            takes(X, Tensor("rate", "INT64", ())),
            "send 'rate' as INT64 [], which is not asked for now",
        ),
        (takes(Tensor("z", "FP32", X.shape)), "send no 'x' any more"),
        (takes(X, gives=(Tensor("y", "FP32", (None, 11)),)), "read 'y' as FP32 [any, 11] where it is FP32 [n, 10] now"),
        (takes(X, gives=(Tensor("z", "FP32", (None, 10)),)), "read no 'y' any more: there is 'z'"),
    ],
)
def test_what_applications_must_do_otherwise_is_told(after: Signature, told: str | None) -> None:
    said = signature_change(takes(X), after)
    assert (said is None) if told is None else (said is not None and told in said)


def view(**fields: object) -> PairView:
    return PairView.model_validate(
        {"before": "b" * 64, "before_model": "m@1", "after": "c" * 64, "after_model": "m@2", "devices": 3} | fields
    )


def test_a_refusal_says_what_is_wrong_on_how_many_devices_and_what_to_do() -> None:
    spec = RolloutSpec(model="m", version=2, everyone=True)
    worse, other = view(refused="disagrees by 40 %"), view(signature_change="send 'x' as UINT8 [any]")
    said = why_refused(spec, [worse, view(), other])
    assert said == (
        "m@2 is refused: beside m@1 its variant cccccccccccc disagrees by 40 % (3 devices): correct it, or take it "
        "as it is with --accept-drop. m@2 is not what applications know: they must send 'x' as UINT8 [any]: then say "
        "--accept-signature"
    )
    accepting = spec.model_copy(update={"accept_drop": True})
    assert "--accept-drop" not in (why_refused(accepting, [worse, other]) or "")
    assert why_refused(accepting, [worse]) is None
    assert why_refused(spec.model_copy(update={"accept_signature": True}), [other]) is None
    many = [view(refused=f"is worse {n}") for n in range(5)]
    assert "; and 2 more" in (why_refused(spec, many) or "")
