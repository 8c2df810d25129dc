"""Windows of regions: nothing is sent, told or given up for a device whose window is closed."""

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.reports import report_with

from edgefleet_contract.devices import AdmissionRecord
from edgefleet_contract.rollouts import Timers
from edgefleet_controller.delivery.channels import Channels, Send, Wait, Want
from edgefleet_controller.fleet.delivery_hours import DeliveryHours
from edgefleet_controller.fleet.desired_publisher import desired_state, must_be_told
from edgefleet_controller.records import DesiredRecord
from edgefleet_controller.rollouts.directions import Directions
from edgefleet_controller.rollouts.orders import decide
from edgefleet_controller.rollouts.rollout import Activate, Hold, MoveWave, Return, Stage, advance
from edgefleet_controller.store import Store
from edgefleet_controller.windows import AHEAD, RegionWindows
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.parts import Region, Window
from edgefleet_protocol.chunks import Bitmap
from edgefleet_protocol.messages import Attempt, ReportedModel

HOUR_MS = 3_600_000
NIGHT = Window(from_minute=120, to_minute=300)  # 01:00 to 04:00 UTC in Berlin's winter
NOON, NIGHT_1 = (int(datetime(2026, 1, day, hour, tzinfo=UTC).timestamp() * 1000) for day, hour in ((10, 12), (11, 1)))


def regions(**windows: Window) -> dict[str, Region]:
    """The catalogue's, with these windows in the European Union."""
    known = dict(load_catalogue().region)
    return {**known, "eu": known["eu"].model_copy(update=windows)}


FETCH = RegionWindows(regions(delivery_window=NIGHT))
SWITCH = RegionWindows(regions(activation_window=NIGHT))


def turn(rollout: Any, members: list[Any], now_ms: int, windows: RegionWindows) -> list[Any]:
    """The decisions about a rollout whose waves began at noon."""
    waves = tuple(wave.model_copy(update={"since_ms": NOON, "started_ms": NOON}) for wave in rollout.waves)
    begun = rollout.model_copy(update={"waves": waves, "changed_ms": NOON})
    return advance(begun, members, now_ms, (), 0, windows)


def test_a_device_is_told_the_next_intervals_and_for_how_long_the_window_is_open_now() -> None:
    closed = FETCH.opening("fetch", "eu/rpi4/lte", NOON)
    assert closed is not None
    assert len(closed.intervals) == AHEAD
    assert (closed.intervals[0].from_ms, closed.intervals[0].to_ms) == (NIGHT_1, NIGHT_1 + 3 * HOUR_MS)
    assert closed.open_s == 0
    opened = FETCH.opening("fetch", "eu/rpi4/lte", NIGHT_1 + HOUR_MS)
    assert opened is not None
    assert opened.open_s == 2 * 3600
    assert FETCH.opening("fetch", "na/rpi4/lte", NOON) is None
    assert FETCH.opening("switch", "eu/rpi4/lte", NOON) is None
    assert FETCH.opening("fetch", "nowhere/rpi4/lte", NOON) is None


def test_a_wave_tells_only_devices_whose_window_is_open_to_fetch(rollout, execution) -> None:
    members = [execution("a"), execution("b", profile="na/rpi4/lte")]
    moved, *told = turn(rollout("pending"), members, NOON, FETCH)
    assert moved == MoveWave(1, "staging", "1 device to fetch, 1 to wait for a window")
    assert told == [Stage(members[1])]
    members[1] = execution("b", "staged", profile="na/rpi4/lte", directive="stage")
    assert turn(rollout("staging"), members, NOON, FETCH) == [], "it waits for the other one"
    assert turn(rollout("staging"), members, NIGHT_1, FETCH) == [Stage(members[0])]


def test_no_device_is_told_to_switch_outside_its_window(rollout, execution) -> None:
    members = [execution(d, "staged", directive="stage", profile=f"{d}/rpi4/lte") for d in ("eu", "na")]
    assert turn(rollout("activating"), members, NOON, SWITCH) == [Activate(members[1])]
    assert turn(rollout("activating"), members, NIGHT_1, SWITCH) == [Activate(m) for m in members]
    late = turn(rollout("passed", "staging"), [members[0], execution("n", wave=2)], NOON, SWITCH)
    assert [type(d) for d in late] == [Stage], "nor one that is late"


def test_devices_that_wait_for_their_window_take_nobodys_turn(rollout, execution) -> None:
    waiting = execution("a", "staged", directive="activate", keeps_windows=True)
    ready = execution("b", "staged", directive="stage", profile="na/rpi4/lte")
    assert turn(rollout("activating", concurrency=1), [waiting, ready], NOON, SWITCH) == [Activate(ready)]


def test_the_order_to_switch_is_withdrawn_at_the_close_from_agents_that_know_no_windows(rollout, execution) -> None:
    old = execution("old", "staged", directive="activate")
    new = execution("new", "staged", directive="activate", keeps_windows=True)
    assert turn(rollout("activating"), [old, new], NIGHT_1, SWITCH) == []
    assert turn(rollout("activating"), [old, new], NOON, SWITCH) == [Hold(old)]
    testing = execution("old", "self_test", directive="activate")
    assert turn(rollout("activating"), [testing], NOON, SWITCH) == [], "it has begun"


