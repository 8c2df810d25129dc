"""A constraint that only a prediction could enforce is said, and no other."""

from typing import Any

import pytest
from tests.compression.test_pricing import candidate, profile_on

from edgefleet_compression.pricing.unjudged import ONLY_PREDICTED, unjudged
from edgefleet_compression.pricing.verdicts import judge
from edgefleet_profiles.profile import Constraints

COSTLY = candidate("costly", accuracy=0.5, agreement_val=0.5, size=10**7, p50_ms=900.0, p95_ms=999.0, peak_rss_mb=999.0)
LIMITS: dict[str, Any] = {
    **{"min_accuracy": 0.9, "min_score": 0.9, "max_disagreement": 0.1, "max_drop": 0.01},
    **{"p95_ms": 1, "transfer_s": 1, "transfer_j": 1, "usd_per_month": 0.001},
    **{"delivery_bytes": 1, "ram_mb": 1, "mj_per_inference": 0.001, "running_usd_per_month": 0, "g_co2_per_month": 0},
}


@pytest.mark.parametrize("name", LIMITS)
def test_what_no_build_can_judge_is_what_rejects_nothing(name: str) -> None:
    asked = Constraints.model_validate({name: LIMITS[name], "profile": "eu/*/*", "inferences_per_month": 1e9})
    (verdict,) = judge(profile_on(), asked, 0.92, [COSTLY])
    said = [(one.constraint, one.profiles, one.limit) for one in unjudged([asked])]
    assert said == ([] if verdict.broken else [(name, "eu/*/*", LIMITS[name])])
    assert (name in ONLY_PREDICTED) is not bool(verdict.broken)


def test_every_limit_is_tried_here() -> None:
    none_given = {name for name, field in Constraints.model_fields.items() if field.default is None}
    assert none_given - LIMITS.keys() == {"inferences_per_month"}


def test_a_sentence_names_constraint_profiles_reason_and_remedy() -> None:
    (one,) = unjudged([Constraints(profile="*/rpi4/*", p95_ms=50)])
    assert str(one).startswith(
        "p95_ms 50 on */rpi4/* rejects no variant: latency is measured on the host that builds, "
    )
    assert "`edgefleet telemetry`" in str(one) and "max_p95_ratio" in str(one)
