"""Decides whether a rebuilt variant is the same as the original; pure.

Steps should repeat bit by bit as long as everything that decides them is the same. The first step that doesn't is
named, with the libraries and properties of the host that changed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgefleet_compression.builds.lineage import differences
from edgefleet_compression.registry import registry
from edgefleet_contract.lineage import Lineage
from edgefleet_contract.operations import AnswerComparison, Change, RebuildVerdict, StepChange
from edgefleet_contract.variants import StepReport

NEAR = 1e-3
"""Numbers that differ by less, by the largest of their output above 1, count as equal, as they do on export."""
ALIKE = 1 - 1e-6
"""Below one answer of a million that differs; agreements of equal answers may be rounded."""
ALWAYS = frozenset({"numpy", "onnx", "edgefleet"})
HOST = frozenset({"processor", "instruction_set", "threads"})


@dataclass(frozen=True)
class BuiltFile:
    """The result of a build: its step reports, and the digests of its file and that file's encoding."""

    steps: Sequence[StepReport]
    onnx: str
    encoding: str


@dataclass(frozen=True)
class RebuildComparison:
    """The verdict, the digests of each step, what changed since, and the reasons for a difference."""

    verdict: RebuildVerdict
    steps: list[StepChange]
    changed: dict[str, Change]
    reasons: list[str]
    answers: AnswerComparison | None


def compare(
    recorded: Lineage, then: BuiltFile, lineage: Lineage, now: BuiltFile, answers: AnswerComparison | None
) -> RebuildComparison:
    """Compare a variant with its rebuild.

    Args:
        recorded: the lineage of the original.
        then: what the original build gave.
        lineage: the lineage of the rebuild.
        now: what the rebuild gave.
        answers: of both files; None if the original file is gone.
    """
    changed = differences(recorded, lineage)
    pairs = zip(then.steps, now.steps, strict=True)
    steps = [StepChange(step=a.step, then=a.digest, now=b.digest) for a, b in pairs]
    reasons = []
    if then.onnx == now.onnx:
        verdict: RebuildVerdict = "equal"
        if then.encoding != now.encoding:
            verdict = "equal_answers"
            reasons.append(_because("the encoding has other bytes", {"zstd", "edgefleet"}, changed))
    else:
        verdict = "equal_answers" if answers is not None and are_equal(answers) else "different"
        reasons.append(_first_difference(then, now, changed))
    return RebuildComparison(verdict, steps, changed, reasons, answers)


def are_equal(answers: AnswerComparison) -> bool:
    """Whether a device couldn't tell the files apart."""
    alike = answers.agreement is not None and answers.agreement >= ALIKE
    return alike and answers.largest_difference is not None and answers.largest_difference <= NEAR


def depends_on(step: str) -> frozenset[str]:
    """The libraries and properties of the host that decide a step's result, bit by bit."""
    known = registry().steps.get(step)
    if known is None:
        return ALWAYS
    found = {*ALWAYS, *known.step.libraries}
    if known.plugin is not None:
        found.add(known.plugin.name)
    if "torch" in known.step.consumes:
        found |= {"torch", "torch-pruning"}
    if known.step.trains:
        found |= HOST
    if known.step.needs & {"calib", "val"}:
        found |= HOST | {"onnxruntime"}
    return frozenset(found)


def _first_difference(then: BuiltFile, now: BuiltFile, changed: Mapping[str, Change]) -> str:
    for number, (a, b) in enumerate(zip(then.steps, now.steps, strict=True), start=1):
        what = f"step {number}, {a.step}, made something else"
        if a.revision is not None and a.revision != b.revision:
            return f"{what}: it was of revision {a.revision}, and is of revision {b.revision} now"
        if a.digest is not None and a.digest != b.digest:
            return _because(what, depends_on(a.step), changed)
    return _because("the steps made the same, and the file has other bytes", set(changed), changed)


def _because(what: str, names: "frozenset[str] | set[str]", changed: Mapping[str, Change]) -> str:
    """A difference and what may have caused it."""
    found = [f"{name} was {change.then}, and is {change.now}" for name, change in changed.items() if name in names]
    if found:
        return f"{what}, and depends on what has changed: {'; '.join(found)}"
    return f"{what}, though nothing that it is known to depend on has changed: it is not repeatable"
