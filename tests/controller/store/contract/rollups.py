"""Roll-ups: totals stay what they were, nothing counts twice, and what is old goes."""

from typing import Any

import pytest
from tests.controller.asking import aggregated
from tests.controller.store.making import INCARNATION, T0, latency, of_a_fleet, window

from edgefleet_controller.store import TelemetryStore
from edgefleet_controller.store.contract.aggregates import FOREVER_MS, Origin
from edgefleet_controller.store.contract.rollups import DAY_MS, HOUR_MS
from edgefleet_controller.store.contract.windows import StoredWindow
from edgefleet_protocol.latency import LatencyHistogram
from edgefleet_protocol.moments import Moments


def roll_up(telemetry: TelemetryStore, before_ms: int = FOREVER_MS, slice_of: int = 17) -> int:
    total = 0
    while done := telemetry.rollups.roll_up(before_ms, slice_of):
        total += done
    return total


def requests_by_hour(telemetry: TelemetryStore) -> list[tuple[int | None, int]]:
    return [(a.bucket_ms, a.counters.serving.requests) for a in aggregated(telemetry, (), bucket="hour")]


QUESTIONS: list[dict[str, Any]] = [
    {"group_by": ()},
    {"group_by": ("variant",)},
    {"group_by": ("hardware", "region", "link")},
    {"group_by": ("model", "model_version"), "bucket": "hour"},
    {"group_by": ("variant", "region"), "bucket": "day"},
    {"group_by": ("region",), "selects": lambda source: source.hardware == "rpi5"},
    {"group_by": ("segment",), "segments": lambda source: ("all", source.region)},
    {"group_by": ("variant",), "since_ms": T0 + HOUR_MS + 1_234_567, "until_ms": T0 + 3 * HOUR_MS + 77},
    {"group_by": (), "since_ms": T0 + HOUR_MS + 600_000, "until_ms": T0 + HOUR_MS + 3_400_000},
    {"group_by": (), "since_ms": T0 + HOUR_MS, "until_ms": T0 + 2 * HOUR_MS},
    {"group_by": (), "since_ms": T0, "until_ms": T0 + 24 * HOUR_MS},
    {"group_by": (), "bucket": "day", "since_ms": T0 + 22 * HOUR_MS, "until_ms": T0 + 27 * HOUR_MS},
    {"group_by": ("device",), "since_ms": T0 + 5_000_000},
    {"group_by": ("variant",), "device": "b"},
    {"group_by": ("variant",), "model": "fashion", "version": 2},
]


