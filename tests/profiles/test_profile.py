"""Classes, constraints and links: what follows from an entry's figures."""

import pytest

from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.device_class import device_class
from edgefleet_profiles.profile import Constraints, constraints_for


@pytest.mark.parametrize(
    ("reported_mb", "class_mb"),
    [(415, 512), (512, 512), (924, 1024), (1850, 2048), (3794, 4096), (4096, 4096), (7900, 8192), (16000, 16384)],
)
def test_a_board_falls_into_the_memory_class_it_is_sold_as(reported_mb: int, class_mb: int) -> None:
    assert device_class("aarch64", ["asimd"], ["CPUExecutionProvider"], reported_mb).ram_mb == class_mb


@pytest.mark.parametrize(
    ("pattern", "profile", "matches"),
    [
        ("*/*/*", "eu/rpi4/lte", True),
        ("*/rpi-zero-2w/*", "eu/rpi-zero-2w/lte", True),
        ("*/rpi-zero-2w/*", "eu/rpi4/lte", False),
        ("eu/rpi*/nb-2g", "eu/rpi5/nb-2g", True),
        ("eu/*/*", "eu/rpi4", False),
    ],
)
def test_constraints_match_by_part(pattern: str, profile: str, matches: bool) -> None:
    assert Constraints(profile=pattern).matches(profile) is matches


def test_the_last_constraints_that_match_hold() -> None:
    table = [Constraints(p95_ms=50), Constraints(profile="*/rpi4/*", p95_ms=80)]
    assert constraints_for("eu/rpi4/lte", table).p95_ms == 80
    assert constraints_for("eu/rpi5/lte", table).p95_ms == 50
    assert constraints_for("eu/rpi5/lte", []).p95_ms is None


def test_a_transfer_takes_the_bytes_the_repeats_and_one_round_trip() -> None:
    lte = load_catalogue().link["lte"]
    expected = 1_000_000 * 8 / 5_000_000 / 0.99 + 0.07
    assert lte.transfer_s(1_000_000) == pytest.approx(expected)
