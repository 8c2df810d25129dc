"""What the gate is shown of telemetry."""

from itertools import count

import pytest
from tests.controller.asking import evidence as evidence_of
from tests.controller.store.making import window

from edgefleet_controller.records import Evidence
from edgefleet_controller.store import TelemetryStore
from edgefleet_controller.store.contract.evidence import LATE_MS, Compared
from edgefleet_controller.store.contract.rollups import HOUR_MS
from edgefleet_controller.store.contract.windows import StoredWindow
from edgefleet_protocol.counters import COUNTS, MOMENTS, Counters, Moments, ServingCounts
from edgefleet_protocol.latency import LatencyHistogram
from edgefleet_protocol.messages import Facts, TelemetryWindow

OLD, NEW = "a" * 64, "b" * 64
NOW = 1_700_000_000_000
FACTS = Facts(hardware="rpi4", region="eu", link="lte", arch="aarch64", cores=4, ram_mb=4096, simulated=True)


def put(
    telemetry: TelemetryStore, device: str, seq: int, variant: str, at_ms: int, labelled: int, correct: int
) -> None:
    latency = LatencyHistogram()
    latency.record(0.001)
    window = TelemetryWindow(
        incarnation="1" * 32,
        seq=seq,
        first_kept_seq=1,
        model="fashion",
        model_version=1,
        variant=variant,
        generation=1,
        duration_ms=1000,
        requests=labelled,
        labelled=labelled,
        correct=correct,
        latency=latency.encode(),
    )
    telemetry.windows.put([StoredWindow(device, window, FACTS, at_ms)])


def evidence(telemetry: TelemetryStore, *, exposed: frozenset[str] = frozenset({"switched"})):
    (found,) = evidence_of(telemetry, "fashion", {"eu/rpi4/lte": Compared(NEW, frozenset({OLD}), exposed)}, NOW)
    return found


def counts(found: Evidence) -> list[tuple[int, ...]]:
    sides = (found.new, found.before, found.control)
    return [(o.serving.requests, o.serving.errors, o.scored.n, o.scored.hits, o.serving.latency.count) for o in sides]


def every_count() -> Counters:
    """Every count and every sum that there is, a new one too, each another number."""
    numbers = count(3)
    latency = LatencyHistogram()
    latency.record(0.001)
    serving = ServingCounts(latency, **{name: next(numbers) for name in COUNTS})
    moments = {name: Moments.of(*[0.5] * next(numbers)) for name in MOMENTS}
    return Counters(serving, categories={"cat": 1}, **moments)


class EvidenceContract:
    """What every kind of store must show the gate."""

    def test_new_before_and_control_are_kept_apart(self, telemetry: TelemetryStore) -> None:
        put(telemetry, "switched", 1, OLD, NOW - 1000, 10, 9)
        put(telemetry, "switched", 2, OLD, NOW + 1000, 5, 5)
        put(telemetry, "switched", 3, NEW, NOW + 2000, 7, 1)
        put(telemetry, "waiting", 1, OLD, NOW + 1000, 3, 3)
        put(telemetry, "waiting", 2, "c" * 64, NOW + 1000, 100, 0)
        found = evidence(telemetry)
        assert (found.new.scored.n, found.new.scored.hits) == (7, 1)
        assert (found.before.scored.n, found.before.scored.hits) == (18, 17)
        assert found.control.scored.n == 3, "a device that has switched is no control, nor is a third variant"
        assert found.control.serving.latency.count == 1

    def test_what_has_been_rolled_up_still_counts_as_before_and_only_once(self, telemetry: TelemetryStore) -> None:
        put(telemetry, "switched", 1, OLD, NOW - 5 * HOUR_MS, 10, 9)
        put(telemetry, "switched", 2, OLD, NOW + 1000, 5, 5)
        while telemetry.rollups.roll_up(NOW - HOUR_MS, 100):
            pass
        assert (evidence(telemetry).before.scored.n, evidence(telemetry).before.scored.hits) == (15, 14)

    @pytest.mark.parametrize("rolled", [False, True])
    def test_no_count_is_left_out(self, telemetry: TelemetryStore, rolled: bool) -> None:
        told = every_count()
        for seq, (device, variant, at_ms) in enumerate(
            [("switched", OLD, NOW - 5 * HOUR_MS), ("waiting", OLD, NOW + 1000), ("switched", NEW, NOW + 2000)], start=1
        ):
            stored = window(seq, at_ms, device, variant=variant)
            telemetry.windows.put([stored._replace(window=stored.window.with_counters(told))])
        if rolled:
            assert telemetry.rollups.roll_up(NOW - HOUR_MS, 100) == 1
        told.categories = {}  # the gate does not ask for them, nor for how fast an old variant was
        twice = Counters()
        for _ in range(2):
            twice.add(told)
        twice.serving.latency = LatencyHistogram()
        found = evidence(telemetry)
        assert (found.new, found.control, found.before) == (told, told, twice)

    def test_a_profile_that_nobody_reported_on_is_no_evidence(self, telemetry: TelemetryStore) -> None:
        assert evidence(telemetry).new.serving.requests == 0

    def test_what_arrives_later_is_added_and_nothing_is_counted_twice(self, telemetry: TelemetryStore) -> None:
        compared = {"eu/rpi4/lte": Compared(NEW, frozenset({OLD}), frozenset({"switched"}))}
        gathering = telemetry.evidence.gather("fashion", NOW)
        put(telemetry, "waiting", 1, OLD, NOW - 60_000, 2, 2)
        put(telemetry, "waiting", 2, OLD, NOW + 1000, 3, 3)
        put(telemetry, "switched", 1, NEW, NOW + 20_000, 7, 1)
        for _ in range(3):
            gathering.of(compared)
        put(telemetry, "switched", 2, NEW, NOW + 21_000, 4, 4)
        # Stamped before what was read already, and committed after it.
        put(telemetry, "waiting", 3, OLD, NOW + 19_000, 1, 0)
        (found,) = gathering.of(compared)
        assert counts(found) == counts(evidence(telemetry)), "the same as if it were read at once"
        assert (found.new.scored.n, found.new.scored.hits) == (11, 5)
        assert (found.control.scored.n, found.before.scored.n) == (4, 6)
        assert found.new.serving.latency.count == 2

    def test_a_look_at_evidence_reads_only_what_has_arrived_since_the_last_one(self, telemetry: TelemetryStore) -> None:
        compared = {"eu/rpi4/lte": Compared(NEW, frozenset({OLD}), frozenset({"switched"}))}
        gathering = telemetry.evidence.gather("fashion", NOW)
        for seq in range(1, 200):
            put(telemetry, "switched", seq, NEW, NOW + seq * 1000, 1, 1)
        assert gathering.of(compared)[0].new.scored.n == 199
        with telemetry.evidence.snapshot() as snapshot:
            assert list(gathering._arrived(snapshot)) == []
            assert len(gathering._seen) <= LATE_MS / 1000 + 1, "and remembers no more than may still come late"
