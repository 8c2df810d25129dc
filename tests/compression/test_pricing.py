"""What a variant costs on a link, which one a profile gets, and the reasons that are told."""

from typing import Any

import pytest

from edgefleet_compression.pricing.choosing import Candidate, choose, price
from edgefleet_contract.metrics import Metrics
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.parts import Hardware, Link
from edgefleet_profiles.profile import Constraints, DeviceProfile

GUESS = "estimate: made up for the test"


def profile_on(**link: float | bool) -> DeviceProfile:
    """The profile eu/board/line: 8 kbit/s, a byte a millisecond; twice the reference's latency."""
    fields: dict[str, Any] = {"down_kbps": 8, "rtt_ms": 0, "loss": 0.0, "usd_per_mb": 0.5, "joule_per_mb": 40, **link}
    line: dict[str, Any] = {"name": "line", "title": "A line", "metered": True, "sources": dict.fromkeys(fields, GUESS)}
    board: dict[str, Any] = load_catalogue().hardware["rpi4"].model_dump() | {"name": "board", "latency_factor": 2.0}
    return DeviceProfile(
        region=load_catalogue().region["eu"],
        hardware=Hardware.model_validate(board),
        link=Link.model_validate(line | fields),
    )


def candidate(name: str, accuracy: float | None = 0.9, size: int = 1000, **metrics: Any) -> Candidate:
    return Candidate(f"id-{name}", name, Metrics(score_val=accuracy, **metrics), size)


def chosen(candidates: list[Candidate], source_score: float | None = 0.92, **constraints: Any) -> str | None:
    choice = choose(profile_on(), Constraints(**constraints), source_score, candidates)
    assert choice.reasons.keys() == {c.variant for c in candidates}
    return choice.chosen.recipe if choice.chosen else None


def reason(candidates: list[Candidate], of: str, measured_here: tuple[str, ...] = (), **constraints: Any) -> str:
    choice = choose(profile_on(), Constraints(**constraints), 0.92, candidates, measured_here=measured_here)
    return choice.reasons[f"id-{of}"]


def test_a_delivery_is_priced_in_seconds_dollars_and_joules() -> None:
    cost = price(candidate("int8", size=250_000), profile_on())
    assert cost.transfer_s == pytest.approx(250.0)
    assert cost.transfer_usd == pytest.approx(0.125)
    assert cost.transfer_j == pytest.approx(10.0)


def test_repeats_and_the_round_trip_are_part_of_the_seconds() -> None:
    cost = price(candidate("int8", size=90_000), profile_on(loss=0.1, rtt_ms=1500))
    assert cost.transfer_s == pytest.approx(100.0 + 1.5)


def test_latency_from_another_class_is_predicted_by_the_hardwares_factor() -> None:
    cost = price(candidate("int8", p95_ms=3.0), profile_on())
    assert (cost.p95_ms, cost.p95_is_predicted) == (6.0, True)


def test_latency_from_this_very_class_is_taken_as_it_is() -> None:
    cost = price(candidate("int8", p95_ms=3.0), profile_on(), measured_here=True)
    assert (cost.p95_ms, cost.p95_is_predicted) == (3.0, False)


def test_latency_that_was_never_measured_stays_unknown() -> None:
    cost = price(candidate("int8"), profile_on())
    assert (cost.p95_ms, cost.p95_is_predicted) == (None, False)


def test_energy_that_was_not_measured_is_modelled_from_the_boards_watts_and_says_so() -> None:
    board = profile_on().hardware  # (7.2 W - 2.2 W) over four cores, and twice the reference's time
    cost = price(candidate("int8", p50_ms=3.0), profile_on())
    assert cost.inference_mj == pytest.approx((board.active_w - board.idle_w) / board.cores * 6.0)
    assert cost.energy_source == "modelled"
    measured = price(candidate("int8", p50_ms=3.0, mj_per_inference=1.0), profile_on())
    assert (measured.inference_mj, measured.energy_source) == (1.0, "measured elsewhere")
    assert price(candidate("int8"), profile_on()).energy_source is None


