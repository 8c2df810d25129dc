"""`edgefleet compress --explain`: from what was built, through the API, to what is printed."""

import pytest
from tests.service import hold_example

from edgefleet_controller.records import VariantRecord
from edgefleet_profiles.catalogue import load_catalogue


@pytest.fixture
def front(service, published: str) -> str:
    """fashion@1 with an accurate variant, a small one, and one for other processors; its card asks 15 s of nb-2g."""
    whole = service.store.fleet.registry.variants("fashion", 1)[0]

    def variant(name: str, right: float, size: int, **fields) -> VariantRecord:
        metrics = {"score_val": right, "drop_val": 0.92 - right, "p50_ms": 0.4, "p95_ms": 0.5, "peak_rss_mb": 4.0}
        sizes = {49152: size, 4096: size}
        changes = {"id": name[0] * 64, "recipe": name, "delivery_bytes": sizes, **fields}
        return VariantRecord.model_validate({**whole.model_dump(), **changes, "metrics": metrics})

    unmeasured = VariantRecord.model_validate({**whole.model_dump(), "metrics": {}})
    built = [unmeasured, variant("large", 0.919, 300_000), variant("small", 0.89, 20_000)]
    service.store.fleet.registry.put_variants([*built, variant("vnni", 0.92, 9, instruction_sets=("x86-vnni",))], [])
    return published


def test_winner_runner_up_rejections_and_flips_are_told_without_a_build(operator, service, front: str) -> None:
    found = operator.reads("compress", front, "--explain", "eu/rpi4/nb-2g")
    assert found["winner"]["recipe"] == "small" and found["runner_up"]["recipe"] == "large"
    assert found["constraints"]["transfer_s"] == 15 and found["source_accuracy"] == pytest.approx(0.92)
    broken = {o["recipe"]: [b["constraint"] for b in o["broken"]] for o in found["candidates"]}
    assert broken["large"] == ["transfer_s"] and "max_drop" in broken["ternary"]
    assert "x86-vnni" in found["made_for_others"]["v" * 64]
    assert service.store.fleet.operations.all() == []


def test_the_link_speed_that_is_said_to_flip_it_does(operator, service, front: str) -> None:
    found = operator.reads("compress", front, "--explain", "eu/rpi4/nb-2g")
    (flip, *_) = [f for f in found["flips"] if (f["quantity"], f["direction"]) == ("down_kbps", "above")]
    link = load_catalogue().link["nb-2g"].model_copy(update={"down_kbps": flip["at"]})
    assert link.transfer_s(300_000) == pytest.approx(15)
    assert flip["variant"] == "l" * 64 and flip["now"] == 32


def test_it_is_printed_with_units_and_with_what_is_predicted_or_modelled(operator, front: str) -> None:
    shown = " ".join(operator.types("compress", front, "--explain", "eu/rpi4/nb-2g").stdout.split())
    assert "fashion@1 on eu/rpi4/nb-2g: prefers" in shown
    assert "(predicted)" in shown and "(modelled)" in shown
    assert "kbit/s of the link, the 91.9 % variant large wins 32" in shown
    assert "transfer_s large" in shown and "at most 15 s allowed" in shown
    assert "not a candidate here: vvvvvvvvvvvv, made for x86-vnni" in shown


def test_what_cannot_be_explained_is_refused_in_one_line(operator, front: str) -> None:
    def refused(*words: str, code: int = 1) -> str:
        return str(operator.types("compress", *words, code=code).stderr)

    assert "rpi9" in refused(front, "--explain", "eu/rpi9/lte")
    assert "region/hardware/link" in refused(front, "--explain", "eu")
    assert "no model" in refused("fashion@7", "--explain", "eu/rpi4/lte")
    assert "builds nothing" in refused(front, "--explain", "eu/rpi4/lte", "--detach", code=2)


def test_a_model_of_which_nothing_was_built_is_told_how_to_begin(operator, published: str, service) -> None:
    service.store.fleet.references.remove_model("fashion", 1)
    hold_example(service)
    assert "has no variants yet" in operator.types("compress", published, "--explain", "eu/rpi4/lte", code=1).stderr
