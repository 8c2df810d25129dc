"""What a search found: the front of each class, the table of orders, and every point with its reason.

Choices are based on figures ending in `_val`; those ending in `_test` are only reported. Drops are the source's
score minus the variant's, with the 95 % interval of the paired difference.
"""

from typing import Literal

from pydantic import AliasChoices, Field

from edgefleet_contract.base import Shape, Sparse
from edgefleet_contract.measures import ACCURACY, MeasureView
from edgefleet_contract.operations import StepCounts
from edgefleet_contract.recipes import StepTable
from edgefleet_profiles.device_class import InstructionSet
from edgefleet_protocol.intervals import Interval

FigureSource = Literal["measured", "predicted", "modelled"]
"""Where a figure for a device class comes from."""


class Figures(Sparse):
    """The figures of a recipe on a device class; only `rejected` if nothing was measured.

    `rejected` says in a sentence why the recipe is out, and is null if it is on the front. `latency_ms` and `energy_mj`
    are for the class, `p50_ms` for the host that measured. Scores are by the report's `measure`; figures named after
    accuracy are not null only if that is accuracy.
    """

    rejected: str | None
    score_val: float | None = Field(default=None, validation_alias=AliasChoices("score_val", "accuracy_val"))
    score_test: float | None = Field(default=None, validation_alias=AliasChoices("score_test", "accuracy_test"))
    score_test_ci: tuple[float, float] | None = Field(
        default=None, validation_alias=AliasChoices("score_test_ci", "accuracy_test_ci")
    )
    headline_val: Interval | None = None
    headline_test: Interval | None = None
    accuracy_val: float | None = None
    accuracy_test: float | None = None
    accuracy_test_ci: tuple[float, float] | None = None
    drop_val: float | None = None
    drop_val_ci: tuple[float, float] | None = None
    drop_test: float | None = None
    drop_test_ci: tuple[float, float] | None = None
    agreement_val: float | None = None
    agreement: float | None = None
    latency_ratio: float | None = None
    p50_ms: float | None = None
    encoding_bytes: int | None = None
    file_bytes: int | None = None
    parameters: int | None = None
    peak_rss_mb: float | None = None
    measured_on: str | None = None
    latency_ms: float | None = None
    latency_is: FigureSource | None = None
    energy_mj: float | None = None
    energy_is: FigureSource | None = None


class FrontPoint(Figures):
    """A recipe on the front of a class; `order` names its techniques, for example `distill > qat > quantize`."""

    recipe: str
    order: str


class TriedRecipe(Shape):
    """A recipe that was tried, with its figures on each device class."""

    recipe: str
    title: str
    order: str
    steps: list[StepTable]
    classes: dict[InstructionSet, Figures]


class BestOfOrder(Shape):
    """The best recipe of an order of techniques; `quality` is its score on val, or its agreement."""

    recipe: str
    quality: float | None


class Nearest(Shape):
    """A recipe that comes near the bounds, and the bounds it breaks, in words."""

    recipe: str
    broken: dict[str, str]


class BoundsView(Shape):
    """The recipes that meet all bounds; if none does, the nearest."""

    met_by: list[str]
    nearest: list[Nearest]
    sentence: str


class SearchReport(Shape):
    """A search: its settings, the front of each class, the table of orders, and every recipe tried.

    `measure` is what scores are by, `headlined` what headline figures are; null if nothing was measured.
    """

    measure: MeasureView | None = ACCURACY
    headlined: MeasureView | None = None
    budget_s: float
    seed: int
    seconds: float
    measured: int
    executions: dict[str, int]
    trainings: int
    steps: StepCounts
    fronts: dict[InstructionSet, list[FrontPoint]]
    orders: dict[str, dict[InstructionSet, BestOfOrder]]
    constraints: dict[InstructionSet, BoundsView]
    points: list[TriedRecipe]
