"""Roll-ups: totals stay what they were, nothing counts twice, and what is old goes."""

import random
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils
from tests.controller.asking import aggregated

from edgefleet_controller.store import Store
from edgefleet_controller.store.contract.aggregates import FOREVER_MS, Origin
from edgefleet_controller.store.contract.rollups import HOUR_MS
from edgefleet_controller.store.contract.windows import StoredWindow
from edgefleet_controller.store.merging import Span, spans
from edgefleet_controller.store.sqlite import open_store
from edgefleet_controller.store.sqlite.migrations import TELEMETRY
from edgefleet_protocol.counters import Moments
from edgefleet_protocol.latency import LatencyHistogram
from edgefleet_protocol.messages import Facts, TelemetryWindow

DAY_MS = 24 * HOUR_MS
T0 = 20_000 * DAY_MS
INCARNATION = "1" * 32


def facts(region: str = "eu", hardware: str = "rpi4", link: str = "lte") -> Facts:
    return Facts(hardware=hardware, region=region, link=link, arch="aarch64", cores=4, ram_mb=4096)


def latency(*ms: float) -> str:
    histogram = LatencyHistogram()
    for each in ms:
        histogram.record(each / 1000)
    return histogram.encode()


def window(seq: int, received_ms: int = T0, device: str = "d", of: Facts | None = None, **fields: Any) -> StoredWindow:
    given = {"model": "fashion", "model_version": 1, "variant": "a" * 64, "generation": 1, "duration_ms": 60_000}
    told = TelemetryWindow(incarnation=INCARNATION, seq=seq, **{"first_kept_seq": 1, **given, **fields})
    return StoredWindow(device, told, of or facts(), received_ms)


def fleet(hours: int = 30) -> list[StoredWindow]:
    """Three devices on two profiles, one window each half hour, two variants, some labels."""
    rng = random.Random(7)
    found = []
    for device, place in (("a", facts()), ("b", facts("na", "rpi5", "wifi")), ("c", facts("na", "rpi5", "wifi"))):
        for seq in range(1, hours * 2 + 1):
            times = [rng.lognormvariate(2, 0.5) for _ in range(rng.randint(1, 20))]
            fields = {
                "variant": ("a" if seq % 3 else "b") * 64,
                "requests": len(times),
                "errors": seq % 2,
                "not_finite": int(seq == 4),
                "latency": latency(*times) if seq % 5 else None,
                "labelled": len(times),
                "correct": rng.randint(0, len(times)),
                "predicted": {"0": len(times), str(seq % 4): 1},
            }
            found.append(window(seq, T0 + seq * 1_800_000 + rng.randint(0, 1_799_999), device, place, **fields))
    return found


def roll_up(store: Store, before_ms: int = FOREVER_MS, slice_of: int = 17) -> int:
    total = 0
    while done := store.telemetry.rollups.roll_up(before_ms, slice_of):
        total += done
    return total


def requests_by_hour(store: Store) -> list[tuple[int | None, int]]:
    return [(a.bucket_ms, a.counters.serving.requests) for a in aggregated(store.telemetry, (), bucket="hour")]


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


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: "-".join(question))
def test_every_answer_is_the_same_before_and_after_a_roll_up(store: Store, question: dict[str, Any]) -> None:
    windows = fleet()
    store.telemetry.windows.put(windows)
    before = aggregated(store.telemetry, **question)
    assert roll_up(store, T0 + 2 * HOUR_MS) > 0
    assert aggregated(store.telemetry, **question) == before
    roll_up(store)
    assert aggregated(store.telemetry, **question) == before
    assert before or question.get("version") == 2


def test_what_is_deleted_after_a_roll_up_still_counts(store: Store) -> None:
    windows = fleet()
    store.telemetry.windows.put(windows)
    before = aggregated(store.telemetry, ("variant", "region"), bucket="hour")
    roll_up(store)
    assert store.telemetry.rollups.forget_windows(FOREVER_MS, 0, 1000) == len(windows)
    assert store.telemetry.windows.count() == 0
    assert aggregated(store.telemetry, ("variant", "region"), bucket="hour") == before


def test_rolling_up_again_changes_nothing(store: Store) -> None:
    store.telemetry.windows.put(fleet())
    roll_up(store)
    once = (aggregated(store.telemetry, ()), store.telemetry.rollups.count())
    assert roll_up(store) == 0
    assert (aggregated(store.telemetry, ()), store.telemetry.rollups.count()) == once


