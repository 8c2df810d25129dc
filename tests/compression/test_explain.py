"""What is said to flip a choice does flip it, nothing between the flips does, and both are told in figures."""

import math
import random
from collections.abc import Sequence
from typing import Any

import pytest

from edgefleet_compression.pricing.choosing import choose
from edgefleet_compression.pricing.explain import Explanation, Flip, Situation, explain, flips
from edgefleet_compression.pricing.prices import Candidate
from edgefleet_compression.pricing.quantities import QUANTITIES, Quantity
from edgefleet_contract.metrics import Metrics
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.parts import CHUNK_BYTES, Link
from edgefleet_profiles.profile import Constraints, DeviceProfile

BY_NAME = {quantity.name: quantity for quantity in QUANTITIES}
SOURCE = 0.92


def candidate(name: str, accuracy: float | None = 0.9, size: int = 1000, **metrics: Any) -> Candidate:
    return Candidate(f"id-{name}", name, Metrics(score_val=accuracy, **metrics), size)


def profile(link: str = "lte", **changed: float) -> DeviceProfile:
    found = load_catalogue().profile(f"eu/rpi4/{link}")
    return found.model_copy(update={"link": found.link.model_copy(update=changed)})


def situation(candidates: Sequence[Candidate], at: DeviceProfile | None = None, **constraints: Any) -> Situation:
    return Situation(at or profile(), Constraints(**constraints), SOURCE, lambda link: candidates)


def picked(here: Situation) -> str | None:
    """The variant that the rule itself chooses."""
    offered = here.offered(here.profile.link)
    found = choose(here.profile, here.constraints, SOURCE, offered, measured_here=here.measured_here)
    return found.chosen.variant if found.chosen else None


def variant(flip: Flip) -> str | None:
    return flip.winner.variant if flip.winner else None


FRONT = [
    candidate("fp32", 0.918, 400_000, p50_ms=2.0, p95_ms=2.2, peak_rss_mb=9.0),
    candidate("w8", 0.913, 100_000, p50_ms=2.0, p95_ms=2.2, peak_rss_mb=9.0),
    candidate("student", 0.905, 12_000, p50_ms=0.5, p95_ms=0.6, peak_rss_mb=3.0),
]


def test_a_faster_link_is_said_to_bring_the_more_accurate_variant() -> None:
    here = situation(FRONT, profile(down_kbps=400, rtt_ms=0, loss=0), transfer_s=1.7)
    found = explain(here)
    assert found.winner and found.winner.candidate.recipe == "student"
    faster = [f for f in found.flips if f.quantity == "down_kbps" and f.direction == "above"]
    assert [f.sentence for f in faster] == [
        "above 471 kbit/s of the link, the 91.3 % variant w8 wins",
        "above 1.89 Mbit/s of the link, the 91.8 % variant fp32 wins",
    ]
    assert [f.now for f in faster] == [400, 400]
    slower = [f.sentence for f in found.flips if f.quantity == "down_kbps" and f.direction == "below"]
    assert slower == ["below 56.4 kbit/s of the link, nothing meets everything"]


def test_prices_rounds_and_floors_flip_where_they_are_part_of_the_choice() -> None:
    here = situation(
        FRONT, profile(usd_per_mb=0.1, monthly_cap_mb=1.0), usd_per_month=0.02, transfers_per_month=4, min_accuracy=0.8
    )
    said = [f.sentence for f in explain(here).flips]
    assert "below 0.05 USD per MB, the 91.3 % variant w8 wins" in said
    assert "below 2 transfers a month, the 91.3 % variant w8 wins" in said
    assert "below 0.5 transfers a month, the 91.8 % variant fp32 wins" in said
    assert "above 90.5 % right asked, nothing meets everything" in said
    assert "above 0.04 USD allowed for a month's data, the 91.3 % variant w8 wins" in said


def test_what_was_not_asked_is_named_as_what_could_be() -> None:
    found = explain(situation(FRONT))
    assert found.winner and found.winner.candidate.recipe == "fp32"
    limits = {f.quantity: f for f in reversed(found.flips) if f.now is None}
    assert limits["delivery_bytes"].sentence == "below 400,000 bytes allowed, the 91.3 % variant w8 wins"
    assert limits["ram_mb"].sentence == "below 9 MB of memory allowed, the 90.5 % variant student wins"
    assert "p95_ms" not in limits, "a prediction rejects nobody, whatever is asked"


