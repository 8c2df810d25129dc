"""What each step takes, gives and needs, and its settings: enough to refuse a recipe before anything runs.

A model comes as a torch module, or as an ONNX file of somebody else's making ("brought"). Only `export` takes either,
and gives an ONNX file as all later steps know it: so a recipe that begins with it serves both.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

SourceKind = Literal["torch", "brought"]
StateKind = SourceKind | Literal["onnx"]
Need = Literal["train", "calib", "val", "teacher", "scheme"]

Epochs = Annotated[int, Field(ge=1, le=1000)]
Rate = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Bits = Annotated[int, Field(ge=2, le=8)]


class StepConfig(BaseModel):
    """The settings of a step; one that the step doesn't know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ExportConfig(StepConfig):
    """Export to ONNX, or clean the file that was brought; `tolerance` bounds a logit's difference from the source's."""

    opset: Annotated[int, Field(ge=18, le=23)] = 21
    tolerance: Annotated[float, Field(gt=0)] = 1e-3


class StaticInt8Config(StepConfig):
    """Static int8; the scheme `auto` follows the instruction set of the device class."""

    scheme: Literal["auto"] = "auto"
    per_channel: bool = True
    samples: Annotated[int, Field(ge=1)] = 256


class PruneStructuredConfig(StepConfig):
    """Remove the `ratio` of channels with the least magnitude, in multiples of `round_to`."""

    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5
    round_to: Annotated[int, Field(ge=1)] = 8


class TrainConfig(StepConfig):
    """Training on `train`, by hard labels and the teacher's soft ones.

    `alpha` is the soft labels' share of the loss and `temperature` their T; `alpha = 0` needs no teacher.
    `shift` is the largest random shift in pixels; `samples` (0: all) takes only the first of the split.
    """

    epochs: Epochs = 4
    rate: Rate = 2e-3
    batch: Annotated[int, Field(ge=2)] = 128
    temperature: Annotated[float, Field(gt=0)] = 4.0
    alpha: Share = 0.5
    flip: bool = True
    shift: Annotated[int, Field(ge=0, le=8)] = 0
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    samples: Annotated[int, Field(ge=0)] = 0


class FinetuneConfig(TrainConfig):
    """Train the model that the step was given."""


class DistillConfig(TrainConfig):
    """Train a fresh student, a built-in architecture, by the source model's soft labels."""

    architecture: str = "ds_cnn"
    args: dict[str, int] = Field(default_factory=dict)


class WeightBits(StepConfig):
    """Bits of a stored weight by the kind of its layer; a sign is one of them, so that 5 bits are 31 levels."""

    stem: Bits = 7
    dense: Bits = 8
    depthwise: Bits = 6
    pointwise: Bits = 5
    linear: Bits = 5


class StorageQuantConfig(WeightBits):
    """Store weights as small integers, one scale for each output channel, unfolded as the session loads."""


class TuneNormsConfig(TrainConfig, WeightBits):
    """Snap weights to the grid that they will be stored on, then train only norms and biases."""

    epochs: Epochs = 2
    rate: Rate = 5e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.0


@dataclass(frozen=True)
class Signature:
    """A step's declaration; `revision` rises when the same settings come to mean another result."""

    consumes: frozenset[StateKind]
    produces: StateKind
    config: type[StepConfig]
    needs: frozenset[Need] = frozenset()
    revision: int = 1


MODULE: frozenset[StateKind] = frozenset({"torch"})
SOURCE: frozenset[StateKind] = frozenset({"torch", "brought"})
FILE: frozenset[StateKind] = frozenset({"onnx"})

SIGNATURES: dict[str, Signature] = {
    "prune_structured": Signature(MODULE, "torch", PruneStructuredConfig),
    "finetune": Signature(MODULE, "torch", FinetuneConfig, frozenset({"train", "val", "teacher"})),
    "distill": Signature(MODULE, "torch", DistillConfig, frozenset({"train", "val", "teacher"})),
    "tune_norms": Signature(MODULE, "torch", TuneNormsConfig, frozenset({"train", "val", "teacher"})),
    "export": Signature(SOURCE, "onnx", ExportConfig, frozenset({"val"})),
    "static_int8": Signature(FILE, "onnx", StaticInt8Config, frozenset({"calib", "scheme"})),
    "storage_quant": Signature(FILE, "onnx", StorageQuantConfig),
}
