"""The settings of each step: what a recipe may say of it, with its bounds and defaults."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

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
    """Static int8; the scheme `auto` follows the instruction set of the device class.

    `calibration` says how the range of an activation follows from the `samples` of calib: its least and largest
    value, the range that loses least information (entropy), the one that holds `percentile` of the values, or the one
    that changes them least in squares (mse).
    """

    scheme: Literal["auto"] = "auto"
    per_channel: bool = True
    calibration: Literal["minmax", "entropy", "percentile", "mse"] = "minmax"
    percentile: Annotated[float, Field(gt=90, le=100)] = 99.99
    samples: Annotated[int, Field(ge=1)] = 256


class AccuracyInt8Config(StaticInt8Config):
    """Static int8 that keeps in float the layers that cost most, until the answers are near enough the file's own.

    `max_drop` is the largest loss of top-1 on val, or of agreement with the float file where there are no labels, one
    standard error added; `most_float` the largest share of the layers that may stay in float. With `correct_biases`
    what rounding weights shifts on average over calib is taken out of the biases.
    """

    calibration: Literal["minmax", "entropy", "percentile", "mse"] = "mse"
    correct_biases: bool = True
    max_drop: Share = 0.005
    most_float: Share = 0.5


class DynamicInt8Config(StepConfig):
    """Weights of MatMul, Gemm and recurrent layers in 8 bits; ranges of activations are taken as it runs."""

    per_channel: bool = True


class WeightOnlyConfig(StepConfig):
    """Weights of MatMul in blocks of `block` numbers with a scale each, multiplied by onnxruntime's MatMulNBits."""

    bits: Literal[2, 4, 8] = 4
    block: Literal[16, 32, 64, 128, 256] = 32
    symmetric: bool = True
    accuracy_level: Annotated[int, Field(ge=0, le=4)] = 4


class Fp16Config(StepConfig):
    """Weights are stored in 16-bit floats, and unfold to fp32 as the session loads."""


class PackConfig(StepConfig):
    """Lay the stored integers out so that the file's encoding is smallest, by trying.

    With `two_bits` weights of three levels may take two bits, in a type of opset 25: for devices whose onnxruntime
    knows that.
    """

    two_bits: bool = False


class PruneStructuredConfig(StepConfig):
    """Remove the `ratio` of channels with the least magnitude, in multiples of `round_to`."""

    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5
    round_to: Annotated[int, Field(ge=1)] = 8


class PruneUnstructuredConfig(StepConfig):
    """Set the `sparsity` share of weights that are smallest to zero, over all layers together or in each."""

    sparsity: Annotated[float, Field(gt=0, lt=1)] = 0.8
    scope: Literal["global", "layer"] = "global"


class ReestimateNormsConfig(StepConfig):
    """Take the statistics of every batch norm again, over `samples` of train, without training anything."""

    samples: Annotated[int, Field(ge=2)] = 4096


class TrainConfig(StepConfig):
    """Training on `train`, by hard labels and the teacher's soft ones.

    `alpha` is the soft labels' share of the loss and `temperature` their T; `alpha = 0` needs no teacher.
    `flip` mirrors pictures at random, unless the teacher shows that they are other things then; `shift` is the largest
    random shift in pixels; `samples` (0: all) takes only the first of the split. Signals are not changed.
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
    args: dict[str, int | str] = Field(default_factory=dict)


class ScaleWidthConfig(TrainConfig):
    """Train a fresh network of the given one's shape with `ratio` of its channels, in multiples of `round_to`."""

    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5
    round_to: Annotated[int, Field(ge=1)] = 8


class PruneIterativeConfig(TrainConfig):
    """Prune in `rounds`, each followed by `epochs` of finetuning, up to `ratio`; zeros stay zero while it trains.

    `ratio` is the share of channels (structured) or of weights (unstructured) that are gone in the end.
    """

    method: Literal["structured", "unstructured"] = "structured"
    ratio: Annotated[float, Field(gt=0, lt=1)] = 0.5
    rounds: Annotated[int, Field(ge=2, le=20)] = 3
    round_to: Annotated[int, Field(ge=1)] = 8
    epochs: Epochs = 1


class QatInt8Config(TrainConfig):
    """Finetune with weights and activations rounded as static int8 will round them, by the class's scheme.

    `per_channel` must be that of the `static_int8` that follows; a recipe where it is not is refused.
    """

    per_channel: bool = True
    epochs: Epochs = 1
    rate: Rate = 5e-4


class WeightBits(StepConfig):
    """Bits of a stored weight by the kind of its layer; a sign is one of them, so that 5 bits are 31 levels."""

    stem: Bits = 7
    dense: Bits = 8
    depthwise: Bits = 6
    pointwise: Bits = 5
    linear: Bits = 5


class Bitwidths(WeightBits):
    """Bits by layer: by the kind of the layer, or by how sensitive it is.

    With `mean_bits`, the bits of each layer are chosen instead, by its sensitivity, so that a weight takes so many
    on average.
    """

    mean_bits: Annotated[float, Field(ge=1, le=8)] | None = None


class StorageQuantConfig(Bitwidths):
    """Store weights as small integers, one scale for each output channel, unfolded as the session loads.

    With `lossless`, each layer takes the fewest bits whose grid its weights lie on already (after `qat_weights` or
    `tune_norms`), and a layer that lies on none takes those of its kind.
    """

    lossless: bool = False


class QatWeightsConfig(TrainConfig, Bitwidths):
    """Finetune with weights on the grid that they will be stored on, and leave them there.

    `levels` replaces the bits of dense and pointwise convolutions by three values (ternary: -s, 0, s) or two (binary:
    -s, s) for each output channel. Stem, head and depthwise convolutions, which have few weights and need them, keep
    their bits: nine weights of three values alone cost two points.
    """

    levels: Literal["grid", "ternary", "binary"] = "grid"
    epochs: Epochs = 3
    rate: Rate = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.0


class TuneNormsConfig(TrainConfig, WeightBits):
    """Snap weights to the grid that they will be stored on, then train only norms and biases.

    Without `snap` weights stay where they are, on the grid that `qat_weights` put them on.
    """

    snap: bool = True
    epochs: Epochs = 2
    rate: Rate = 5e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