def test_modelled_energy_orders_and_rejects_nobody() -> None:
    quick, slow = candidate("quick", p50_ms=1.0), candidate("slow", p50_ms=2.0)
    assert chosen([slow, quick], prefer="mj_per_inference", mj_per_inference=0.1) == "quick"
    said = reason([slow, quick], "slow", prefer="mj_per_inference", mj_per_inference=0.1)
    assert "5.0 mJ (modelled) against 2.5 mJ (modelled) of quick" in said
    assert "energy of 5.0 mJ, at most 0.1 mJ asked: modelled, not used to reject" in said


def test_a_months_money_counts_every_transfer_of_the_month() -> None:
    dear = candidate("dear", 0.92, 400_000)  # 0.4 MB at 0.5 USD
    cheap = candidate("cheap", 0.9, 40_000)
    assert chosen([dear, cheap], usd_per_month=0.5, transfers_per_month=2) == "dear"
    assert chosen([dear, cheap], usd_per_month=0.5, transfers_per_month=3) == "cheap"
    said = reason([dear, cheap], "dear", usd_per_month=0.5, transfers_per_month=3)
    assert said == "data for 0.6 USD a month for 3 transfers, at most 0.5 USD allowed"


def test_a_transfer_that_takes_too_many_joules_is_rejected() -> None:
    assert chosen([candidate("int8", size=250_000)], transfer_j=10) == "int8"
    said = reason([candidate("int8", size=250_000)], "int8", transfer_j=9)
    assert said == "nearest of all: a transfer takes 10 J, at most 9 J allowed"


def test_what_a_months_plan_does_not_hold_is_rejected_without_being_asked() -> None:
    profile, large = profile_on(monthly_cap_mb=1), candidate("large", size=600_000)
    assert choose(profile, Constraints(), None, [large]).chosen == large
    twice = choose(profile, Constraints(transfers_per_month=2), None, [large])
    assert twice.chosen is None
    assert "1.2 MB a month for 2 transfers, more than the plan of line holds" in twice.reasons["id-large"]


FRONT = [
    candidate("fp32", 0.916, 400_000, p95_ms=2.0, mj_per_inference=9.0),
    candidate("int8", 0.915, 100_000, p95_ms=1.0, mj_per_inference=5.0),
    candidate("pruned", 0.912, 60_000, p95_ms=0.8, mj_per_inference=6.0),
    candidate("student", 0.890, 9_000, p95_ms=0.9, mj_per_inference=4.0),
]


@pytest.mark.parametrize(("bounds", "recipe"), [((-0.08, 0.04), "small"), ((-0.03, -0.01), "lucky")])
def test_a_score_above_the_sources_counts_as_far_as_it_is_no_chance(bounds: tuple[float, float], recipe: str) -> None:
    lucky = candidate("lucky", 0.94, 2000, drop_val=-0.02, drop_val_ci=bounds)
    assert chosen([lucky, candidate("small", 0.92, 1000, drop_val=0.0, drop_val_ci=(0.0, 0.0))]) == recipe


@pytest.mark.parametrize(
    ("constraints", "recipe"),
    [
        ({}, "int8"),  # 0.1 points below fp32 is level, and a quarter of its bytes
        ({"prefer": "delivery_bytes"}, "student"),
        ({"prefer": "delivery_bytes", "min_accuracy": 0.9}, "pruned"),
        ({"prefer": "p95_ms"}, "pruned"),
        ({"prefer": "mj_per_inference"}, "student"),
        ({"prefer": "mj_per_inference", "max_drop": 0.01}, "int8"),
        ({"transfer_s": 60}, "pruned"),
        ({"transfer_s": 10}, "student"),
        ({"delivery_bytes": 99_999}, "pruned"),
        ({"min_accuracy": 0.916}, "fp32"),
        ({"max_drop": 0.004}, "fp32"),  # 0.92 - 0.916 is a little more than 0.004 in binary fractions
        ({"min_accuracy": 0.916, "transfer_s": 60}, None),
        ({"p95_ms": 0.001}, "int8"),
    ],
)
def test_the_preference_decides_among_those_that_meet_everything(
    constraints: dict[str, Any], recipe: str | None
) -> None:
    assert chosen(FRONT, **constraints) == recipe
    assert chosen(FRONT[::-1], **constraints) == recipe


def test_a_thin_link_makes_the_bytes_count_and_a_strong_one_the_accuracy() -> None:
    catalogue, within_a_minute = load_catalogue(), Constraints(transfer_s=60)
    picks = {
        link: choose(catalogue.profile(f"eu/rpi4/{link}"), within_a_minute, 0.92, FRONT[:1] + FRONT[3:]).chosen
        for link in ("nb-2g", "wifi")
    }
    assert {link: pick and pick.recipe for link, pick in picks.items()} == {"nb-2g": "student", "wifi": "fp32"}