def test_without_a_limit_the_link_flips_nothing() -> None:
    assert [f for f in explain(situation(FRONT, profile("wifi"))).flips if BY_NAME[f.quantity].part == "link"] == []


def test_the_runner_up_is_what_the_profile_would_get_without_the_winner() -> None:
    found = explain(situation(FRONT, transfer_s=1))
    without = [c for c in FRONT if found.winner and c != found.winner.candidate]
    assert found.runner_up and found.runner_up.candidate.variant == picked(situation(without, transfer_s=1))


def test_a_runner_up_that_meets_nothing_is_the_one_that_misses_least() -> None:
    found = explain(situation(FRONT, delivery_bytes=50_000))
    assert found.winner and found.winner.candidate.recipe == "student"
    assert found.runner_up and found.runner_up.candidate.recipe == "w8"
    assert [b.constraint for b in found.runner_up.broken] == ["delivery_bytes"]


def test_every_rejection_names_its_constraints() -> None:
    found = explain(situation(FRONT, profile("nb-2g"), transfer_s=50, min_accuracy=0.91))
    assert found.winner and found.winner.candidate.recipe == "w8"
    broken = {v.candidate.recipe: [b.constraint for b in v.broken] for v in found.rejected}
    assert broken == {"fp32": ["transfer_s"], "student": ["min_accuracy"]}


def test_where_nothing_fits_the_nearest_is_shown_and_what_would_let_it_in() -> None:
    found = explain(situation(FRONT, min_accuracy=0.95))
    assert found.winner is None
    assert found.runner_up and found.runner_up.candidate.recipe == "fp32"
    assert "below 91.8 % right asked, the 91.8 % variant fp32 wins" in [f.sentence for f in found.flips]


def test_other_preferences_are_told_with_their_winners() -> None:
    found = explain(situation(FRONT)).preferences
    assert found.keys() == {"agreement", "p95_ms", "delivery_bytes", "mj_per_inference", "usd_per_month"}
    assert found["delivery_bytes"] == FRONT[2]


def test_of_no_candidates_there_is_nothing_to_explain() -> None:
    found = explain(situation([]))
    assert (found.winner, found.runner_up, found.flips, found.rejected) == (None, None, (), ())


def test_a_thin_links_smaller_chunks_are_part_of_what_a_slower_link_means() -> None:
    def offered(link: Link) -> list[Candidate]:
        extra = 0 if link.chunk_bytes == CHUNK_BYTES else 60_000
        return [candidate("large", 0.92, 90_000 + extra), candidate("small", 0.9, 1_000)]

    here = Situation(profile(down_kbps=300, rtt_ms=0, loss=0), Constraints(transfer_s=4), SOURCE, offered)
    (slower, *_) = [f for f in flips(here, BY_NAME["down_kbps"]) if f.direction == "below"]
    assert (slower.at, variant(slower)) == (256, "id-small")


# What is said, held against the rule for situations that nobody chose.


