"""What the gate is shown of telemetry."""

from collections.abc import Mapping
from itertools import count
from typing import Any

import pytest
from tests.controller.asking import evidence as evidence_of
from tests.controller.store.making import latency, window

from edgefleet_controller.records import Evidence
from edgefleet_controller.store import TelemetryStore
from edgefleet_controller.store.contract.evidence import LATE_MS, MAX_TIMED, Compared, Switched
from edgefleet_controller.store.contract.rollups import HOUR_MS
from edgefleet_controller.store.contract.windows import StoredWindow
from edgefleet_protocol.counters import COUNTS, MOMENTS, Counters, ServingCounts
from edgefleet_protocol.latency import LatencyHistogram
from edgefleet_protocol.messages import Facts, TelemetryWindow
from edgefleet_protocol.moments import Moments

OLD, NEW = "a" * 64, "b" * 64
NOW = 1_700_000_000_000
FACTS = Facts(hardware="rpi4", region="eu", link="lte", arch="aarch64", cores=4, ram_mb=4096, simulated=True)


MINE = "1" * 32
GIVEN = 7
"""The generation that the device that has switched was given."""


def put(
    telemetry: TelemetryStore,
    device: str,
    seq: int,
    variant: str,
    at_ms: int,
    labelled: int,
    correct: int,
    **fields: Any,
) -> None:
    latency = LatencyHistogram()
    latency.record(0.001)
    given = {"incarnation": MINE, "generation": GIVEN if variant == NEW else 1, **fields}
    window = TelemetryWindow(
        seq=seq,
        first_kept_seq=1,
        model="fashion",
        model_version=1,
        variant=variant,
        duration_ms=1000,
        requests=labelled,
        labelled=labelled,
        correct=correct,
        labels_checked=True,
        latency=latency.encode(),
        **given,
    )
    telemetry.windows.put([StoredWindow(device, window, FACTS, at_ms)])


def compared(
    *switched: str, waiting: tuple[str, ...] = ("waiting",), mine: str = MINE, committed: bool = True
) -> dict[str, Compared]:
    """A rollout on one profile: `switched` has switched, `waiting` not yet."""
    told = {device: Switched(mine, GIVEN, committed) for device in switched or ("switched",)}
    return {"eu/rpi4/lte": Compared(NEW, frozenset({OLD}), told, dict.fromkeys(waiting, mine))}


def evidence(telemetry: TelemetryStore, *switched: str, **of: Any) -> Evidence:
    (found,) = evidence_of(telemetry, "fashion", compared(*switched, **of), NOW)
    return found


def counts(found: Evidence) -> list[dict[str, tuple[int, ...]]]:
    def told(side: Mapping[str, Counters]) -> dict[str, tuple[int, ...]]:
        return {
            device: (o.serving.requests, o.serving.errors, o.scored.n, o.scored.hits, o.serving.latency.count)
            for device, o in side.items()
        }

    return [told(found.new), {d: (o.n, o.hits) for d, o in found.before.items()}, told(found.control)]


def every_count() -> Counters:
    """Every count and every sum that there is, a new one too, each another number."""
    numbers = count(3)
    latency = LatencyHistogram()
    latency.record(0.001)
    serving = ServingCounts(latency, **{name: next(numbers) for name in COUNTS})
    moments = {name: Moments.of(*[0.5] * next(numbers)) for name in MOMENTS}
    moments["unchecked"] = moments["scored"]  # as of an agent that checks no labels
    return Counters(serving, categories={"cat": 1}, **moments)


