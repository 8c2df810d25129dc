"""How the answers of one model version are meant: decided once, when it is built, and part of a variant's identity."""

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from edgefleet_protocol.signature import MAX_TENSORS

LOGITS, PROBABILITIES = "logits", "probabilities"
STRATA = 8
CATEGORIES = 256
MAX_NAMES = 32_768
MAX_NUMBERS = 1024
MAX_WIDTH = 2**31
CORNERS, CORNERS_Y_FIRST, CENTRE, CORNER_SIZE = "x1y1x2y2", "y1x1y2x2", "cxcywh", "x1y1wh"
BOX_FORMS = (CORNERS, CORNERS_Y_FIRST, CENTRE, CORNER_SIZE)


@dataclass(frozen=True, slots=True)
class OutputColumns:
    """`count` columns of the last axis of an output, beginning with `first`; all that follow it if `count` is 0."""

    output: int
    first: int = 0
    count: int = 0

    def __post_init__(self) -> None:
        _within("output", [self.output], 0, MAX_TENSORS - 1)
        _within("first and count", [self.first, self.count], 0, MAX_WIDTH)


@dataclass(frozen=True, slots=True)
class BoxReading:
    """Which outputs hold a detector's boxes, and how.

    `scores` is one column, or one for each class; then `classes` is left out. `objectness` is multiplied with it.
    `form` is the order of a box's four numbers, which times `scale_x` and `scale_y` are pixels of what the application
    sent. `boxes_last` says that the boxes lie along the last axis, as [4 + classes, boxes]. `first_class` is the number
    of the first class. Of two boxes of one class that overlap by more than `overlap` (IoU), only the surer one counts;
    1 keeps both. `counts` is the output that says how many of the boxes are meant, -1 if none does.
    """

    boxes: OutputColumns
    scores: OutputColumns
    classes: OutputColumns | None = None
    objectness: OutputColumns | None = None
    form: str = CORNERS
    scale_x: float = 1.0
    scale_y: float = 1.0
    boxes_last: bool = False
    first_class: int = 0
    overlap: float = 1.0
    counts: int = -1

    def __post_init__(self) -> None:
        if self.form not in BOX_FORMS:
            raise ValueError(f"form is '{self.form[:60]}': write one of {', '.join(BOX_FORMS)}")
        if not all(math.isfinite(scale) and scale > 0 for scale in (self.scale_x, self.scale_y)):
            raise ValueError("scale_x and scale_y must be above 0")
        _within("overlap", [self.overlap], 0, 1)
        _within("first_class", [self.first_class], 0, MAX_WIDTH)
        _within("counts", [self.counts], -1, MAX_TENSORS - 1)


@dataclass(frozen=True, slots=True)
class TokenReading:
    """Which tokens of a sequence are none: -1 where there is no such token.

    A sequence ends before `end`; `padding` is passed over. With `blank` (CTC) tokens that repeat count once, and blanks
    not at all. `lengths` is the output that says how long each sequence is.
    """

    blank: int = -1
    end: int = -1
    padding: int = -1
    lengths: int = -1

    def __post_init__(self) -> None:
        _within("blank, end and padding", [self.blank, self.end, self.padding], -1, MAX_WIDTH)
        _within("lengths", [self.lengths], -1, MAX_TENSORS - 1)


@dataclass(frozen=True, slots=True)
class Spec:
    """What a task needs to know of a model version; what each task makes of it is on the page on tasks.

    `outputs` is what the numbers are, such as logits or probabilities, and `read_from` the output that has them.
    `names` are those of classes, `width` is how many classes or numbers an answer has; 0 is unknown. `scale` is which
    difference between two numbers counts as wholly wrong. `thresholds` are what a score must reach to count, or
    where categories of numbers begin. `strata` are seven rising numbers, where the next degree of sureness begins.
    `commonest` are the classes that are counted by themselves. `boxes` and `tokens` say how outputs are read.
    """

    outputs: str = LOGITS
    read_from: int = 0
    names: tuple[str, ...] = ()
    width: int = 0
    scale: tuple[float, ...] = ()
    thresholds: tuple[float, ...] = ()
    strata: tuple[float, ...] = ()
    commonest: tuple[int, ...] = ()
    boxes: BoxReading | None = None
    tokens: TokenReading | None = None

    def __post_init__(self) -> None:
        if len(self.outputs) > 60:
            raise ValueError("outputs is a word of at most 60 characters")
        _within("read_from", [self.read_from], 0, MAX_TENSORS - 1)
        _within("width", [self.width], 0, MAX_WIDTH)
        _at_most("names", self.names, MAX_NAMES)
        if any(not 1 <= len(name) <= 200 for name in self.names):
            raise ValueError("names have 1 to 200 characters each")
        if self.names and self.width and len(self.names) != self.width:
            raise ValueError(f"{len(self.names)} names, but width is {self.width}: name all or none")
        _at_most("scale", self.scale, MAX_NUMBERS)
        _at_most("thresholds", self.thresholds, MAX_NUMBERS)
        _at_most("commonest", self.commonest, CATEGORIES - 1)
        _within("commonest", self.commonest, 0, MAX_WIDTH)
        if not all(math.isfinite(one) and one > 0 for one in self.scale):
            raise ValueError("scale is of numbers above 0")
        if not all(map(math.isfinite, self.thresholds)):
            raise ValueError("thresholds are finite")
        rising = all(low <= high for low, high in itertools.pairwise(self.strata))
        if len(self.strata) not in (0, STRATA - 1) or not rising or not all(map(math.isfinite, self.strata)):
            raise ValueError(f"strata are {STRATA - 1} finite numbers that do not fall, or none")

    @property
    def classes(self) -> int:
        """How many classes there are; 0 if that is not known."""
        return len(self.names) or self.width

    def told(self) -> dict[str, Any]:
        """The spec as plain values, without what is as it is by default."""
        return _told(self)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Spec":
        """The spec of what `told` gave, also by way of JSON.

        Raises:
            ValueError: it is none.
        """
        try:
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
            if values.get("boxes") is not None:
                inner = dict(values["boxes"])
                columns = [name for name in ("boxes", "scores", "classes", "objectness") if inner.get(name) is not None]
                values["boxes"] = BoxReading(**inner | {name: OutputColumns(**inner[name]) for name in columns})
            if values.get("tokens") is not None:
                values["tokens"] = TokenReading(**values["tokens"])
            return cls(**values)
        except TypeError as error:
            raise ValueError(f"no spec: {error}") from None


def _told(value: Any) -> dict[str, Any]:
    whole, told = asdict(value), {}
    for field in fields(value):
        if getattr(value, field.name) != field.default:
            inner = getattr(value, field.name)
            told[field.name] = _told(inner) if hasattr(inner, "__dataclass_fields__") else whole[field.name]
    return told


def _within(what: str, values: Iterable[float], low: float, high: float) -> None:
    if not all(low <= value <= high for value in values):
        raise ValueError(f"{what} must be from {low} to {high}")


def _at_most(what: str, values: tuple[Any, ...], most: int) -> None:
    if len(values) > most:
        raise ValueError(f"{what} has {len(values)} entries: at most {most}")
