"""What a build worker returns, made by hand."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from edgefleet_compression.builds.messages import BuildOutcome, KeptAnswers, RecordedAnswers
from edgefleet_contract.lineage import Environment, Lineage
from edgefleet_contract.metrics import Metrics
from edgefleet_contract.recipes import RecipeTable, StepTable
from edgefleet_contract.variants import GoldenSize, StepReport
from edgefleet_protocol.runtime_versions import OLDEST
from edgefleet_protocol.spec import Spec

ENVIRONMENT = Environment(processor="a processor", instruction_set="x86-vnni", threads=1, python="3.11.7")
LINEAGE = Lineage(
    source="s" * 64,
    files={"data.npz": "d" * 64},
    splits={"val": "v" * 64},
    recipe=RecipeTable(name="fp32", title="as it is", steps=(StepTable(step="export"),)),
    seed=0,
    instruction_set="x86-vnni",
    libraries={"torch": "2.9.0"},
    environment=ENVIRONMENT,
)


def step(name: str = "export", **log: Any) -> StepReport:
    """A step that ran, with what it said of itself."""
    return StepReport(step=name, config={}, cached=False, seconds=0.5, log=log, revision=1, digest="0" * 64)


def recorded(**changed: Any) -> RecordedAnswers:
    """What was recorded of a variant with two classes."""
    made = RecordedAnswers(
        golden=b"golden set",
        answers=b"answers",
        spec=Spec(),
        size=GoldenSize(samples=4, wanted=4, held=4, size_bytes=17, budget_bytes=16384),
        probabilities=((0.25, 0.75),) * 4,
        instruction_set="x86-vnni",
        provider="CPUExecutionProvider",
    )
    return replace(made, **changed)


def outcome(**changed: Any) -> BuildOutcome:
    """A variant that was built."""
    made = BuildOutcome(
        onnx_path=Path("variant.onnx"),
        encoding_path=Path("encoding"),
        runtime={},
        metrics=Metrics(score_val=0.9),
        recorded=recorded(),
        val=KeptAnswers(Path("val.answers"), "d" * 64),
        unfolded_bytes=100,
        steps=(step(took_s=0.5),),
        scheme=None,
        lineage=LINEAGE,
        min_onnxruntime=OLDEST,
        task="classification",
        signature=None,
    )
    return replace(made, **changed)
