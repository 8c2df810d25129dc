"""Settings of steps: what every step's are made of, and those that several steps share."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from edgefleet_protocol.fields import Share

Epochs = Annotated[int, Field(ge=1, le=1000)]
Rate = Annotated[float, Field(gt=0, le=10, allow_inf_nan=False)]
Ratio = Annotated[float, Field(gt=0, lt=1)]
Bits = Annotated[int, Field(ge=2, le=8)]
Calibration = Literal["minmax", "entropy", "percentile", "mse"]


class StepConfig(BaseModel):
    """The settings of a step, with their bounds and defaults; one that the step doesn't know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Int8Config(StepConfig):
    """Settings of static int8; the scheme `auto` follows the instruction set of the device class.

    `calibration` says how the range of an activation follows from the `samples` of calib: its least and largest
    value, the range that loses least information (entropy), the one that holds `percentile` of the values, or the one
    that changes them least in squares (mse).
    """

    scheme: Literal["auto"] = "auto"
    per_channel: bool = True
    calibration: Calibration = "minmax"
    percentile: Annotated[float, Field(gt=90, le=100)] = 99.99
    samples: Annotated[int, Field(ge=1)] = 256


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


class WeightBits(StepConfig):
    """Bits of a stored weight by the kind of its layer; a sign is one of them, so that 5 bits are 31 levels."""

    stem: Bits = 7
    dense: Bits = 8
    depthwise: Bits = 6
    pointwise: Bits = 5
    linear: Bits = 5


class StoredBits(WeightBits):
    """Bits of what only a file has beside its layers: weights of LSTM, GRU and RNN, and tables to look rows up in."""

    recurrent: Bits = 8
    table: Bits = 8


class Bitwidths(WeightBits):
    """Bits by layer: by the kind of the layer, or by how sensitive it is.

    With `mean_bits`, the bits of each layer are chosen instead, by its sensitivity, so that a weight takes so many
    on average.
    """

    mean_bits: Annotated[float, Field(ge=1, le=8)] | None = None
