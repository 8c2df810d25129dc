"""Which variant of a model each profile gets, and why."""

from typing import Literal

from pydantic import AliasChoices, Field

from edgefleet_contract.base import Shape
from edgefleet_contract.measures import ACCURACY, MeasureView
from edgefleet_profiles.profile import Constraints

EnergySource = Literal["measured", "measured elsewhere", "modelled"]
Direction = Literal["above", "below"]


class ChoiceView(Shape):
    """The variant that a profile gets, and why each variant was or wasn't chosen.

    `not_considered` are the model's variants that were built after this choice was made, for other profiles.
    """

    profile: str
    variant: str | None
    reasons: dict[str, str]
    not_considered: list[str] = Field(default_factory=list)


class BrokenView(Shape):
    """A constraint that a variant breaks, as a sentence."""

    constraint: str
    sentence: str


class OfferView(Shape):
    """A variant for one profile: its figures there, what it costs, and the constraints it breaks.

    `score_val` and `agreement_val` are measured on val, the split that choices are made on; `accuracy_val` is the score
    if the model's measure is accuracy. `transfer_*` are per delivery. `energy_source` says whether `inference_mj` was
    measured (here or elsewhere) or modelled from the hardware's watts; a p95 or energy from another class never rejects
    a variant. Null means not measured.
    """

    variant: str
    recipe: str
    score_val: float | None = Field(default=None, validation_alias=AliasChoices("score_val", "accuracy_val"))
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
    """Beyond `at`, up to the next flip of this quantity in this direction, `variant` wins; null: no variant fits.

    `now` is the quantity's current value, null if it is not constrained.
    """

    quantity: str
    unit: str
    now: float | None
    direction: Direction
    at: float
    variant: str | None
    sentence: str


class ExplanationView(Shape):
    """Why a profile gets its variant, and what would change that; nothing was built for this answer.

    `runner_up` is what the profile would get without the winner, or the nearest variant that breaks a constraint.
    Scores are by `measure`; `source_accuracy` is the source model's score if that is accuracy. Without any score, the
    preference is for agreement with the source model. `preferences` says which variant each other preference would
    choose; `made_for_others` says why a variant was not a candidate here.
    """

    model: str
    profile: str
    constraints: Constraints
    measure: MeasureView = ACCURACY
    source_score: float | None = Field(default=None, validation_alias=AliasChoices("source_score", "source_accuracy"))
    source_accuracy: float | None
    winner: OfferView | None
    runner_up: OfferView | None
    candidates: list[OfferView]
    flips: list[FlipView]
    preferences: dict[str, str | None]
    made_for_others: dict[str, str]