class RollupsContract:
    """What every kind of store must do with windows that grow old."""

    @pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: "-".join(question))
    def test_every_answer_is_the_same_before_and_after_a_roll_up(
        self, telemetry: TelemetryStore, question: dict[str, Any]
    ) -> None:
        windows = of_a_fleet()
        telemetry.windows.put(windows)
        before = aggregated(telemetry, **question)
        assert roll_up(telemetry, T0 + 2 * HOUR_MS) > 0
        assert aggregated(telemetry, **question) == before
        roll_up(telemetry)
        assert aggregated(telemetry, **question) == before
        assert before or question.get("version") == 2

    def test_what_is_deleted_after_a_roll_up_still_counts(self, telemetry: TelemetryStore) -> None:
        windows = of_a_fleet()
        telemetry.windows.put(windows)
        before = aggregated(telemetry, ("variant", "region"), bucket="hour")
        roll_up(telemetry)
        assert telemetry.rollups.forget_windows(FOREVER_MS, 0, 1000) == len(windows)
        assert telemetry.windows.count() == 0
        assert aggregated(telemetry, ("variant", "region"), bucket="hour") == before

    def test_rolling_up_again_changes_nothing(self, telemetry: TelemetryStore) -> None:
        telemetry.windows.put(of_a_fleet())
        roll_up(telemetry)
        once = (aggregated(telemetry, ()), telemetry.rollups.count())
        assert roll_up(telemetry) == 0
        assert (aggregated(telemetry, ()), telemetry.rollups.count()) == once

    def test_a_window_that_comes_late_is_added_to_its_hour(self, telemetry: TelemetryStore) -> None:
        telemetry.windows.put([window(1, T0, requests=3)])
        roll_up(telemetry)
        telemetry.windows.put([window(2, T0 + 5 * HOUR_MS, started_ms=T0 + 60_000, clock_trusted=True, requests=4)])
        assert requests_by_hour(telemetry) == [(T0, 7)]
        assert roll_up(telemetry) == 1
        assert requests_by_hour(telemetry) == [(T0, 7)]
        assert telemetry.rollups.count() == 2  # an hour and its day

    @pytest.mark.parametrize("deleted", [False, True])
    def test_a_window_sent_again_after_the_roll_up_counts_once(self, telemetry: TelemetryStore, deleted: bool) -> None:
        windows = [window(seq, requests=1) for seq in range(1, 6)]
        telemetry.windows.put(windows)
        roll_up(telemetry)
        if deleted:
            assert telemetry.rollups.forget_windows(FOREVER_MS, 0, 1000) == 5
        assert telemetry.windows.put(windows) == ({("d", INCARNATION): 5}, 0)
        roll_up(telemetry)
        assert aggregated(telemetry, ())[0].counters.serving.requests == 5

    def test_what_comes_after_deleted_windows_is_acknowledged(self, telemetry: TelemetryStore) -> None:
        telemetry.windows.put([window(1), window(2)])
        roll_up(telemetry)
        telemetry.rollups.forget_windows(FOREVER_MS, 0, 1000)
        assert telemetry.windows.put([window(3)]).through == {("d", INCARNATION): 3}

    def test_a_window_is_deleted_only_once_it_is_acknowledged_or_abandoned(self, telemetry: TelemetryStore) -> None:
        telemetry.windows.put([window(1), window(3)])
        roll_up(telemetry)
        assert telemetry.rollups.forget_windows(FOREVER_MS, 0, 1000) == 1
        assert telemetry.windows.count() == 1
        assert telemetry.windows.put([window(2)]).through == {("d", INCARNATION): 3}
        telemetry.windows.put([window(5, device="gone")])
        roll_up(telemetry)
        assert telemetry.rollups.forget_windows(FOREVER_MS, FOREVER_MS, 1000) == 3

    def test_a_window_that_is_in_no_roll_up_is_never_deleted(self, telemetry: TelemetryStore) -> None:
        telemetry.windows.put([window(1)])
        assert telemetry.rollups.forget_windows(FOREVER_MS, FOREVER_MS, 1000) == 0

    def test_windows_of_a_device_that_had_not_reported_are_rolled_up_as_of_nowhere(
        self, telemetry: TelemetryStore
    ) -> None:
        told = window(1).window
        telemetry.windows.put([StoredWindow("d", told, None, T0)])
        roll_up(telemetry)
        assert [a.group for a in aggregated(telemetry, ("region", "link"))] == [{"region": None, "link": None}]

    def test_old_days_go_with_their_hours(self, telemetry: TelemetryStore) -> None:
        telemetry.windows.put([window(1, T0), window(2, T0 + HOUR_MS), window(3, T0 + DAY_MS)])
        roll_up(telemetry)
        assert telemetry.rollups.forget_rollups(T0 + DAY_MS - 1) == 0
        assert telemetry.rollups.forget_rollups(T0 + DAY_MS) == 3
        assert [a.bucket_ms for a in aggregated(telemetry, (), bucket="hour")] == [T0 + DAY_MS]
        assert [a.bucket_ms for a in aggregated(telemetry, (), bucket="day")] == [T0 + DAY_MS]

    def test_huge_counts_overflow_nothing(self, telemetry: TelemetryStore) -> None:
        most = 2**40 - 1  # the largest that a window may hold
        huge = LatencyHistogram()
        huge._counts, huge.count = {10: 2**55 - 1, 200: 2**55 - 1}, 2**56 - 2
        half = most // 2
        counts = {"requests": most, "errors": half, "not_finite": half, "labelled": most, "correct": most}
        for round_ in range(3):
            first = round_ * 10 + 1
            fields: dict[str, Any] = {**counts, "latency": huge.encode(), "predicted": {"0": most}}
            telemetry.windows.put([window(seq, **fields) for seq in range(first, first + 10)])
            roll_up(telemetry)
        (merged,) = aggregated(telemetry, ())
        assert merged.counters.serving.requests == 30 * most
        assert merged.counters.scored == Moments.of_hits(30 * most, 30 * most)
        assert merged.counters.categories["0"] == 30 * most
        assert merged.windows == 30
        for percent in (0.001, 50, 99.999, 100):
            assert merged.counters.serving.latency.percentile_ms(percent) is not None

    def test_a_histogram_that_cannot_be_read_leaves_the_counts(self, telemetry: TelemetryStore) -> None:
        telemetry.windows.put([window(1, requests=2, latency="rubbish"), window(2, requests=3, latency=latency(5))])
        roll_up(telemetry)
        (merged,) = aggregated(telemetry, ())
        assert (merged.counters.serving.requests, merged.counters.serving.latency.count) == (5, 1)

    def test_reading_sees_one_moment_while_windows_are_rolled_up(self, telemetry: TelemetryStore) -> None:
        telemetry.windows.put(of_a_fleet())

        def roll_up_meanwhile(_: Origin) -> bool:
            telemetry.rollups.roll_up(FOREVER_MS, 1000)
            return True

        (merged,) = aggregated(telemetry, (), selects=roll_up_meanwhile)
        assert merged.windows == len(of_a_fleet())
