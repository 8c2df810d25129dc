"""Requests to worker processes, and what they return; every type pickles and imports without torch.

A function whose caller can go on without the outcome (one variant of many, the source's figures) returns `WorkRefused`
on failure. The others raise, and the pool passes the error on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_compression.schemes import Scheme
from edgefleet_contract.lineage import Lineage
from edgefleet_contract.metrics import Metrics
from edgefleet_contract.operations import VersionComparison
from edgefleet_contract.variants import GoldenSize, StepReport
from edgefleet_profiles.device_class import InstructionSet
from edgefleet_protocol.signature import Signature
from edgefleet_protocol.spec import Spec
from edgefleet_protocol.state import SequenceState

ModelFiles = Mapping[str, Path]
"""The path of each file of a model, model.toml included, by its name in the model's folder."""

RefusalReason = Literal[
    "bad_model",
    "bad_data",
    "bad_recipe",
    "bad_step",
    "not_applicable",
    "nothing_changed",
    "step_failed",
    "not_measured",
    "full_disk",
    "not_installed",
    "timed_out",
    "out_of_memory",
    "worker_lost",
    "out_of_time",
    "stopped",
    "unexpected",
]


@dataclass(frozen=True)
class WorkRefused:
    """Why a worker could not do its work: a `reason` for programs, and a `sentence` for people with what to do."""

    reason: RefusalReason
    sentence: str


@dataclass(frozen=True)
class SourceRequest:
    """Asks about the source model; all workers share `cache_dir`."""

    files: ModelFiles
    cache_dir: Path


@dataclass(frozen=True)
class BuildRequest:
    """Asks for one variant.

    `work_dir` belongs to this build, `cache_dir` is shared. `progress_path` is rewritten while the build runs. The
    variant names `providers`, in order, and is measured on the first that runs it here.
    """

    files: ModelFiles
    recipe: Recipe
    instruction_set: InstructionSet
    cache_dir: Path
    work_dir: Path
    progress_path: Path | None = None
    seed: int = 0
    providers: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecordedAnswers:
    """A variant's golden set, an npz, and its answers to it on the host that built it, a blob of reduced answers.

    `probabilities` is [samples][classes], the form that version 0.1.0 compares with; None if that does not take as
    much. `instruction_set` and `provider` are the host's.
    """

    golden: bytes
    answers: bytes
    spec: Spec
    size: GoldenSize
    probabilities: tuple[tuple[float, ...], ...] | None
    instruction_set: InstructionSet
    provider: str


@dataclass(frozen=True)
class KeptAnswers:
    """A file of answers to all of a version's val; `data` is the sha256 of its samples and labels."""

    path: Path
    data: str


@dataclass(frozen=True)
class BuildOutcome:
    """A built and measured variant, with its answers to `val`.

    `encoding_path` is the file as it goes over the wire; `runtime` holds session options that a device must use,
    `unfolded_bytes` is the size of the weights in memory, `min_onnxruntime` the oldest that reads the file. `scheme` is
    None if the recipe uses none. `task`, `signature` and `state` are the source's, the signature None if a session says
    the same.
    """

    onnx_path: Path
    encoding_path: Path
    runtime: dict[str, str]
    metrics: Metrics
    recorded: RecordedAnswers
    val: KeptAnswers
    unfolded_bytes: int
    steps: tuple[StepReport, ...]
    scheme: Scheme | None
    lineage: Lineage
    min_onnxruntime: str
    task: str
    signature: Signature | None
    state: SequenceState | None = None


@dataclass(frozen=True)
class OlderVariant:
    """A variant of an older version: its ONNX file, and the session options that devices use."""

    id: str
    path: Path
    runtime: Mapping[str, str]


@dataclass(frozen=True)
class VersionsRequest:
    """Asks the version `before`, its source and some variants, the val samples of a model, beside the model's source.

    Answers are written into `work_dir`.
    """

    files: ModelFiles
    before: ModelFiles
    variants: tuple[OlderVariant, ...]
    cache_dir: Path
    work_dir: Path


@dataclass(frozen=True)
class VersionsOutcome:
    """How both sources answer, and what is kept of the older version's answers, by variant; its source has no id.

    `not_asked` says why a variant could not be asked.
    """

    compared: VersionComparison
    kept: Mapping[str, KeptAnswers]
    not_asked: Mapping[str, str]


@dataclass(frozen=True)
class CompareRequest:
    """Asks how far two ONNX files, with the same inputs and classes, agree on the test samples.

    `runtime` holds session options for both.
    """

    files: ModelFiles
    cache_dir: Path
    one: Path
    other: Path
    runtime: Mapping[str, str]
