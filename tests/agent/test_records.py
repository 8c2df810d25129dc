"""Which variants keep their slots on a device."""

import pytest

from edgefleet_agent.records import InstalledModel, kept_beside
from edgefleet_protocol.messages import Attempt, DesiredModel, Slot

ANSWERING, BEFORE, GONE = "a" * 64, "b" * 64, "c" * 64


def manifest_of(variant: str) -> str:
    return "e" + variant[1:]


def record(keep: str | None, *, at_once: bool = False, **changes: str | None) -> InstalledModel:
    slots = {
        variant: Slot(variant=variant, manifest=manifest_of(variant), model_version=1, generation=1)
        for variant in (ANSWERING, BEFORE)
    }
    told = DesiredModel(generation=3, manifest="f" * 64, manifest_bytes=1, keep=keep, at_once=at_once)
    attempt = Attempt(generation=3, phase="trial")
    known = {"answering": ANSWERING, "previous": BEFORE} | changes
    return InstalledModel(desired=told, attempt=attempt, slots=slots, **known)


@pytest.mark.parametrize(
    ("now", "kept"),
    [
        (record(None), ANSWERING),
        (record(manifest_of(BEFORE)), BEFORE),
        (record(manifest_of(GONE)), None),
        (record("f" * 64), None),
        (record(None, at_once=True), None),
        (record(None, answering=None), BEFORE),
        (record(None, answering=None, previous=None), None),
    ],
    ids=[
        *("nothing is named", "what passed before", "it is not here any more", "nothing passed", "a rollback"),
        *("nothing answers", "nothing at all"),
    ],
)
def test_beside_a_committed_variant_stays_the_one_that_a_rollback_would_return_to_and_none_that_was_rejected(
    now: InstalledModel, kept: str | None
) -> None:
    assert kept_beside(now) == kept
