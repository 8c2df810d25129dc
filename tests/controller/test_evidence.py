"""What the gate is shown of telemetry."""

from tests.controller.asking import evidence as evidence_of

from edgefleet_controller.records import Evidence
from edgefleet_controller.store import Store
from edgefleet_controller.store.contract.evidence import LATE_MS, Compared
from edgefleet_controller.store.contract.rollups import HOUR_MS
from edgefleet_controller.store.contract.windows import StoredWindow
from edgefleet_protocol.latency import LatencyHistogram
from edgefleet_protocol.messages import Facts, TelemetryWindow

OLD, NEW = "a" * 64, "b" * 64
NOW = 1_700_000_000_000
FACTS = Facts(hardware="rpi4", region="eu", link="lte", arch="aarch64", cores=4, ram_mb=4096, simulated=True)


def put(store: Store, device: str, seq: int, variant: str, at_ms: int, labelled: int, correct: int) -> None:
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
    store.telemetry.windows.put([StoredWindow(device, window, FACTS, at_ms)])


def evidence(store: Store, *, exposed: frozenset[str] = frozenset({"switched"})):
    (found,) = evidence_of(store.telemetry, "fashion", {"eu/rpi4/lte": Compared(NEW, frozenset({OLD}), exposed)}, NOW)
    return found


def counts(found: Evidence) -> list[tuple[int, ...]]:
    sides = (found.new, found.before, found.control)
    return [(o.serving.requests, o.serving.errors, o.scored.n, o.scored.hits, o.serving.latency.count) for o in sides]


def test_new_before_and_control_are_kept_apart(store: Store) -> None:
    put(store, "switched", 1, OLD, NOW - 1000, 10, 9)
    put(store, "switched", 2, OLD, NOW + 1000, 5, 5)
    put(store, "switched", 3, NEW, NOW + 2000, 7, 1)
    put(store, "waiting", 1, OLD, NOW + 1000, 3, 3)
    put(store, "waiting", 2, "c" * 64, NOW + 1000, 100, 0)
    found = evidence(store)
    assert (found.new.scored.n, found.new.scored.hits) == (7, 1)
    assert (found.before.scored.n, found.before.scored.hits) == (18, 17)
    assert found.control.scored.n == 3, "a device that has switched is no control, nor is a third variant"
    assert found.control.serving.latency.count == 1


def test_what_has_been_rolled_up_still_counts_as_before_and_only_once(store: Store) -> None:
    put(store, "switched", 1, OLD, NOW - 5 * HOUR_MS, 10, 9)
    put(store, "switched", 2, OLD, NOW + 1000, 5, 5)
    while store.telemetry.rollups.roll_up(NOW - HOUR_MS, 100):
        pass
    assert (evidence(store).before.scored.n, evidence(store).before.scored.hits) == (15, 14)


def test_a_profile_that_nobody_reported_on_is_no_evidence(store: Store) -> None:
    assert evidence(store).new.serving.requests == 0


def test_what_arrives_later_is_added_and_nothing_is_counted_twice(store: Store) -> None:
    compared = {"eu/rpi4/lte": Compared(NEW, frozenset({OLD}), frozenset({"switched"}))}
    gathering = store.telemetry.evidence.gather("fashion", NOW)
    put(store, "waiting", 1, OLD, NOW - 60_000, 2, 2)
    put(store, "waiting", 2, OLD, NOW + 1000, 3, 3)
    put(store, "switched", 1, NEW, NOW + 20_000, 7, 1)
    for _ in range(3):
        gathering.of(compared)
    put(store, "switched", 2, NEW, NOW + 21_000, 4, 4)
    # Stamped before what was read already, and committed after it.
    put(store, "waiting", 3, OLD, NOW + 19_000, 1, 0)
    (found,) = gathering.of(compared)
    assert counts(found) == counts(evidence(store)), "the same as if it were read at once"
    assert (found.new.scored.n, found.new.scored.hits) == (11, 5)
    assert (found.control.scored.n, found.before.scored.n) == (4, 6)
    assert found.new.serving.latency.count == 2


def test_a_look_at_evidence_reads_only_what_has_arrived_since_the_last_one(store: Store) -> None:
    compared = {"eu/rpi4/lte": Compared(NEW, frozenset({OLD}), frozenset({"switched"}))}
    gathering = store.telemetry.evidence.gather("fashion", NOW)
    for seq in range(1, 200):
        put(store, "switched", seq, NEW, NOW + seq * 1000, 1, 1)
    assert gathering.of(compared)[0].new.scored.n == 199
    with store.telemetry.evidence.snapshot() as snapshot:
        assert list(gathering._arrived(snapshot)) == []
        assert len(gathering._seen) <= LATE_MS / 1000 + 1, "and remembers no more than may still come late"