def test_a_window_that_comes_late_is_added_to_its_hour(store: Store) -> None:
    store.telemetry.windows.put([window(1, T0, requests=3)])
    roll_up(store)
    store.telemetry.windows.put([window(2, T0 + 5 * HOUR_MS, started_ms=T0 + 60_000, clock_trusted=True, requests=4)])
    assert requests_by_hour(store) == [(T0, 7)]
    assert roll_up(store) == 1
    assert requests_by_hour(store) == [(T0, 7)]
    assert store.telemetry.rollups.count() == 2  # an hour and its day


@pytest.mark.parametrize("deleted", [False, True])
def test_a_window_sent_again_after_the_roll_up_counts_once(store: Store, deleted: bool) -> None:
    windows = [window(seq, requests=1) for seq in range(1, 6)]
    store.telemetry.windows.put(windows)
    roll_up(store)
    if deleted:
        assert store.telemetry.rollups.forget_windows(FOREVER_MS, 0, 1000) == 5
    assert store.telemetry.windows.put(windows) == {("d", INCARNATION): 5}
    roll_up(store)
    assert aggregated(store.telemetry, ())[0].counters.serving.requests == 5


def test_what_comes_after_deleted_windows_is_acknowledged(store: Store) -> None:
    store.telemetry.windows.put([window(1), window(2)])
    roll_up(store)
    store.telemetry.rollups.forget_windows(FOREVER_MS, 0, 1000)
    assert store.telemetry.windows.put([window(3)]) == {("d", INCARNATION): 3}


def test_a_window_is_deleted_only_once_it_is_acknowledged_or_abandoned(store: Store) -> None:
    store.telemetry.windows.put([window(1), window(3)])
    roll_up(store)
    assert store.telemetry.rollups.forget_windows(FOREVER_MS, 0, 1000) == 1
    assert store.telemetry.windows.count() == 1
    assert store.telemetry.windows.put([window(2)]) == {("d", INCARNATION): 3}
    store.telemetry.windows.put([window(5, device="gone")])
    roll_up(store)
    assert store.telemetry.rollups.forget_windows(FOREVER_MS, FOREVER_MS, 1000) == 3


def test_a_window_that_is_in_no_roll_up_is_never_deleted(store: Store) -> None:
    store.telemetry.windows.put([window(1)])
    assert store.telemetry.rollups.forget_windows(FOREVER_MS, FOREVER_MS, 1000) == 0


def test_half_a_roll_up_is_never_kept(tmp_path: Path) -> None:
    first = open_store(tmp_path)
    first.telemetry.windows.put(fleet())
    before = aggregated(first.telemetry, ("variant",))
    first.telemetry.rollups.roll_up(FOREVER_MS, 20)
    with pytest.raises(RuntimeError), first.telemetry.transaction():
        first.telemetry.rollups.roll_up(FOREVER_MS, 20)
        raise RuntimeError("killed before COMMIT")
    first.close()
    second = open_store(tmp_path)
    assert roll_up(second) == len(fleet()) - 20
    assert aggregated(second.telemetry, ("variant",)) == before
    second.close()


def test_windows_of_a_device_that_had_not_reported_are_rolled_up_as_of_nowhere(store: Store) -> None:
    told = window(1).window
    store.telemetry.windows.put([StoredWindow("d", told, None, T0)])
    roll_up(store)
    assert [a.group for a in aggregated(store.telemetry, ("region", "link"))] == [{"region": None, "link": None}]


def test_old_days_go_with_their_hours(store: Store) -> None:
    store.telemetry.windows.put([window(1, T0), window(2, T0 + HOUR_MS), window(3, T0 + DAY_MS)])
    roll_up(store)
    assert store.telemetry.rollups.forget_rollups(T0 + DAY_MS - 1) == 0
    assert store.telemetry.rollups.forget_rollups(T0 + DAY_MS) == 3
    assert [a.bucket_ms for a in aggregated(store.telemetry, (), bucket="hour")] == [T0 + DAY_MS]
    assert [a.bucket_ms for a in aggregated(store.telemetry, (), bucket="day")] == [T0 + DAY_MS]


@pytest.mark.parametrize(
    ("started", "trusted", "at"),
    [
        (T0 - 3 * HOUR_MS, True, T0 - 3 * HOUR_MS),
        (T0 - 3 * HOUR_MS, False, T0),
        (None, True, T0),
        (T0 + 1, True, T0),
        (T0 - 8 * DAY_MS, True, T0),
        (0, True, T0),
    ],
)
def test_when_a_window_was_measured_is_told_by_a_trusted_and_possible_clock(
    started: int | None, trusted: bool, at: int
) -> None:
    assert window(1, T0, started_ms=started, clock_trusted=trusted).at_ms == at


