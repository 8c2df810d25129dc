"""Two agents with one device id: found, told apart, passed over, and forgotten again."""

import pytest
from tests.controller.asking import aggregated

from edgefleet_contract.devices import AdmissionRecord, HeardRecord
from edgefleet_contract.rollouts import Gate, RolloutSpec
from edgefleet_controller.fleet.conflict import alternates, is_over
from edgefleet_controller.fleet.following import follow_up
from edgefleet_controller.fleet.identities import Identities
from edgefleet_controller.records import ManifestForm
from edgefleet_controller.rollouts.gate import judge
from edgefleet_controller.rollouts.offers import Assigned
from edgefleet_controller.rollouts.plan import PlannedDevice, plan
from edgefleet_controller.store import Store
from edgefleet_controller.store.contract.windows import StoredWindow
from edgefleet_controller.store.memory import new_store
from edgefleet_protocol.messages import TelemetryWindow

A, B, C = "a" * 32, "b" * 32, "c" * 32
WINDOW_S = 900
MINUTE = 60_000


@pytest.fixture
def store() -> Store:
    return new_store()


class Heard:
    """A store that is told of reports of one device, minute by minute."""

    def __init__(self, store: Store, reported) -> None:
        self.store, self._reported, self._reports = store, reported, 0
        self._identities = Identities(store.fleet, WINDOW_S)

    def hear(self, minute: float, incarnation: str) -> None:
        self._reports += 1
        now = round(minute * MINUTE)
        self._identities.hear("d", incarnation, now)
        follow_up(self.store)
        said = self._reported(incarnation=incarnation, report=self._reports)
        assert self.store.fleet.devices.put_report("d", said, now)

    @property
    def between(self) -> dict[str, int] | None:
        """The minute at which each of the incarnations in conflict was heard last."""
        found = self.store.fleet.conflicts.find("d")
        return {h.incarnation: h.last_seen_ms // MINUTE for h in found.incarnations} if found else None


@pytest.fixture
def heard(store: Store, reported) -> Heard:
    store.fleet.devices.admit(AdmissionRecord(device="d", accepted_ms=0))
    return Heard(store, reported)


def test_an_incarnation_that_follows_another_is_no_conflict(heard: Heard) -> None:
    for minute, who in enumerate([A, A, B, B, C, C]):
        heard.hear(minute, who)
    assert heard.between is None


def test_one_that_is_heard_again_after_another_is_in_conflict_with_it(heard: Heard) -> None:
    for minute, who in enumerate([A, B, A]):
        heard.hear(minute, who)
    assert heard.between == {A: 2, B: 1}
    heard.hear(3, B)
    assert heard.between == {A: 2, B: 3}
    assert [what for _, what, _ in heard.store.fleet.audit.of("d")] == ["conflict"], "told of once"


def test_one_that_comes_back_much_later_is_no_conflict(heard: Heard) -> None:
    heard.hear(0, A)
    heard.hear(1, B)
    heard.hear(17, A)
    assert heard.between is None


def test_three_agents_are_shown_all_three(heard: Heard) -> None:
    for minute, who in enumerate([A, B, C, A]):
        heard.hear(minute, who)
    assert heard.between == {A: 3, B: 1, C: 2}


def test_it_is_over_when_only_one_was_heard_for_the_window(heard: Heard) -> None:
    for minute, who in enumerate([A, B, A]):
        heard.hear(minute, who)
    heard.hear(16, A)
    assert heard.between is not None, "the other one was heard at minute 1"
    heard.hear(16.1, A)
    assert heard.between is None
    assert [what for _, what, _ in heard.store.fleet.audit.of("d")] == ["conflict", "conflict over"]


def test_it_is_over_when_the_device_is_removed(heard: Heard) -> None:
    for minute, who in enumerate([A, B, A]):
        heard.hear(minute, who)
    heard.store.fleet.devices.forget("d", 3 * MINUTE)
    assert heard.between is None
    heard.hear(4, B)
    assert heard.between is None, "nothing is remembered of before"


@pytest.mark.parametrize(("last_ms", "found"), [(100, True), (99, False)])
def test_the_window_is_counted_from_when_it_was_heard_before(last_ms: int, found: bool) -> None:
    others = [HeardRecord(incarnation=A, last_seen_ms=last_ms)]
    current = HeardRecord(incarnation=B, last_seen_ms=500)
    assert alternates(A, 1000, current, others, window_ms=900) is found
    assert is_over(B, 1000, others, window_ms=900) is not found


def test_what_was_under_way_ends_as_deferred_and_what_had_ended_stays(heard: Heard, execution, rollout) -> None:
    heard.store.fleet.rollouts.put(rollout("activating"))
    heard.store.fleet.rollouts.put_executions([execution("d", "trial"), execution("other", "trial")])
    for minute, who in enumerate([A, B, A]):
        heard.hear(minute, who)
    ended = {e.device: (e.phase, e.detail) for e in heard.store.fleet.rollouts.executions("01")}
    assert ended["other"] == ("trial", None)
    phase, detail = ended["d"]
    assert phase == "deferred"
    assert detail is not None
    assert A in detail
    assert B in detail


def test_a_gate_does_not_count_who_is_deferred(execution) -> None:
    gate = Gate(min_decided=1, soak_s=1)
    wave = [execution("d", "deferred"), execution("e", "committed")]
    said = judge(gate, wave, [], soaked_s=2, past_deadline=True)
    assert (said.outcome, said.reason) == ("passed", "1 of 1 decided device committed; not counted: 1 deferred")
    assert judge(gate, wave[:1], [], soaked_s=2, past_deadline=True).outcome == "inconclusive"


def test_a_plan_names_a_device_in_conflict_and_gives_it_nothing() -> None:
    targets = [PlannedDevice("d", "eu/rpi4/lte", None, in_conflict=True), PlannedDevice("e", "eu/rpi4/lte", None)]
    spec = RolloutSpec(model="fashion", version=1, waves=(1.0,))
    planned = plan("01", spec, targets, {"eu/rpi4/lte": Assigned("b" * 64, (ManifestForm("c" * 64, 10),))}, 0)
    phases = {e.device: (e.phase, e.detail) for e in planned.executions}
    assert phases["e"] == ("assigned", None)
    assert phases["d"][0] == "deferred"
    assert "two agents report" in (phases["d"][1] or "")


def window(incarnation: str, seq: int) -> TelemetryWindow:
    return TelemetryWindow(
        **{"incarnation": incarnation, "seq": seq, "first_kept_seq": 1, "model": "fashion", "model_version": 1},
        **{"variant": "a" * 64, "generation": 1, "duration_ms": 1, "requests": 5},
    )


def test_windows_of_both_are_kept_and_are_no_profiles(heard: Heard) -> None:
    store = heard.store

    def send(minute: float, incarnation: str, seq: int) -> None:
        place = store.fleet.devices.senders(["d"])["d"]
        store.telemetry.windows.put([StoredWindow("d", window(incarnation, seq), place, round(minute * MINUTE))])

    heard.hear(0, A)
    send(0.5, A, 1)
    heard.hear(20, A)
    heard.hear(21, B)
    send(21.5, B, 1)
    heard.hear(22, A)
    send(22.5, A, 2)
    by_region = {a.group["region"]: a.windows for a in aggregated(store.telemetry, ("region",))}
    assert by_region == {"eu": 1, None: 2}
    assert store.telemetry.windows.count("d") == 3
    assert (store.telemetry.windows.through("d", A), store.telemetry.windows.through("d", B)) == (2, 1)
