"""What a search found: the front of each class, the table of orders, and every point with its reason.

Accuracies ending in `_val` are those that choices were made by, those in `_test` are only reported; drops are the
source's right answers beyond the variant's, with the 95 % interval of the paired difference.
"""

from typing import Literal

from edgefleet_contract.base import Shape, Sparse
from edgefleet_contract.operations import StepCounts
from edgefleet_contract.recipes import StepTable
from edgefleet_profiles.device_class import InstructionSet

FigureSource = Literal["measured", "predicted", "modelled"]
"""Where a figure of a device class comes from."""


class Figures(Sparse):
    """What is known of a recipe on a device class; nothing but `rejected` where nothing was measured.

    `rejected` says in a sentence why it is out, null where it is on the front. `latency_ms` and `energy_mj` are those
    of the class, `p50_ms` that of the host that measured.
    """

    rejected: str | None
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
    """A recipe on the front of a class; `order` names its techniques, as in `distill > qat > quantize`."""

    recipe: str
    order: str


class TriedRecipe(Shape):
    """A recipe that was tried, with what each device class says of it."""

    recipe: str
    title: str
    order: str
    steps: list[StepTable]
    classes: dict[InstructionSet, Figures]


class BestOfOrder(Shape):
    """The most accurate recipe of an order of techniques; `quality` is its share of val that is right, or agrees."""

    recipe: str
    quality: float | None


class Nearest(Shape):
    """A recipe that comes near the bounds, and what it breaks, in words."""

    recipe: str
    broken: dict[str, str]


class BoundsView(Shape):
    """The recipes that meet everything; else the nearest."""

    met_by: list[str]
    nearest: list[Nearest]
    sentence: str


class SearchReport(Shape):
    """All of a search: what was asked, the front of each class, the table of orders, and every recipe tried."""

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
