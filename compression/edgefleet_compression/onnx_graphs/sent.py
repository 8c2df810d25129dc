"""What applications send to a model, and what they are given, where that is not what its network takes and gives."""

from dataclasses import dataclass
from typing import Literal

from edgefleet_protocol.spec import BoxReading

Fit = Literal["stretch", "crop", "letterbox"]
Colour = Literal["rgb", "bgr", "grey"]
BOX_COLUMNS = 6
"""Class, score, x1, y1, x2, y2."""
NO_CLASS = -1
"""In rows of which there is no box."""


@dataclass(frozen=True)
class SentPicture:
    """A camera's frame, [height, width, channels], as a network takes it.

    Attributes:
        channels: of the frame; red, green, blue where there are three.
        colour: what the network takes; None takes the channels as they are.
        channels_first: whether the network takes [channels, height, width].
        resize: the height and width that the network takes; None takes frames of one size.
        fit: how a frame of another shape gets that size: stretched; or scaled with its shape kept, and what is too
            much cut off evenly, or what is missing filled.
        corner: whether a letterbox has the frame at its upper left, and not in the middle.
        pad: what a letterbox is filled with, as a value of the frame.
    """

    channels: int = 3
    colour: Colour | None = None
    channels_first: bool = True
    resize: tuple[int, int] | None = None
    fit: Fit = "stretch"
    corner: bool = False
    pad: float = 0


@dataclass(frozen=True)
class SentInput:
    """What applications send for one input, and how it becomes (values x scale - mean) / std.

    Attributes:
        input: its name.
        datatype: of what is sent.
        picture: how a frame gets its size and layout; None sends the input's own shape.
        mean, std: one number, or one a channel of what the network takes; empty leaves them out.
    """

    input: str
    datatype: str = "UINT8"
    picture: SentPicture | None = None
    scale: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


@dataclass(frozen=True)
class PickedBoxes:
    """Boxes that the graph itself picks, [samples, most, 6] as class, score, x1, y1, x2, y2, the surest first.

    Attributes:
        reading: which outputs of the network hold them.
        score: the least that a box has.
        overlap: of two boxes of a class that overlap by more (IoU), only the surer one is given; 1 keeps both.
        most: how many there are at most; rows that hold none have the class -1.
    """

    reading: BoxReading
    score: float
    overlap: float
    most: int


@dataclass(frozen=True)
class SurestClasses:
    """The surest classes of an output [samples, classes]: their numbers and scores, and names if there are any."""

    output: str
    count: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class GivenAnswers:
    """What becomes of a network's outputs: `softmax` and `sigmoid` name those that are made probabilities."""

    softmax: tuple[str, ...] = ()
    sigmoid: tuple[str, ...] = ()
    top: SurestClasses | None = None
    boxes: PickedBoxes | None = None
