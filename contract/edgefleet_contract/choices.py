"""What each profile gets of a model, and why."""

from typing import Literal

from edgefleet_contract.base import Shape
from edgefleet_profiles.profile import Constraints

EnergySource = Literal["measured", "measured elsewhere", "modelled"]
Direction = Literal["above", "below"]


class ChoiceView(Shape):
    """What one profile gets, and why each variant is or is not that one."""

    profile: str
    variant: str | None
    reasons: dict[str, str]


class BrokenView(Shape):
    """A constraint that a variant breaks, in words."""

    constraint: str
    sentence: str


class OfferView(Shape):
    """A variant as one profile sees it: its figures there, what it costs, and what it breaks.

    `accuracy_val` and `agreement_val` are of the split that choices are made on. `transfer_*` are of one delivery.
    `energy_source` says whether `inference_mj` was measured (here or elsewhere) or is modelled from the hardware's
    watts; a p95 or an energy that is not from this very class never rejects. Null means not measured.
    """

    variant: str
    recipe: str
    accuracy_val: float | None
    agreement_val: float | None
    delivery_bytes: int
    transfer_s: float
    transfer_usd: float
    transfer_j: float
    usd_per_month: float
    p95_ms: float | None
    p95_is_predicted: bool
    peak_rss_mb: float | None
    inference_mj: float | None
    energy_source: EnergySource | None
    broken: list[BrokenView]
    reason: str


class FlipView(Shape):
    """Beyond `at`, and until the next flip of this quantity in this direction, `variant` wins; null: nothing fits.

    `now` is what the quantity is, null where it is not asked.
    """

    quantity: str
    unit: str
    now: float | None
    direction: Direction
    at: float
    variant: str | None
    sentence: str


class ExplanationView(Shape):
    """Why a profile gets the variant that it gets, and what would flip that; nothing was built for this answer.

    `runner_up` is what the profile would get without the winner, or the nearest of those that break something.
    `preferences` says which variant each other preference would choose; `made_for_others` why a variant was no
    candidate here.
    """

    model: str
    profile: str
    constraints: Constraints
    source_accuracy: float | None
    winner: OfferView | None
    runner_up: OfferView | None
    candidates: list[OfferView]
    flips: list[FlipView]
    preferences: dict[str, str | None]
    made_for_others: dict[str, str]
