"""Windows are stored once each, acknowledged in order, and told as they were."""

import threading

import pytest
from tests.controller.asking import aggregated
from tests.controller.store.making import INCARNATION, T0, latency, window

from edgefleet_controller.errors import StoreFault
from edgefleet_controller.store import FleetStore, Store, TelemetryStore
from edgefleet_controller.store.contract.aggregates import FOREVER_MS
from edgefleet_controller.store.contract.windows import MAX_LOST, StoredWindow, WindowNumber


def put(telemetry: TelemetryStore, *windows: StoredWindow, device: str = "d") -> int:
    return telemetry.windows.put(windows).through[device, INCARNATION]


def number(seq: int, first_kept: int = 1) -> WindowNumber:
    return WindowNumber(incarnation=INCARNATION, seq=seq, first_kept_seq=first_kept)


class WindowsContract:
    """What every kind of store must do with what devices measured."""

    def test_a_window_that_comes_twice_is_kept_once_and_stays_as_it_was(self, telemetry: TelemetryStore) -> None:
        put(telemetry, window(1, requests=3), window(1, requests=4))
        put(telemetry, window(1, requests=5))
        assert telemetry.windows.count("d") == 1
        assert aggregated(telemetry)[0].counters.serving.requests == 3

    def test_the_acknowledgement_goes_through_what_is_stored_without_a_gap(self, telemetry: TelemetryStore) -> None:
        assert put(telemetry, window(1), window(2), window(4)) == 2
        assert put(telemetry, window(3)) == 4
        assert telemetry.windows.through("d", INCARNATION) == 4
        assert telemetry.windows.through("d", "9" * 32) == 0

    def test_what_a_device_has_dropped_never_holds_the_acknowledgement_up(self, telemetry: TelemetryStore) -> None:
        assert put(telemetry, window(1)) == 1
        assert put(telemetry, window(90, first_kept_seq=90)) == 90
        assert put(telemetry, window(2)) == 90, "nor does it go back"

    def test_what_never_came_is_lost_once_the_device_no_longer_has_it(self, telemetry: TelemetryStore) -> None:
        put(telemetry, window(1), window(3))
        assert telemetry.windows.lost() == 0
        put(telemetry, window(7, first_kept_seq=6))
        assert telemetry.windows.lost("d") == 3, "2, 4 and 5"
        put(telemetry, window(8, first_kept_seq=6))
        put(telemetry, window(5, first_kept_seq=4, device="new"), device="new")
        assert telemetry.windows.lost("new") == 0, "of one that is new nothing is known as lost"
        assert telemetry.windows.lost() == 3
        assert telemetry.windows.lost_by(["d", "new", "nobody"]) == {"d": 3}

    def test_losses_that_devices_make_up_stay_countable(self, telemetry: TelemetryStore) -> None:
        for incarnation in "123":
            sender = {"incarnation": incarnation * 32}
            telemetry.windows.put([window(1, **sender)])
            telemetry.windows.put([window(2**62 - 1, first_kept_seq=2**62 - 1, **sender)])
        put(telemetry, window(1, device="honest"), device="honest")
        put(telemetry, window(3, first_kept_seq=3, device="honest"), device="honest")
        assert telemetry.windows.lost("d") == telemetry.windows.lost() == MAX_LOST
        assert telemetry.windows.lost_by(["d", "honest"]) == {"d": MAX_LOST, "honest": 1}

    def test_a_window_that_was_set_aside_holds_no_later_one_up(self, telemetry: TelemetryStore) -> None:
        assert put(telemetry, window(1), window(4)) == 1
        assert telemetry.windows.pass_over([("d", number(3))]) == {("d", INCARNATION): 1}, "2 is still to come"
        assert telemetry.windows.pass_over([("d", number(3)), ("d", number(2))]) == {("d", INCARNATION): 4}
        assert telemetry.windows.pass_over([("d", number(2))]) == {("d", INCARNATION): 4}, "nor does it go back"
        assert (telemetry.windows.count(), telemetry.windows.lost()) == (2, 0)
        assert put(telemetry, window(5)) == 5

    def test_the_first_one_may_be_set_aside(self, telemetry: TelemetryStore) -> None:
        assert telemetry.windows.pass_over([("d", number(40, first_kept=40))]) == {("d", INCARNATION): 40}
        assert put(telemetry, window(41, first_kept_seq=41)) == 41
        assert telemetry.windows.pass_over([("e", number(9, first_kept=99))]) == {("e", INCARNATION): 9}
        assert telemetry.windows.pass_over([]) == {}
        assert telemetry.windows.lost() == 0

    def test_incarnations_are_kept_apart(self, telemetry: TelemetryStore) -> None:
        other = window(1)
        other = other._replace(window=other.window.model_copy(update={"incarnation": "2" * 32}))
        assert telemetry.windows.put([window(1), window(2), other]) == ({("d", INCARNATION): 2, ("d", "2" * 32): 1}, 3)

    def test_nothing_put_is_nothing_acknowledged(self, telemetry: TelemetryStore) -> None:
        assert telemetry.windows.put([]) == ({}, 0)

    def test_each_window_is_new_once(self, telemetry: TelemetryStore) -> None:
        assert [telemetry.windows.put([window(1), window(seq), window(seq)]).new for seq in (1, 2, 2, 4)] == [
            1,
            1,
            0,
            1,
        ]
        many = [window(seq) for seq in range(1, 250)]
        assert [telemetry.windows.put(many).new, telemetry.windows.put(many).new] == [246, 0]

    def test_percentiles_of_a_group_are_read_from_the_merged_histogram(self, telemetry: TelemetryStore) -> None:
        put(telemetry, window(1, latency=latency(*[1.0] * 99), requests=99, device="a"), device="a")
        put(telemetry, window(1, latency=latency(1000), requests=1, device="b"), device="b")
        (merged,) = aggregated(telemetry, ("variant",))
        serving = merged.counters.serving
        assert (merged.windows, serving.requests) == (2, 100)
        assert serving.latency.percentile_ms(50) == pytest.approx(1.0, rel=0.02)
        assert serving.latency.percentile_ms(100) == pytest.approx(1000, rel=0.02)

    def test_a_score_is_none_without_labels(self, telemetry: TelemetryStore) -> None:
        put(telemetry, window(1, requests=3))
        assert aggregated(telemetry, ("device",))[0].counters.scored.mean is None
        put(telemetry, window(2, requests=3, labelled=4, correct=3))
        assert aggregated(telemetry, ("device",))[0].counters.scored.mean == 0.75

    def test_answers_are_in_the_order_of_time_and_group(self, telemetry: TelemetryStore) -> None:
        hour = 3_600_000
        put(telemetry, *(window(seq, T0 + at * hour, variant=v * 64) for seq, (at, v) in enumerate(
            [(2, "a"), (1, "b"), (1, "a"), (3, "c")], start=1
        )))  # fmt: skip
        found = aggregated(telemetry, ("variant",), bucket="hour")
        assert [a.key for a in found] == sorted(a.key for a in found)
        assert [a.bucket_ms for a in found] == [T0 + at * hour for at in (1, 1, 2, 3)]

    def test_what_is_kept_has_an_extent(self, telemetry: TelemetryStore) -> None:
        assert telemetry.aggregates.extent() == (0, -1)
        put(telemetry, window(1, T0 + 5), window(2, T0 + 9))
        assert telemetry.aggregates.extent() == (T0 + 5, T0 + 9)
        telemetry.rollups.roll_up(FOREVER_MS, 10)
        assert telemetry.aggregates.extent() == (T0, T0 + 3_600_000 - 1), "roll-ups are of whole hours"

    def test_what_is_measured_in_a_conflict_is_no_profiles(self, telemetry: TelemetryStore) -> None:
        put(telemetry, window(1, T0), window(2, T0 + 10), window(3, T0 + 20))
        put(telemetry, window(1, T0 + 30, device="other"), device="other")
        telemetry.rollups.roll_up(T0 + 20, 10)
        telemetry.windows.unplace("d", T0 + 10)
        windows = {a.group["region"]: a.windows for a in aggregated(telemetry, ("region",))}
        assert windows == {"eu": 3, None: 1}, "what is rolled up stays, as does what came before and others' windows"

    def test_a_removed_device_leaves_no_window_and_its_sums_stay_in_the_roll_ups(
        self, telemetry: TelemetryStore
    ) -> None:
        put(telemetry, window(1, requests=3), window(2, requests=4))
        put(telemetry, window(1, device="other", requests=9), device="other")
        telemetry.rollups.roll_up(FOREVER_MS, 2)
        telemetry.windows.remove("d")
        assert (telemetry.windows.count("d"), telemetry.windows.count()) == (0, 1)
        assert telemetry.windows.through("d", INCARNATION) == 0
        assert sum(a.counters.serving.requests for a in aggregated(telemetry)) == 16
        assert put(telemetry, window(3, first_kept_seq=3)) == 3, "it may begin anew"

    def test_half_a_transaction_is_never_kept(self, telemetry: TelemetryStore) -> None:
        put(telemetry, window(1, requests=1))
        with pytest.raises(RuntimeError), telemetry.transaction():
            put(telemetry, window(2, requests=1))
            telemetry.rollups.roll_up(FOREVER_MS, 10)
            telemetry.rollups.forget_windows(FOREVER_MS, 0, 10)
            telemetry.windows.remove("d")
            raise RuntimeError("killed in between")
        assert telemetry.windows.through("d", INCARNATION) == 1
        assert (telemetry.windows.count(), telemetry.rollups.count()) == (1, 0)
        assert telemetry.aggregates.windows_from_ms() == 0
        assert telemetry.rollups.roll_up(FOREVER_MS, 10) == 1

    def test_who_asks_sees_what_is_committed_and_waits_for_nobody(self, telemetry: TelemetryStore) -> None:
        put(telemetry, window(1))
        found = []
        with telemetry.transaction():
            put(telemetry, window(2))
            asking = threading.Thread(target=lambda: found.append(aggregated(telemetry)[0].windows))
            asking.start()
            asking.join(30)
            assert found == [1]
        assert aggregated(telemetry)[0].windows == 2

    def test_it_is_not_asked_within_a_transaction_of_the_fleets(self, store: Store, fleet: FleetStore) -> None:
        with fleet.transaction(), pytest.raises(StoreFault, match="used within"):
            store.telemetry.windows.count()
        with store.telemetry.transaction():
            assert fleet.devices.find("d") is None, "the other way round may be asked"
            with pytest.raises(StoreFault, match=r"begins within one of telemetry's"), fleet.transaction():
                pass
        with fleet.transaction():
            pass
