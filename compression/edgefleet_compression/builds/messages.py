"""What goes to a worker and what comes back: values of our own types that pickle, and nothing that imports torch.

Each entry point of a worker takes one request. Where its caller can go on without the outcome (one variant of many, the
source's figures) it returns `WorkRefused` in place of it; else it raises, and the pool hands the error on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_compression.schemes import Scheme
from edgefleet_contract.lineage import Lineage
from edgefleet_contract.metrics import Metrics
from edgefleet_contract.variants import StepReport
from edgefleet_profiles.device_class import InstructionSet

ModelFiles = Mapping[str, Path]
"""Where each file of a model lies, by its name in the model's folder; model.toml is one of them."""

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
    """Why a worker did not do what it was asked: `reason` for programs, `sentence` (what was wrong, what to do)."""

    reason: RefusalReason
    sentence: str


@dataclass(frozen=True)
class SourceRequest:
    """A question about the source model; `cache_dir` is shared by all workers."""

    files: ModelFiles
    cache_dir: Path


@dataclass(frozen=True)
class GoldenRequest:
    """The golden set of a model is asked for."""

    files: ModelFiles


@dataclass(frozen=True)
class BuildRequest:
    """One variant to build.

    `work_dir` is this build's own, `cache_dir` is shared; `progress_path` is rewritten as the build goes on.
    `reference` is the source's fp32 ONNX file, which latency is compared with.
    """

    files: ModelFiles
    recipe: Recipe
    instruction_set: InstructionSet
    cache_dir: Path
    work_dir: Path
    progress_path: Path | None = None
    reference: Path | None = None
    seed: int = 0


@dataclass(frozen=True)
class ExpectedAnswers:
    """What a variant answers to the golden set on the host that built it: [samples][classes], and each sample's top-1.

    `instruction_set` is the host's.
    """

    probabilities: tuple[tuple[float, ...], ...]
    top1: tuple[int, ...]
    instruction_set: InstructionSet


@dataclass(frozen=True)
class BuildOutcome:
    """A variant that was built and measured.

    `runtime` are session options that a device must use, `unfolded_bytes` is the size of its weights in memory.
    `scheme` is None where the recipe uses none.
    """

    onnx_path: Path
    runtime: dict[str, str]
    metrics: Metrics
    expected: ExpectedAnswers
    unfolded_bytes: int
    steps: tuple[StepReport, ...]
    scheme: Scheme | None
    lineage: Lineage


@dataclass(frozen=True)
class CompareRequest:
    """Two ONNX files of the same inputs and classes, to be run on all samples of test.

    `runtime` are the session options of both.
    """

    files: ModelFiles
    cache_dir: Path
    one: Path
    other: Path
    runtime: Mapping[str, str]
