"""The tables `[preprocessing]` and `[postprocessing]` of a card: what applications send, and what they are given.

Both become nodes of the files that devices get. The order is fixed: size, colour, layout, then numbers.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edgefleet_contract.card_part import CardPart
from edgefleet_protocol.fields import Share

Side = Annotated[int, Field(gt=0, le=16384)]
TensorName = Annotated[str, Field(min_length=1, max_length=1024)]
Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]
ChannelMeans = Annotated[tuple[Annotated[float, Field(allow_inf_nan=False)], ...], Field(max_length=4)]
ChannelDeviations = Annotated[tuple[Factor, ...], Field(max_length=4)]
MOST_BOXES = 1000


class CardPreprocessing(CardPart):
    """How what applications send becomes the model's input: (value * scale - mean) / std, of a frame of its size.

    With `resize`, `colour` or `layout` they send frames, [height, width, channels], and else samples as the model takes
    them. `dtype` is the type of what they send.
    """

    input: TensorName | None = None
    dtype: Literal["uint8", "int8", "uint16", "int16", "int32", "float32"] | None = None
    resize: Annotated[tuple[Side, ...], Field(min_length=2, max_length=2)] | None = None
    fit: Literal["stretch", "crop", "letterbox"] = "stretch"
    align: Literal["centre", "corner"] = "centre"
    pad: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 114
    colour: Literal["rgb", "bgr", "grey"] | None = None
    layout: Literal["nchw", "nhwc"] | None = None
    scale: Factor | None = None
    mean: ChannelMeans = ()
    std: ChannelDeviations = ()

    @model_validator(mode="after")
    def _is_whole(self) -> "CardPreprocessing":
        if self.scale is None and (self.mean or self.std):
            raise ValueError("mean and std are of scaled values: give scale, too, 1 if there is none")
        if not self.is_picture and max(len(self.mean), len(self.std)) > 1:
            raise ValueError("a mean or std for each channel is for pictures: give layout, too, or one number for all")
        if self.is_picture and self.dtype not in (None, "uint8", "float32"):
            raise ValueError(f'frames are uint8 or float32: dtype is "{self.dtype}"')
        if self.is_picture and self.dtype != "float32" and (self.pad > 255 or self.pad % 1):
            raise ValueError("pad is the value of a pixel, a whole number up to 255")
        return self

    @property
    def idle_key(self) -> str | None:
        """Why a key that a card gives would not be obeyed; None if all are. Asked of what was just parsed."""
        given = self.model_fields_set
        if "fit" in given and self.resize is None:
            return "fit says how a frame gets the size of `resize`: give that, too"
        for key in ("align", "pad"):
            if key in given and self.fit != "letterbox":
                return f'{key} is for fit = "letterbox": leave it out, or set that'
        return None

    @property
    def is_picture(self) -> bool:
        """Whether applications send frames, [height, width, channels]."""
        return not (self.resize is None and self.colour is None and self.layout is None)

    @property
    def is_scale_alone(self) -> bool:
        """Whether it says nothing but a scale, as all cards did once."""
        return self == CardPreprocessing(scale=self.scale)


class CardPostprocessing(CardPart):
    """What becomes of the model's outputs: probabilities, the surest classes, and boxes that are picked.

    `softmax` and `sigmoid` name outputs. With `most`, the boxes that [answers] maps are picked: the surest, each with a
    score of at least `score`, and none of which overlaps a surer one of its class by more than `overlap` (IoU).
    """

    softmax: Annotated[tuple[TensorName, ...], Field(max_length=16)] = ()
    sigmoid: Annotated[tuple[TensorName, ...], Field(max_length=16)] = ()
    top_k: Annotated[int, Field(gt=0, le=1000)] | None = None
    classes: Literal["numbers", "names"] = "numbers"
    most: Annotated[int, Field(gt=0, le=MOST_BOXES)] | None = None
    score: Share = 0.25
    overlap: Share = 0.45

    @model_validator(mode="after")
    def _is_of_one_kind(self) -> "CardPostprocessing":
        if both := set(self.softmax) & set(self.sigmoid):
            raise ValueError(f"'{min(both)[:60]}' has softmax and sigmoid: name it in one of them")
        if self.most is not None and self.top_k is not None:
            raise ValueError("top_k is of classes and `most` is of boxes: give one of them")
        return self

    @property
    def idle_key(self) -> str | None:
        """Why a key that a card gives would not be obeyed; None if all are. Asked of what was just parsed."""
        given = self.model_fields_set
        for key in ("score", "overlap"):
            if key in given and self.most is None:
                return f"{key} is of boxes that are picked: say at `most` how many"
        if "classes" in given and self.top_k is None:
            return "classes is how the surest are told: give top_k, too"
        return None
