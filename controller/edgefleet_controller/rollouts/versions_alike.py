"""Whether what devices would get answers enough like what they have, and takes and gives the same; pure.

Bounds decide, not figures: by chance alone a good version differs on a few of few samples, a damaged one on far more.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from edgefleet_contract.counted import counted
from edgefleet_contract.pairs import PairView
from edgefleet_contract.rollouts import Gate, RolloutSpec
from edgefleet_protocol.signature import Axis, Signature, Tensor
from edgefleet_tasks.answer_set import AnswerSet
from edgefleet_tasks.pairing import PairOnVal

ROUNDING = 1e-9
"""Two answers that are the same may differ by what a float cannot hold."""
MOST_TOLD = 3


def refusal(pair: PairOnVal, gate: Gate, measure: str) -> str | None:
    """What a pair has beyond what a gate allows, in words; None if it has nothing.

    Args:
        pair: what devices have, and what they would get.
        gate: the limits.
        measure: what scores are called.
    """
    told, on = [], f"on {counted(pair.samples, 'sample')} of val"
    if pair.disagreement.low > gate.max_disagreement + ROUNDING:
        found = f"disagrees by {_share(pair.disagreement.value)} {on} (surely by {_share(pair.disagreement.low)})"
        told.append(f"{found}, max_disagreement is {_share(gate.max_disagreement)}")
    if pair.drop and pair.drop.low > gate.max_accuracy_drop + ROUNDING:
        fell = f"has a lower {measure}, by {_points(pair.drop.value)} {on} (surely by {_points(pair.drop.low)})"
        told.append(f"{fell}, max_accuracy_drop is {_points(gate.max_accuracy_drop)}")
    return "; ".join(told) or None


def change_for_applications(old: AnswerSet, new: AnswerSet) -> str | None:
    """What applications must do otherwise, in words; None if what they send, read and label now is right for both."""
    task = f"read answers of {new.task} where they are of {old.task} now" if old.task != new.task else None
    return "; ".join(filter(None, (task, signature_change(old.signature, new.signature)))) or None


def signature_change(before: Signature, after: Signature) -> str | None:
    """What applications must do otherwise, in words; None if what they send and read now is right for both."""
    old, new = _by_name(before.inputs), _by_name(after.inputs)
    told = [f"send {_told(new[name])}, which is not asked for now" for name in new if name not in old]
    told += [f"send no '{name[:60]}' any more" for name in old if name not in new]
    both = [(old[name], new[name]) for name in old if name in new]
    told += [f"send {_told(b)} where it is {_typed(a)} now" for a, b in both if not _takes(b, a)]
    old, new = _by_name(before.outputs), _by_name(after.outputs)
    told += [f"read no '{name[:60]}' any more: there is {_names(after.outputs)}" for name in old if name not in new]
    both = [(old[name], new[name]) for name in old if name in new]
    told += [f"read {_told(b)} where it is {_typed(a)} now" for a, b in both if not _gives(b, a)]
    return "; ".join(told) or None


def _by_name(tensors: Sequence[Tensor]) -> dict[str, Tensor]:
    return {tensor.name: tensor for tensor in tensors}


def _takes(tensor: Tensor, sent: Tensor) -> bool:
    """Whether an input takes all that is sent to another one."""
    if (tensor.datatype, len(tensor.shape)) != (sent.datatype, len(sent.shape)):
        return False
    return all(not isinstance(axis, int) or axis == size for axis, size in zip(tensor.shape, sent.shape, strict=True))


def _gives(tensor: Tensor, read: Tensor) -> bool:
    """Whether an output may be read as another one is; sizes that are open may be those."""
    if (tensor.datatype, len(tensor.shape)) != (read.datatype, len(read.shape)):
        return False
    return all(_may_be(a, b) for a, b in zip(tensor.shape, read.shape, strict=True))


def _may_be(one: Axis, other: Axis) -> bool:
    return not (isinstance(one, int) and isinstance(other, int)) or one == other


def _typed(tensor: Tensor) -> str:
    return f"{tensor.datatype} {tensor.shown}"


def _told(tensor: Tensor) -> str:
    return f"'{tensor.name[:60]}' as {_typed(tensor)}"


def _names(tensors: Sequence[Tensor]) -> str:
    return ", ".join(f"'{tensor.name[:60]}'" for tensor in tensors)[:400] or "none"


def why_refused(spec: RolloutSpec, pairs: Iterable[PairView]) -> str | None:
    """Why a rollout may not go ahead, and what would let it; None if it may."""
    model, pairs = f"{spec.model}@{spec.version}", list(pairs)
    told = []
    worse = Counter[str]()
    for pair in pairs if not spec.accept_drop else ():
        if pair.refused:
            beside = pair.before_model or pair.before[:12]
            worse[f"beside {beside} its variant {pair.after[:12]} {pair.refused}"] += pair.devices
    if worse:
        found = _most([f"{said} ({counted(n, 'device')})" for said, n in worse.most_common()])
        told.append(f"{model} is refused: {found}: correct it, or take it as it is with --accept-drop")
    changes = {pair.signature_change: None for pair in pairs if pair.signature_change and not spec.accept_signature}
    if changes:
        found = _most([change for change in changes if change])
        told.append(f"{model} is not what applications know: they must {found}: then say --accept-signature")
    return ". ".join(told) or None


def _most(told: Sequence[str]) -> str:
    more = len(told) - MOST_TOLD
    return "; ".join([*told[:MOST_TOLD], *([f"and {more:,} more"] if more > 0 else [])])


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _points(value: float) -> str:
    return f"{100 * value:.1f} points"