class EvidenceContract:
    """What every kind of store must show the gate."""

    def test_new_before_and_control_are_kept_apart(self, telemetry: TelemetryStore) -> None:
        put(telemetry, "switched", 1, OLD, NOW - 1000, 10, 9)
        put(telemetry, "switched", 2, OLD, NOW + 1000, 5, 5)
        put(telemetry, "switched", 3, NEW, NOW + 2000, 7, 1)
        put(telemetry, "waiting", 1, OLD, NOW + 1000, 3, 3)
        put(telemetry, "waiting", 2, "c" * 64, NOW + 1000, 100, 0)
        new, before, control = counts(evidence(telemetry))
        assert new == {"switched": (7, 0, 7, 1, 1)}
        assert before == {"switched": (15, 14), "waiting": (3, 3)}
        assert control == {"waiting": (3, 0, 3, 3, 1)}, "who has switched is no control, nor is a third variant"

    def test_a_device_outside_the_rollout_is_no_evidence_of_any_kind(self, telemetry: TelemetryStore) -> None:
        put(telemetry, "outside", 1, OLD, NOW - 1000, 1_000_000, 0)
        put(telemetry, "outside", 2, OLD, NOW + 1000, 1_000_000, 0)
        put(telemetry, "outside", 3, NEW, NOW + 2000, 1_000_000, 0)
        assert counts(evidence(telemetry)) == [{}, {}, {}]

    @pytest.mark.parametrize(
        "fields", [{"incarnation": "2" * 32}, {"generation": GIVEN - 1}, {"generation": GIVEN + 1}], ids=str
    )
    def test_another_incarnation_or_generation_is_not_what_the_rollout_gave(
        self, telemetry: TelemetryStore, fields: dict[str, Any]
    ) -> None:
        put(telemetry, "switched", 1, NEW, NOW + 1000, 7, 1, **fields)
        put(telemetry, "switched", 2, NEW, NOW + 2000, 3, 3)
        assert counts(evidence(telemetry))[0] == {"switched": (3, 0, 3, 3, 1)}

    def test_what_another_incarnation_measured_before_is_no_baseline(self, telemetry: TelemetryStore) -> None:
        put(telemetry, "switched", 1, OLD, NOW - 1000, 50, 0, incarnation="2" * 32)
        put(telemetry, "switched", 1, OLD, NOW - 900, 50, 50)
        assert counts(evidence(telemetry))[1] == {"switched": (50, 50)}

    def test_a_device_that_becomes_another_leaves_what_it_measured_behind(self, telemetry: TelemetryStore) -> None:
        gathering = telemetry.evidence.gather("fashion", NOW)
        put(telemetry, "switched", 1, NEW, NOW + 1000, 7, 1)
        put(telemetry, "waiting", 1, OLD, NOW + 1000, 3, 3)
        assert all(counts(gathering.of(compared())[0]))
        assert counts(gathering.of(compared(mine="3" * 32))[0]) == [{}, {}, {}]

    def test_what_a_device_measures_in_its_trial_counts_once_it_has_committed(self, telemetry: TelemetryStore) -> None:
        gathering = telemetry.evidence.gather("fashion", NOW)
        put(telemetry, "switched", 1, NEW, NOW + 1000, 7, 1)
        assert counts(gathering.of(compared(committed=False))[0])[0] == {}
        assert counts(gathering.of(compared())[0])[0] == {"switched": (7, 0, 7, 1, 1)}

    def test_what_has_been_rolled_up_still_counts_as_before_and_only_once(self, telemetry: TelemetryStore) -> None:
        put(telemetry, "switched", 1, OLD, NOW - 5 * HOUR_MS, 10, 9)
        put(telemetry, "switched", 2, OLD, NOW + 1000, 5, 5)
        while telemetry.rollups.roll_up(NOW - HOUR_MS, 100):
            pass
        assert counts(evidence(telemetry))[1] == {"switched": (15, 14)}

    def test_latencies_of_more_answers_than_requests_are_no_evidence(self, telemetry: TelemetryStore) -> None:
        for seq, requests in enumerate((0, 1, 2), start=1):
            two = {"requests": requests, "latency": latency(1, 2), "variant": NEW}
            telemetry.windows.put([window(seq, NOW, "switched", **two, incarnation=MINE, generation=GIVEN)])
        (new,) = evidence(telemetry).new.values()
        assert (new.serving.requests, new.serving.latency.count) == (3, 4), "of one request there cannot be two answers"

    @pytest.mark.parametrize("rolled", [False, True])
    def test_no_count_is_left_out(self, telemetry: TelemetryStore, rolled: bool) -> None:
        told = every_count()
        for seq, (device, variant, at_ms) in enumerate(
            [("switched", OLD, NOW - 5 * HOUR_MS), ("waiting", OLD, NOW + 1000), ("switched", NEW, NOW + 2000)], start=1
        ):
            stored = window(seq, at_ms, device, variant=variant, incarnation=MINE, generation=GIVEN)
            telemetry.windows.put([stored._replace(window=stored.window.with_counters(told))])
        if rolled:
            assert telemetry.rollups.roll_up(NOW - HOUR_MS, 100) == 1
        told.categories = {}  # the gate does not ask for them
        found = evidence(telemetry)
        assert (found.new, found.control) == ({"switched": told}, {"waiting": told})
        assert found.before == {"switched": told.scored, "waiting": told.scored}

    def test_a_profile_that_nobody_reported_on_is_no_evidence(self, telemetry: TelemetryStore) -> None:
        assert counts(evidence(telemetry)) == [{}, {}, {}]

    def test_what_arrives_later_is_added_and_nothing_is_counted_twice(self, telemetry: TelemetryStore) -> None:
        gathering = telemetry.evidence.gather("fashion", NOW)
        put(telemetry, "waiting", 1, OLD, NOW - 60_000, 2, 2)
        put(telemetry, "waiting", 2, OLD, NOW + 1000, 3, 3)
        put(telemetry, "switched", 1, NEW, NOW + 20_000, 7, 1)
        for _ in range(3):
            gathering.of(compared())
        put(telemetry, "switched", 2, NEW, NOW + 21_000, 4, 4)
        # Stamped before what was read already, and committed after it.
        put(telemetry, "waiting", 3, OLD, NOW + 19_000, 1, 0)
        (found,) = gathering.of(compared())
        assert counts(found) == counts(evidence(telemetry)), "the same as if it were read at once"
        assert counts(found) == [{"switched": (11, 0, 11, 5, 2)}, {"waiting": (6, 5)}, {"waiting": (4, 0, 4, 3, 2)}]

    def test_a_look_at_evidence_reads_only_what_has_arrived_since_the_last_one(self, telemetry: TelemetryStore) -> None:
        gathering = telemetry.evidence.gather("fashion", NOW)
        for seq in range(1, 200):
            put(telemetry, "switched", seq, NEW, NOW + seq * 1000, 1, 1)
        assert gathering.of(compared())[0].new["switched"].scored.n == 199
        with telemetry.evidence.snapshot() as snapshot:
            assert list(gathering._arrived(snapshot)) == []
            assert len(gathering._seen) <= LATE_MS / 1000 + 1, "and remembers no more than may still come late"

    def test_only_so_many_labelled_windows_from_before_are_read_the_newest_first(
        self, telemetry: TelemetryStore
    ) -> None:
        for seq in range(1, 5):
            put(telemetry, "switched", seq, OLD, NOW - 10_000 + seq, int(seq != 4), 0)
        with telemetry.evidence.snapshot() as snapshot:
            assert [w.seq for w in snapshot.labelled("fashion", NOW, 2)] == [3, 2], "window 4 has no labels"
            assert [w.seq for w in snapshot.labelled("fashion", NOW - 10_000 + 2, 9)] == [1]
            assert list(snapshot.labelled("other", NOW, 9)) == []

    def test_of_many_devices_only_some_are_timed_but_all_are_counted(self, telemetry: TelemetryStore) -> None:
        devices = [f"d{number}" for number in range(MAX_TIMED + 5)]
        for device in devices:
            put(telemetry, device, 1, NEW, NOW + 1000, 1, 1)
        found = evidence(telemetry, *devices).new
        assert sum(c.serving.latency.count for c in found.values()) == MAX_TIMED
        assert sum(c.scored.n for c in found.values()) == len(devices)
