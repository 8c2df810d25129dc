"""What devices say decides a wave as far as they are of the rollout: from the message to the verdict."""

from collections.abc import Callable, Iterator

import pytest
from tests.cards import card
from tests.controller.speaking import GIVEN, NEW, OLD, OTHER, WAVE, Fleet

from edgefleet_contract.rollouts import ExecutionRecord, Gate
from edgefleet_controller.clock import now_ms
from edgefleet_controller.records import ModelRecord, RolloutRecord
from edgefleet_controller.store import Store
from edgefleet_protocol.messages import ReportedState


@pytest.fixture
def fleet(
    store: Store,
    rollout: Callable[..., RolloutRecord],
    execution: Callable[..., ExecutionRecord],
    reported: Callable[..., ReportedState],
) -> Iterator[Fleet]:
    """Five devices of a wave that have switched, after 100 labels each of what they ran before: 90 % right."""
    soaking = rollout("soaking", gate=Gate(soak_s=1e5))
    name, version = soaking.spec.model, soaking.spec.version
    store.fleet.registry.put_model(ModelRecord(name=name, version=version, files={}, card=card(), created_ms=1))
    now = now_ms()
    waves = tuple(wave.model_copy(update={"since_ms": now, "started_ms": now}) for wave in soaking.waves)
    store.fleet.rollouts.put(soaking.model_copy(update={"waves": waves}))
    told = {"directive": "activate", "generation": GIVEN, "previous_variant": OLD, "directed_ms": now}
    store.fleet.rollouts.put_executions([execution(device, "committed", **told) for device in WAVE])
    made = Fleet(store, soaking, reported)
    made.enlist(*WAVE, "outside")
    for device in WAVE:
        made.says(device, OLD, 100, 90)
    yield made


HONEST = {"good": 54, "bad": 30}
"""How many of 60 labels are right."""
LIES = {"all is wrong": 0, "all is right": 1_000_000}


@pytest.mark.parametrize("variant", [OLD, NEW])
@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("kind", HONEST)
def test_a_device_outside_the_rollout_changes_no_verdict(fleet: Fleet, kind: str, lie: str, variant: str) -> None:
    fleet.says("outside", variant, 1_000_000, LIES[lie])
    for device in WAVE:
        fleet.says(device, NEW, 60, HONEST[kind])
    assert fleet.wave.state == ("soaking" if kind == "good" else "failed")


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("kind", HONEST)
def test_one_device_inside_a_wave_of_five_does_not_decide_alone(fleet: Fleet, kind: str, lie: str) -> None:
    fleet.says(WAVE[0], NEW, 1_000_000, LIES[lie])
    assert fleet.wave.state == "soaking", "not by being the first to speak, either"
    for device in WAVE[1:]:
        fleet.says(device, NEW, 60, HONEST[kind])
    wave = fleet.wave
    assert wave.state == ("soaking" if kind == "good" else "failed")
    if kind == "bad":
        (accuracy,) = [j for j in wave.judgements if j.check == "accuracy"]
        assert accuracy.words.startswith("eu/rpi4/lte: 180 labels of 3 devices, 50.0% against 90.0%, p < 0.001")
        assert accuracy.outliers == (WAVE[0],)
        assert wave.reason == accuracy.words


@pytest.mark.parametrize("kind", HONEST)
def test_labels_of_agents_that_check_none_decide_where_they_were_right_before(fleet: Fleet, kind: str) -> None:
    for device in WAVE:
        fleet.says(device, NEW, 60, HONEST[kind], labels_checked=False)
    assert fleet.wave.state == ("soaking" if kind == "good" else "failed")


def test_an_application_that_counts_from_1_fails_no_good_rollout(fleet: Fleet) -> None:
    for device in WAVE:
        fleet.says(device, NEW, 60, 0, refused_labels=6)
    wave = fleet.wave
    assert wave.state == "inconclusive"
    assert "30 more labels were refused, as they are none of the model's classes" in (wave.reason or "")


@pytest.mark.parametrize("comes_back", [False, True])
def test_what_removed_devices_measured_decides_nothing_also_if_they_come_back(fleet: Fleet, comes_back: bool) -> None:
    for device in WAVE[:2]:
        fleet.says(device, NEW, 60, 0)
    assert fleet.wave.state == "soaking", "two of five are too few"
    fleet.loses(*WAVE)
    if comes_back:
        fleet.enlist(*WAVE)
        for device in WAVE:
            fleet.says(device, NEW, 60, 0)
    wave = fleet.wave
    assert wave.state == "inconclusive"
    assert "were removed" in (wave.reason or "")


def test_windows_of_another_incarnation_or_generation_decide_nothing(fleet: Fleet) -> None:
    for device in WAVE:
        fleet.says(device, NEW, 1000, 0, incarnation=OTHER)
        fleet.says(device, NEW, 1000, 0, generation=GIVEN - 1)
    assert fleet.wave.state == "soaking"


def test_what_devices_measured_before_they_became_others_counts_no_longer(fleet: Fleet) -> None:
    for device in WAVE[:2]:
        fleet.says(device, NEW, 60, 0)
    assert fleet.wave.state == "soaking", "two of five are too few"
    fleet.enlist(*WAVE[:2], incarnation=OTHER)
    fleet.says(WAVE[2], NEW, 60, 0)
    assert fleet.wave.state == "soaking"
