"""What a device of a plan fetches: nothing it holds, small chunks where its link takes only these."""

from typing import Any

import pytest

from edgefleet_controller.models.fetches import fetches_bytes
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_protocol.messages import Slot

SIZES = {49_152: 100_000, 4096: 108_000}


def slot(manifest: str) -> Slot:
    return Slot(variant="b" * 64, manifest=manifest * 64, model_version=1, generation=1)


@pytest.mark.parametrize(
    ("fields", "held", "fetches"),
    [
        ({}, (), 100_000),
        ({"profile": "eu/rpi4/nb-2g"}, (), 108_000),
        ({"profile": "eu/rpi4/nobody-knows"}, (), 108_000),
        ({}, (slot("e"),), 100_000),
        ({}, (slot("e"), slot("c")), 0),
        ({"phase": "already_installed"}, (), 0),
        ({"phase": "deferred"}, (), None),
        ({"phase": "no_variant", "variant": None, "manifest": None}, (), None),
    ],
)
def test_a_device_fetches_what_it_has_not(
    execution: Any, variant: Any, fields: dict[str, Any], held: tuple[Slot, ...], fetches: int | None
) -> None:
    known = {"b" * 64: variant(delivery_bytes=SIZES)}
    assert fetches_bytes(load_catalogue(), known, execution(**fields), held) == fetches
