"""What each profile gets of a model, and why."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from edgefleet_compression.pricing.explain import Flip
from edgefleet_compression.pricing.prices import EnergySource
from edgefleet_compression.pricing.verdicts import Verdict
from edgefleet_controller.api.dependencies import ModelRef, TheService, model_ref
from edgefleet_controller.api.pages import Cursor, Limit, Page, page
from edgefleet_controller.api.problem import problems
from edgefleet_controller.api.views import ChoiceView
from edgefleet_controller.errors import NotFound
from edgefleet_controller.models.explaining import Explained, explain_choice
from edgefleet_profiles.errors import ProfileError
from edgefleet_profiles.profile import Constraints

router = APIRouter(tags=["registry"])


class BrokenView(BaseModel):
    """A constraint that a variant breaks, in words."""

    constraint: str
    sentence: str


class OfferView(BaseModel):
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

    @classmethod
    def of(cls, verdict: Verdict, reason: str) -> "OfferView":
        """Show a verdict with its reason."""
        candidate, cost = verdict.candidate, verdict.price
        return cls(
            variant=candidate.variant,
            recipe=candidate.recipe,
            accuracy_val=candidate.metrics.accuracy_val,
            agreement_val=candidate.metrics.agreement_val,
            delivery_bytes=candidate.delivery_bytes,
            peak_rss_mb=candidate.metrics.peak_rss_mb,
            broken=[BrokenView(constraint=b.constraint, sentence=b.sentence) for b in verdict.broken],
            reason=reason,
            **{name: value for name, value in vars(cost).items() if name in cls.model_fields},
        )


class FlipView(BaseModel):
    """Beyond `at`, and until the next flip of this quantity in this direction, `variant` wins; null: nothing fits.

    `now` is what the quantity is, null where it is not asked.
    """

    quantity: str
    unit: str
    now: float | None
    direction: Literal["above", "below"]
    at: float
    variant: str | None
    sentence: str

    @classmethod
    def of(cls, flip: Flip) -> "FlipView":
        """Show a flip."""
        return cls(**{**vars(flip), "variant": flip.winner.variant if flip.winner else None})


class ExplanationView(BaseModel):
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

    @classmethod
    def of(cls, model: str, explained: Explained) -> "ExplanationView":
        """Show an explanation."""
        found = explained.explanation
        situation = found.situation

        def offer(verdict: Verdict | None) -> OfferView | None:
            return None if verdict is None else OfferView.of(verdict, found.reasons[verdict.candidate.variant])

        return cls(
            model=model,
            profile=str(situation.profile),
            constraints=situation.asked(),
            source_accuracy=situation.source_accuracy,
            winner=offer(found.winner),
            runner_up=offer(found.runner_up),
            candidates=[OfferView.of(v, found.reasons[v.candidate.variant]) for v in situation.verdicts()],
            flips=[FlipView.of(flip) for flip in found.flips],
            preferences={prefer: c.variant if c else None for prefer, c in found.preferences.items()},
            made_for_others=explained.made_for_others,
        )


@router.get("/models/{ref}/choices", responses=problems(404))
def list_choices(service: TheService, ref: ModelRef, limit: Limit = 100, cursor: Cursor = None) -> Page[ChoiceView]:
    """What each profile gets of a model version, and why."""
    model = service.store.registry.model(*model_ref(ref))
    found = service.store.registry.choices(model.name, model.version)
    return page(found, lambda c: c.profile, ChoiceView.of, limit, cursor)


@router.get("/models/{ref}/choices/{region}/{hardware}/{link}", responses=problems(404, 409))
def get_choice(service: TheService, ref: ModelRef, region: str, hardware: str, link: str) -> ExplanationView:
    """Why one profile gets what it gets of a model version, and what would flip it; from what was measured so far."""
    model = service.store.registry.model(*model_ref(ref))
    try:
        profile = service.catalogue.profile(f"{region}/{hardware}/{link}")
    except ProfileError as error:
        raise NotFound(str(error)) from None
    return ExplanationView.of(model.ref, explain_choice(service.store, model, profile))