def test_the_time_to_stage_does_not_run_while_a_window_is_closed(rollout, execution) -> None:
    begun = rollout("staging", timers=Timers(staging_s=2 * 3600, wave_s=7 * 86_400))
    members = [execution("a", "staged", directive="stage"), execution("b", "downloading", directive="stage")]
    assert turn(begun, members, NIGHT_1 + 2 * HOUR_MS, FETCH) == []
    (moved,) = turn(begun, members, NIGHT_1 + 2 * HOUR_MS + 1000, FETCH)
    assert moved == MoveWave(1, "activating", "1 device ready to switch, 1 to follow")
    assert len(turn(begun, members, NOON + 2 * HOUR_MS + 1000, SWITCH)) == 1, "without a window it runs at once"


def test_a_wave_is_not_judged_for_time_in_which_its_devices_had_to_wait(rollout, execution) -> None:
    begun = rollout("activating", timers=Timers(wave_s=2 * 3600))
    members = [execution("a", "staged", directive="activate", keeps_windows=True)]
    assert turn(begun, members, NIGHT_1 + 2 * HOUR_MS, SWITCH) == []
    judged = turn(begun, members, NIGHT_1 + 2 * HOUR_MS + 1000, SWITCH)
    assert [d.state for d in judged if isinstance(d, MoveWave)] == ["inconclusive"]


def test_a_rollback_and_an_abort_wait_for_no_window(store: Store, rollout, execution) -> None:
    gone = execution("a", "committed", directive="activate", generation=3)
    back = rollout("failed").model_copy(update={"state": "rolling_back", "id": "0" * 32})
    assert turn(back, [gone], NOON, SWITCH) == [Return(gone)]
    decided = decide("abort", rollout("staging"), [execution("a", "downloading", generation=3)])
    (aborted,) = (d for d in decided if isinstance(d, Return))
    with store.fleet.transaction():
        Directions(store.fleet).send_back(back, [gone, aborted.execution.model_copy(update={"device": "b"})], NOON)
    for device in "ab":
        (record,) = store.fleet.desired.of(device)
        assert desired_state([record]).models["fashion"].at_once


def model(phase: str, reason: str | None) -> ReportedModel:
    return ReportedModel(
        generation=4, attempt=Attempt.model_validate({"generation": 4, "phase": phase, "reason": reason})
    )


def order(**more: Any) -> DesiredRecord:
    given = {"device": "d", "model": "fashion", "generation": 4, "manifest": "c" * 64, "manifest_bytes": 1}
    return DesiredRecord.model_validate({**given, "rollout": None, "activate": True, "trial_s": 1, **more})


@pytest.mark.parametrize(
    ("phase", "reason", "now_ms", "told"),
    [
        ("downloading", "outside_window", NOON, False),
        ("downloading", "outside_window", NIGHT_1, True),
        ("staged", "outside_window", NOON, False),
        ("staged", "outside_window", NIGHT_1, True),
        ("downloading", None, NIGHT_1, False),
    ],
)
def test_a_device_that_waits_for_an_open_window_is_told_again(
    phase: str, reason: str | None, now_ms: int, told: bool
) -> None:
    windows = RegionWindows(regions(delivery_window=NIGHT, activation_window=NIGHT))
    said = report_with(models={"fashion": model(phase, reason)})
    assert must_be_told([order()], said, windows, now_ms) is told


def test_chunks_go_out_only_until_the_window_of_those_who_want_them_closes() -> None:
    channels = Channels(gather_s=0)
    short, long = "aa" * 32, "bb" * 32
    channels.want(Want("wifi", 8_000, short, 1000, 9_000, Bitmap.full(9), for_s=0.0025), 0.0)
    channels.want(Want("wifi", 8_000, long, 1000, 2_000, Bitmap.full(2), for_s=math.inf), 0.0)
    sent, now = [], 0.0
    while True:
        due = channels.next(now)
        if isinstance(due, Send):
            sent.append(due.blob)
            channels.settle(due, 1000, now)
        elif isinstance(due, Wait) and due.until is None:
            break
        else:
            now = due.until or now
    assert sent == [short, long, short, long]
    channels.want(Want("wifi", 8_000, short, 1000, 9_000, Bitmap.of(9, [8]), for_s=60), 10.0)
    assert isinstance(channels.next(10.0), Send)


def test_what_a_device_may_be_sent_follows_its_region_unless_it_returns(store: Store, reported) -> None:
    store.fleet.devices.admit(AdmissionRecord(device="d", accepted_ms=0))
    store.fleet.devices.put_report("d", reported(), 1)
    hours = DeliveryHours(store.fleet, FETCH)
    assert hours.left_s("d", NOON) == 0
    assert hours.left_s("stranger", NIGHT_1) == 0, "of which region is not known yet"
    assert hours.left_s("d", NIGHT_1 + HOUR_MS) == 2 * 3600
    assert DeliveryHours(store.fleet, SWITCH).left_s("d", NOON) == math.inf
    store.fleet.desired.put(order(at_once=True))
    assert hours.left_s("d", NOON) == math.inf