def test_huge_counts_overflow_nothing(store: Store) -> None:
    most = 2**40 - 1  # the largest that a window may hold
    huge = LatencyHistogram()
    huge._counts, huge.count = {10: 2**55 - 1, 200: 2**55 - 1}, 2**56 - 2
    counts = {"requests": most, "errors": most, "not_finite": most, "labelled": most, "correct": most}
    for round_ in range(3):
        first = round_ * 10 + 1
        fields: dict[str, Any] = {**counts, "latency": huge.encode(), "predicted": {"0": most}}
        store.telemetry.windows.put([window(seq, **fields) for seq in range(first, first + 10)])
        roll_up(store)
    (merged,) = aggregated(store.telemetry, ())
    assert merged.counters.serving.requests == 30 * most
    assert merged.counters.scored == Moments.of_hits(30 * most, 30 * most)
    assert merged.counters.categories["0"] == 30 * most
    assert merged.windows == 30
    for percent in (0.001, 50, 99.999, 100):
        assert merged.counters.serving.latency.percentile_ms(percent) is not None


def test_a_histogram_that_cannot_be_read_leaves_the_counts(store: Store) -> None:
    store.telemetry.windows.put([window(1, requests=2, latency="rubbish"), window(2, requests=3, latency=latency(5))])
    roll_up(store)
    (merged,) = aggregated(store.telemetry, ())
    assert (merged.counters.serving.requests, merged.counters.serving.latency.count) == (5, 1)


def test_reading_sees_one_moment_while_windows_are_rolled_up(store: Store) -> None:
    store.telemetry.windows.put(fleet())

    def roll_up_meanwhile(_: Origin) -> bool:
        store.telemetry.rollups.roll_up(FOREVER_MS, 1000)
        return True

    (merged,) = aggregated(store.telemetry, (), selects=roll_up_meanwhile)
    assert merged.windows == len(fleet())


H = HOUR_MS


@pytest.mark.parametrize(
    ("since", "until", "kept", "read"),
    [
        (0, 3 * H, 0, [Span("hours", 0, 3 * H), Span("unrolled", 0, 3 * H)]),
        (
            H + 5,
            3 * H + 5,
            0,
            [
                Span("rolled", H + 5, 2 * H),
                Span("hours", 2 * H, 3 * H),
                Span("rolled", 3 * H, 3 * H + 5),
                Span("unrolled", H + 5, 3 * H + 5),
            ],
        ),
        (H + 5, H + 9, 0, [Span("rolled", H + 5, H + 9), Span("unrolled", H + 5, H + 9)]),
        (H + 5, H + 9, 2 * H, [Span("hours", H, 2 * H), Span("unrolled", H, 2 * H)]),
        (
            2 * H,
            3 * DAY_MS + H,
            0,
            [
                Span("hours", 2 * H, DAY_MS),
                Span("days", DAY_MS, 3 * DAY_MS),
                Span("hours", 3 * DAY_MS, 3 * DAY_MS + H),
                Span("unrolled", 2 * H, 3 * DAY_MS + H),
            ],
        ),
        (5, 5, 0, []),
        (9, 5, 0, []),
    ],
)
def test_whole_hours_and_days_are_read_from_roll_ups_and_the_rest_from_windows(
    since: int, until: int, kept: int, read: list[Span]
) -> None:
    assert spans(since, until, kept, windows_only=False) == read


def test_spans_cover_each_moment_once_for_rolled_and_once_for_unrolled_windows() -> None:
    rng = random.Random(3)
    for _ in range(500):
        since, until = rng.randint(0, 60 * H), rng.randint(0, 60 * H)
        found = spans(since, until, 0, windows_only=rng.random() < 0.3, by_hour=rng.random() < 0.3)
        for moment in (since - 1, since, until - 1, until, rng.randint(0, 60 * H)):
            asked = since <= moment < until
            within = [s.kind for s in found if s.since_ms <= moment < s.until_ms]
            assert within.count("unrolled") == asked
            assert sum(kind != "unrolled" for kind in within) == asked


def test_windows_of_the_first_schema_are_rolled_up_like_any(tmp_path: Path) -> None:
    older = sqlite_utils.Database(tmp_path / "telemetry.db")
    TELEMETRY.apply(older, stop_before="m002_rollups")
    older.execute(
        f"INSERT INTO windows VALUES ({', '.join('?' * 20)})",
        [
            "d",
            INCARNATION,
            1,
            T0 + 5,
            None,
            1,
            "fashion",
            1,
            "a" * 64,
            1,
            "eu",
            "rpi4",
            "lte",
            9,
            0,
            0,
            None,
            0,
            0,
            "{}",
        ],
    )
    older.execute("INSERT INTO acked VALUES ('d', ?, 1)", [INCARNATION])
    older.close()
    opened = open_store(tmp_path)
    assert roll_up(opened) == 1
    assert requests_by_hour(opened) == [(T0, 9)]
    opened.close()