@pytest.mark.parametrize(
    ("accuracy", "recipe"),
    [(0.916, "small"), (0.914, "small"), (0.9139, "large")],
)
def test_accuracies_within_a_fifth_of_a_point_are_level(accuracy: float, recipe: str) -> None:
    assert chosen([candidate("large", 0.916, 2000), candidate("small", accuracy, 1000)]) == recipe


@pytest.mark.parametrize("constraints", [{"min_accuracy": 0.5}, {"max_drop": 0.5}])
def test_an_accuracy_that_was_not_measured_meets_no_demand_on_it(constraints: dict[str, Any]) -> None:
    unknown = candidate("unknown", None)
    assert chosen([unknown], **constraints) is None
    assert "accuracy not measured" in reason([unknown], "unknown", **constraints)


def test_no_drop_can_be_shown_against_a_source_that_was_not_measured() -> None:
    assert chosen([candidate("int8")], source_score=None, max_drop=0.5) is None
    assert chosen([candidate("int8")], source_score=None, min_accuracy=0.5) == "int8"


def test_without_a_demand_an_unmeasured_accuracy_is_accepted_and_comes_last() -> None:
    assert chosen([candidate("unknown", None, 10)]) == "unknown"
    assert chosen([candidate("unknown", None, 10), candidate("poor", 0.1, 1000)]) == "poor"


@pytest.mark.parametrize("constraint", ["p95_ms", "ram_mb", "mj_per_inference"])
def test_other_unmeasured_figures_are_told_and_reject_nobody(constraint: str) -> None:
    assert chosen([candidate("int8")], **{constraint: 1}) == "int8"
    constraints: dict[str, Any] = {constraint: 1}
    assert "not measured, at most 1 m" in reason([candidate("int8")], "int8", **constraints).lower()


@pytest.mark.parametrize("prefer", ["p95_ms", "mj_per_inference"])
def test_a_preferred_figure_that_was_not_measured_comes_last(prefer: str) -> None:
    known = candidate("known", 0.5, 9999, p95_ms=900.0, mj_per_inference=900.0)
    assert chosen([candidate("unknown"), known], prefer=prefer) == "known"


@pytest.mark.parametrize(
    ("figures", "constraints"),
    [({"p95_ms": 30.0}, {"p95_ms": 20}), ({"mj_per_inference": 30.0}, {"mj_per_inference": 20})],
)
def test_time_and_energy_reject_only_where_they_were_measured(
    figures: dict[str, Any], constraints: dict[str, Any]
) -> None:
    slow = candidate("slow", **figures)
    predicted = choose(profile_on(), Constraints(**constraints), None, [slow])
    assert predicted.chosen == slow
    assert "not used to reject" in predicted.reasons["id-slow"]
    measured = choose(profile_on(), Constraints(**constraints), None, [slow], measured_here={"id-slow"})
    assert measured.chosen is None
    assert "of 30.0 m" in measured.reasons["id-slow"]


def test_memory_rejects_wherever_it_was_measured() -> None:
    assert chosen([candidate("large", peak_rss_mb=300.0)], ram_mb=256) is None


