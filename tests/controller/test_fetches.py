"""What a device of a plan fetches: nothing it holds, small chunks where its link takes only these."""

from typing import Any

import pytest
from tests.agent.variants import Variant, build_variant

from edgefleet_controller.models.fetches import Fetches, fetches
from edgefleet_controller.store.contract.devices import OnDevice
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_protocol.canonical import digest

SIZES = {49_152: 100_000, 4096: 108_000}
ABLE = frozenset({"held-files"})


def held(*manifests: str) -> OnDevice:
    return OnDevice(slots={"fashion": tuple(4 * manifest for manifest in manifests)} if manifests else {})


@pytest.mark.parametrize(
    ("fields", "on_disk", "size_bytes"),
    [
        ({}, held(), 100_000),
        ({"profile": "eu/rpi4/nb-2g"}, held(), 108_000),
        ({"profile": "eu/rpi4/nobody-knows"}, held(), 108_000),
        ({}, held("e" * 16), 100_000),
        ({}, held("e" * 16, "c" * 16), 0),
        ({"phase": "already_installed"}, held(), 0),
        ({"phase": "deferred"}, held(), None),
        ({"phase": "no_variant", "variant": None, "manifest": None}, held(), None),
    ],
)
def test_a_device_fetches_what_it_has_not(
    execution: Any, variant: Any, fields: dict[str, Any], on_disk: OnDevice, size_bytes: int | None
) -> None:
    known = {"b" * 64: variant(delivery_bytes=SIZES)}
    found = fetches(load_catalogue(), known, execution(**fields), on_disk, lambda manifest: None)
    assert found == Fetches(size_bytes)


def manifest_id(variant: Variant) -> str:
    return digest(variant.manifest.to_bytes())


FIRST = build_variant(seed=1)
TUNED = build_variant(seed=1, runtime={"session.intra_op.allow_spinning": "0"})
OTHER = build_variant(seed=2)
MANIFESTS = {manifest_id(one): one.manifest for one in (FIRST, TUNED, OTHER)}


def asked(execution: Any, variant: Any, on_disk: OnDevice) -> Fetches:
    """What a device downloads for `TUNED`, of which the record says 100 kB."""
    record = variant(manifest=manifest_id(TUNED), delivery_bytes=SIZES)
    told = {"manifest": manifest_id(TUNED), "manifest_bytes": len(TUNED.manifest.to_bytes())}
    return fetches(load_catalogue(), {"b" * 64: record}, execution(**told), on_disk, MANIFESTS.get)


@pytest.mark.parametrize("model", ["fashion", "another"])
def test_the_same_file_with_other_options_costs_the_manifest_alone(execution: Any, variant: Any, model: str) -> None:
    on_disk = OnDevice(features=ABLE, slots={model: (manifest_id(FIRST),)})
    assert asked(execution, variant, on_disk) == Fetches(len(TUNED.manifest.to_bytes()), holds_model=True)


def test_of_another_file_only_what_it_shares_is_not_fetched(execution: Any, variant: Any) -> None:
    on_disk = OnDevice(features=ABLE, slots={"fashion": (manifest_id(OTHER),)})
    whole = TUNED.manifest.delivery_bytes(49_152)
    assert asked(execution, variant, on_disk) == Fetches(whole - len(TUNED.golden))


def test_an_agent_that_does_not_take_files_from_its_slots_fetches_them(execution: Any, variant: Any) -> None:
    assert asked(execution, variant, OnDevice(slots={"fashion": (manifest_id(FIRST),)})) == Fetches(100_000)


def test_slots_that_nobody_knows_any_more_hold_nothing(execution: Any, variant: Any) -> None:
    on_disk = OnDevice(features=ABLE, slots={"fashion": ("d" * 64,)})
    assert asked(execution, variant, on_disk) == Fetches(TUNED.manifest.delivery_bytes(49_152))