def drawn(seed: int) -> Situation:
    dice, also = random.Random(seed), random.Random(-seed)
    sizes = [dice.randrange(2_000, 2_000_000) for _ in range(dice.randrange(1, 9))]
    candidates = [
        candidate(
            *(f"{n}", dice.choice([None, *[round(dice.uniform(0.7, 0.95), 4)] * 9]), size),
            p50_ms=dice.uniform(0.1, 5),
            p95_ms=dice.uniform(5, 9),
            peak_rss_mb=dice.uniform(2, 60),
            mj_per_inference=dice.choice([None, dice.uniform(1, 9)]),
            agreement_val=also.choice([None, *[round(also.uniform(0.8, 1.0), 4)] * 9]),
        )
        for n, size in enumerate(sizes)
    ]
    mean_mb = sum(sizes) / len(sizes) / 1e6
    asked: dict[str, Any] = {
        "min_accuracy": round(dice.uniform(0.7, 0.9), 3),
        "max_drop": round(dice.uniform(0.0, 0.1), 3),
        "transfer_s": dice.uniform(0.1, 8),
        "transfer_j": dice.uniform(0.1, 5),
        "delivery_bytes": dice.randrange(5_000, 1_000_000),
        "usd_per_month": dice.uniform(0.001, 0.2),
        "ram_mb": dice.uniform(2, 60),
        "p95_ms": dice.uniform(5, 9),
        "mj_per_inference": dice.uniform(1, 9),
    }
    asked = {name: value for name, value in asked.items() if dice.random() < 0.4}
    if "min_accuracy" in asked and also.random() < 0.5:
        asked["min_score"] = asked.pop("min_accuracy")
    if also.random() < 0.4:
        asked["max_disagreement"] = round(also.uniform(0.0, 0.2), 3)
    asked |= {"transfers_per_month": dice.choice([1, 4, 30])}
    asked |= {"prefer": dice.choice(["accuracy", "p95_ms", "usd_per_month", "usd_per_month"])}
    if dice.random() < 0.6:
        more = {"running_usd_per_month": dice.uniform(0.001, 0.01), "g_co2_per_month": dice.uniform(1, 20)}
        asked |= {name: value for name, value in more.items() if dice.random() < 0.4}
        asked |= {"inferences_per_month": 10 ** dice.uniform(5, 8), "usd_per_tonne_co2": dice.choice([0, 50, 500])}
    link = dice.choice(["lte", "nb-2g", "wifi"])
    at = profile(link, monthly_cap_mb=mean_mb * 20) if dice.random() < 0.5 else profile(link)
    measured = frozenset(c.variant for c in candidates if dice.random() < 0.5)
    return Situation(at, Constraints(**asked), SOURCE, lambda _: candidates, measured)


def predicted(here: Situation, quantity: Quantity, value: float) -> str | None:
    """The winner at a value, by the flips alone."""
    found = picked(here)
    for flip in flips(here, quantity):
        if value > flip.at if flip.direction == "above" else value < flip.at:
            found = variant(flip)
    return found


SEEDS = range(60)


def test_at_every_stated_flip_the_choice_does_flip_and_just_before_it_does_not() -> None:
    counted = 0
    for seed in SEEDS:
        here = drawn(seed)
        for quantity in here.quantities():
            last: dict[str, str | None] = {}
            for flip in flips(here, quantity):
                sign = 1 if flip.direction == "above" else -1
                beyond = (flip.at * (1 + sign * 1e-5) or 1e-9) if math.isfinite(flip.at) else 1e12
                assert picked(here.having(quantity, beyond)) == variant(flip), (seed, flip.sentence)
                before = last.get(flip.direction, picked(here))
                assert before != variant(flip)
                start = quantity.value(here.profile, here.constraints)
                if flip.at != (quantity.off if start is None else start):
                    nearer = here.having(quantity, flip.at * (1 - sign * 1e-5))
                    assert picked(nearer) == before, (seed, flip.sentence)
                last[flip.direction] = variant(flip)
                counted += 1
    assert counted > 200


@pytest.mark.parametrize("seeds", [SEEDS[:15], pytest.param(SEEDS[15:], marks=pytest.mark.slow)])
def test_between_the_stated_flips_nothing_changes_the_choice(seeds: range) -> None:
    dice = random.Random(7)
    for seed in seeds:
        here = drawn(seed)
        for quantity in here.quantities():
            if quantity.value(here.profile, here.constraints) is None and quantity.off is None:
                continue
            scales = {"loss": 0.5, "min_accuracy": 1, "min_score": 1, "max_drop": 0.3, "max_disagreement": 0.3}
            scales |= {"down_kbps": 9_000, "delivery_bytes": 2_000_000}
            for _ in range(8):
                value = dice.uniform(0, scales.get(quantity.name, 70)) or 0.1
                assert picked(here.having(quantity, value)) == predicted(here, quantity, value), (seed, quantity.name)


@pytest.mark.parametrize(("value", "up", "shown"), [(1886.8, True, "1.89 Mbit/s"), (1886.8, False, "1.88 Mbit/s")])
def test_a_flip_is_rounded_to_the_side_where_what_is_said_of_it_is_true(value: float, up: bool, shown: str) -> None:
    assert BY_NAME["down_kbps"].shown(value, up=up) == f"{shown} of the link"


def test_an_explanation_leaves_out_nobody() -> None:
    found: Explanation = explain(situation(FRONT, delivery_bytes=50_000))
    assert found.reasons.keys() == {c.variant for c in FRONT}