@pytest.mark.parametrize(
    ("of", "constraints", "sentence"),
    [
        ("fp32", {"transfer_s": 100}, "takes 400.0 s on line, at most 100 s allowed"),
        ("fp32", {"delivery_bytes": 100_000}, "delivers 400,000 bytes, at most 100,000 allowed"),
        ("student", {"min_accuracy": 0.905}, "89.0 % right, at least 90.5 % asked"),
        (
            "student",
            {"max_drop": 0.01},
            "89.0 % right, 3.00 points below the source model, at most 1.00 allowed",
        ),
        (
            "fp32",
            {"transfer_s": 100, "delivery_bytes": 99_999},
            "takes 400.0 s on line, at most 100 s allowed; delivers 400,000 bytes, at most 99,999 allowed",
        ),
        ("pruned", {}, "meets everything; 91.2 % is less than 91.5 % of int8"),
        (
            "fp32",
            {},
            "meets everything; 91.6 % is level with 91.5 % of int8, and 400,000 bytes against 100,000 of int8",
        ),
        ("int8", {"prefer": "delivery_bytes"}, "meets everything; 100,000 bytes against 9,000 of student"),
        (
            "int8",
            {"prefer": "p95_ms"},
            "meets everything; p95 2.0 ms (predicted) against p95 1.6 ms (predicted) of pruned",
        ),
        ("int8", {"prefer": "mj_per_inference"}, "meets everything; 5.0 mJ against 4.0 mJ of student"),
        (
            "int8",
            {},
            "most accurate, to 0.2 points, and smallest of those of the 4 that meet everything: "
            "91.5 % right, 100,000 bytes in 100.0 s on line, p95 2.0 ms (predicted)",
        ),
        (
            "student",
            {"transfer_s": 10, "p95_ms": 1},
            "the only one that meets everything: 89.0 % right, 9,000 bytes in 9.0 s on line, p95 1.8 ms (predicted); "
            "p95 of 1.8 ms, at most 1 ms asked: predicted, not used to reject",
        ),
    ],
)
def test_every_candidate_is_told_its_reason_with_figures(of: str, constraints: dict[str, Any], sentence: str) -> None:
    assert reason(FRONT, of, **constraints) == sentence


def test_a_measured_latency_that_is_too_long_is_told_as_such() -> None:
    sentence = reason(FRONT, "fp32", measured_here=("id-fp32",), p95_ms=1.5)
    assert sentence == "p95 of 2.0 ms, at most 1.5 ms allowed"


def test_where_none_meets_everything_the_nearest_is_named() -> None:
    choice = choose(profile_on(), Constraints(min_accuracy=0.91, transfer_s=50), 0.92, FRONT)
    assert choice.chosen is None
    assert choice.nearest is not None and choice.nearest.recipe == "pruned"
    assert choice.reasons["id-pruned"] == "nearest of all: takes 60.0 s on line, at most 50 s allowed"
    assert choice.reasons["id-student"] == "89.0 % right, at least 91.0 % asked"


def test_of_no_candidates_none_is_chosen() -> None:
    choice = choose(profile_on(), Constraints(), 0.92, [])
    assert (choice.chosen, choice.reasons, choice.nearest) == (None, {}, None)


def test_agreement_prefers_what_answers_as_the_source_model_does() -> None:
    lucky = candidate("lucky", 0.93, 100, agreement_val=0.96)
    faithful = candidate("faithful", 0.92, 900, agreement_val=0.995)
    as_it_is = candidate("fp32", 0.92, 5000, agreement_val=1.0)
    points = [lucky, faithful, as_it_is]
    assert chosen(points, prefer="agreement") == "fp32"
    why = reason(points, "lucky", prefer="agreement")
    assert why == "meets everything; 96.0 % agreement is less than 100.0 % of fp32"
    level = candidate("int8", 0.92, 900, agreement_val=0.998)
    assert chosen([as_it_is, level], prefer="agreement") == "int8"


def test_without_labels_agreement_stands_for_accuracy_and_every_reason_says_so() -> None:
    unlabelled = [
        candidate("fp32", None, 900, agreement_val=1.0),
        candidate("int8", None, 400, agreement_val=0.999),
        candidate("w4", None, 100, agreement_val=0.9),
    ]
    assert chosen(unlabelled, None) == "int8"
    assert reason(unlabelled, "int8").startswith("answers most as the source model does")
    assert "99.9 % agreement" in reason(unlabelled, "int8")
    assert "90.0 % agreement is less than 99.9 % of int8" in reason(unlabelled, "w4")
    for name in ("fp32", "int8", "w4"):
        assert "accuracy not measured" in reason(unlabelled, name)


def test_without_labels_a_constraint_on_accuracy_cannot_be_met() -> None:
    unlabelled = [candidate("fp32", None, agreement_val=1.0)]
    assert chosen(unlabelled, None, max_drop=0.02) is None
    said = reason(unlabelled, "fp32", max_drop=0.02)
    assert said.count("accuracy not measured") == 1 and "a least accuracy is asked" in said


def test_a_preference_for_agreement_is_left_as_it_is_where_accuracy_is_known() -> None:
    known = [candidate("a", 0.95, 500, agreement_val=0.9), candidate("b", 0.9, 100, agreement_val=1.0)]
    assert chosen(known) == "a"
