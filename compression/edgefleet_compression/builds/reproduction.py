"""Is a variant that was made again the same one: pure, from what was recorded and what has come out now.

Steps are expected to be repeatable bit by bit while all that decides them is the same. Where one is not, the first
such step is named, with what of its libraries and its host is another than it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgefleet_compression.builds.lineage import Known, differences
from edgefleet_compression.registry import registry
from edgefleet_contract.lineage import Lineage
from edgefleet_contract.operations import Verdict
from edgefleet_contract.variants import StepReport

NEAR = 1e-3
"""Logits that differ by less than this are the same answer, as they are where a model is exported."""
ALWAYS = frozenset({"numpy", "onnx", "edgefleet"})
HOST = frozenset({"processor", "instruction_set", "threads"})


@dataclass(frozen=True)
class AnswerComparison:
    """What both files answer to all samples of test."""

    samples: int
    same_top1: int
    largest_difference: float

    @property
    def are_equal(self) -> bool:
        """Whether a device could not tell one from the other."""
        return self.same_top1 == self.samples and self.largest_difference <= NEAR


@dataclass(frozen=True)
class BuiltFile:
    """What a build gave: its steps as they were reported, and the digests of its file and of that file's encoding."""

    steps: Sequence[StepReport]
    onnx: str
    encoding: str


@dataclass(frozen=True)
class RebuildComparison:
    """The verdict, each step's digests, what is another than it was, and why there is a difference, if there is one.

    `steps` are (step, then, now), digests of what it made; None where none was recorded.
    """

    verdict: Verdict
    steps: list[tuple[str, str | None, str | None]]
    changed: dict[str, tuple[Known, Known]]
    reasons: list[str]
    answers: AnswerComparison | None


def compare(
    recorded: Lineage, then: BuiltFile, lineage: Lineage, now: BuiltFile, answers: AnswerComparison | None
) -> RebuildComparison:
    """Compare a variant with what came out as it was made again.

    Args:
        recorded: its lineage.
        then: what was made of it when it was built.
        lineage: that of the rebuild.
        now: what was made of it.
        answers: of both files; None where the former file is not there any more.
    """
    changed = differences(recorded, lineage)
    steps = [(a.step, a.digest, b.digest) for a, b in zip(then.steps, now.steps, strict=True)]
    reasons = []
    if then.onnx == now.onnx:
        verdict: Verdict = "equal"
        if then.encoding != now.encoding:
            verdict = "equal_answers"
            reasons.append(_because("the encoding has other bytes", {"zstd", "edgefleet"}, changed))
    else:
        verdict = "equal_answers" if answers is not None and answers.are_equal else "different"
        reasons.append(_first_difference(then, now, changed))
    return RebuildComparison(verdict, steps, changed, reasons, answers)


def depends_on(step: str) -> frozenset[str]:
    """The libraries and the properties of the host that decide the bits of what a step makes."""
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


def _first_difference(then: BuiltFile, now: BuiltFile, changed: Mapping[str, tuple[Known, Known]]) -> str:
    for number, (a, b) in enumerate(zip(then.steps, now.steps, strict=True), start=1):
        what = f"step {number}, {a.step}, made something else"
        if a.revision is not None and a.revision != b.revision:
            return f"{what}: it was of revision {a.revision}, and is of revision {b.revision} now"
        if a.digest is not None and a.digest != b.digest:
            return _because(what, depends_on(a.step), changed)
    return _because("the steps made the same, and the file has other bytes", set(changed), changed)


def _because(what: str, names: "frozenset[str] | set[str]", changed: Mapping[str, tuple[Known, Known]]) -> str:
    """A difference with what it may come from."""
    found = [f"{name} was {old}, and is {new}" for name, (old, new) in changed.items() if name in names]
    if found:
        return f"{what}, and depends on what has changed: {'; '.join(found)}"
    return f"{what}, though nothing that it is known to depend on has changed: it is not repeatable"
