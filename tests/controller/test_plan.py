"""A plan is deterministic, spread over profiles, and says who is left out."""

from collections import Counter

from edgefleet_contract.rollouts import RolloutSpec, WaveRecord
from edgefleet_controller.records import RolloutRecord
from edgefleet_controller.rollouts.plan import Assigned, PlannedDevice, join, plan

CHOICES = {"eu/rpi4/lte": Assigned("v1", "m1", 10), "eu/rpi5/wifi": Assigned("v2", "m2", 10)}


def spec(*waves: float) -> RolloutSpec:
    return RolloutSpec(model="fashion", version=1, waves=waves)


def fleet(n: int, profile: str = "eu/rpi4/lte") -> list[PlannedDevice]:
    return [PlannedDevice(f"{profile.replace('/', '-')}-{i}", profile, None) for i in range(n)]


def test_the_same_spec_and_fleet_give_the_same_waves_whatever_the_rollouts_id() -> None:
    targets = fleet(50)
    first = plan("one", spec(0.1, 1), targets, CHOICES, 0)
    second = plan("two", spec(0.1, 1), list(reversed(targets)), CHOICES, 5)
    assert [(e.device, e.wave) for e in first.executions] == [(e.device, e.wave) for e in second.executions]


def test_waves_are_cumulative_shares_and_the_last_one_takes_everyone() -> None:
    planned = plan("r", spec(0.1, 0.5), fleet(20), CHOICES, 0)
    assert Counter(e.wave for e in planned.executions) == {1: 2, 2: 8, 3: 10}


def test_every_profile_is_in_the_first_wave_in_its_share() -> None:
    targets = fleet(30) + fleet(10, "eu/rpi5/wifi")
    first = [e for e in plan("r", spec(0.2, 1), targets, CHOICES, 0).executions if e.wave == 1]
    assert Counter(e.profile for e in first) == {"eu/rpi4/lte": 6, "eu/rpi5/wifi": 2}


def test_a_wave_that_would_be_empty_is_left_out() -> None:
    planned = plan("r", spec(0.01, 0.02, 1), fleet(3), CHOICES, 0)
    assert [w.number for w in planned.waves] == [1, 2]
    assert Counter(e.wave for e in planned.executions) == {1: 1, 2: 2}


def test_a_profile_without_a_variant_is_named_and_not_assigned() -> None:
    planned = plan("r", spec(1), fleet(1, "na/rpi4/lte"), CHOICES, 0)
    assert [e.phase for e in planned.executions] == ["no_variant"]


def test_a_device_that_answers_with_its_variant_has_nothing_to_install() -> None:
    planned = plan(
        "r", spec(1), [PlannedDevice("a", "eu/rpi4/lte", "v1"), PlannedDevice("b", "eu/rpi4/lte", "v0")], CHOICES, 0
    )
    assert {e.device: e.phase for e in planned.executions} == {"a": "already_installed", "b": "assigned"}


def test_a_device_whose_agent_lacks_what_its_variant_needs_is_deferred_and_the_plan_says_what() -> None:
    choices = {"eu/rpi4/lte": Assigned("v1", "m1", 10, needs=("pairs", "tasks"))}
    devices = [
        PlannedDevice("old", "eu/rpi4/lte", "v0"),
        PlannedDevice("half", "eu/rpi4/lte", "v0", features=frozenset({"tasks"})),
        PlannedDevice("new", "eu/rpi4/lte", "v0", features=frozenset({"tasks", "pairs", "more"})),
        PlannedDevice("told", "eu/rpi4/lte", "v1"),
    ]
    planned = {e.device: e for e in plan("r", spec(1), devices, choices, 0).executions}
    assert {d: e.phase for d, e in planned.items()} == {
        "old": "deferred",
        "half": "deferred",
        "new": "assigned",
        "told": "deferred",
    }
    assert planned["old"].detail == "its agent lacks pairs, tasks, which the variant needs: upgrade the agent"
    assert planned["half"].detail == "its agent lacks pairs, which the variant needs: upgrade the agent"
    running = RolloutRecord(
        id="r", spec=spec(1), state="running", waves=(WaveRecord(number=1, since_ms=0),), created_ms=0, changed_ms=0
    )
    assert join(running, devices[0], choices, 0).phase == "deferred"


def test_a_device_that_appears_later_is_in_the_wave_of_its_hash_and_never_in_one_that_has_passed() -> None:
    def running(*states: str) -> RolloutRecord:
        waves = tuple(
            WaveRecord.model_validate({"number": n, "state": s, "since_ms": 0}) for n, s in enumerate(states, 1)
        )
        return RolloutRecord(id="r", spec=spec(0.5, 1), state="running", waves=waves, created_ms=0, changed_ms=0)

    early = [join(running("staging", "pending"), t, CHOICES, 0).wave for t in fleet(200)]
    assert 70 < early.count(1) < 130
    assert {join(running("passed", "soaking"), t, CHOICES, 0).wave for t in fleet(200)} == {2}
