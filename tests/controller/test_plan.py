"""A plan is deterministic, spread over profiles, and says who is left out."""

from collections import Counter

import pytest

from edgefleet_compression.pricing.choosing import NEAREST
from edgefleet_contract.rollouts import RolloutSpec, WaveRecord
from edgefleet_controller.records import ChoiceRecord, ManifestForm, RolloutRecord
from edgefleet_controller.rollouts.forms import fitting
from edgefleet_controller.rollouts.offers import Assigned, NoVariant, offer
from edgefleet_controller.rollouts.passed_over import words
from edgefleet_controller.rollouts.plan import PlannedDevice, join, plan
from edgefleet_protocol.phases import ENDED_OTHERWISE

FORM = ManifestForm("m1", 10)
CHOICES = {"eu/rpi4/lte": Assigned("v1", (FORM,)), "eu/rpi5/wifi": Assigned("v2", (FORM,))}


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
    assert [(e.phase, e.detail and e.detail[:32]) for e in planned.executions] == [
        ("no_variant", "fashion@1 was not compressed for")
    ]


def test_a_device_that_answers_with_its_variant_has_nothing_to_install() -> None:
    planned = plan(
        "r", spec(1), [PlannedDevice("a", "eu/rpi4/lte", "v1"), PlannedDevice("b", "eu/rpi4/lte", "v0")], CHOICES, 0
    )
    assert {e.device: e.phase for e in planned.executions} == {"a": "already_installed", "b": "assigned"}


def test_a_device_whose_agent_lacks_what_its_variant_needs_is_deferred_and_the_plan_says_what() -> None:
    choices = {"eu/rpi4/lte": Assigned("v1", (FORM._replace(needs=("pairs", "tasks")),))}
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


def test_each_device_is_given_the_newest_form_that_its_agent_obeys() -> None:
    forms = (ManifestForm("newest", 10, ("pairs", "tasks")), ManifestForm("older", 20, ("tasks",)))
    choices = {"eu/rpi4/lte": Assigned("v1", forms)}
    devices = [
        PlannedDevice("new", "eu/rpi4/lte", "v0", features=frozenset({"tasks", "pairs", "more"})),
        PlannedDevice("half", "eu/rpi4/lte", "v0", features=frozenset({"tasks"})),
        PlannedDevice("old", "eu/rpi4/lte", "v0"),
    ]
    planned = {e.device: e for e in plan("r", spec(1), devices, choices, 0).executions}
    assert {d: (e.variant, e.phase) for d, e in planned.items()} == {
        "new": ("v1", "assigned"),
        "half": ("v1", "assigned"),
        "old": ("v1", "deferred"),
    }
    assert (planned["new"].manifest, planned["new"].manifest_bytes) == ("newest", 10)
    assert (planned["half"].manifest, planned["half"].manifest_bytes) == ("older", 20)
    assert planned["old"].detail == "its agent lacks pairs, tasks, which the variant needs: upgrade the agent"
    assert fitting(forms, {"tasks", "pairs"}, held="older") == forms[1], "what a device has is no download"
    assert fitting(forms, {"tasks"}, held="newest") == forms[1]


def test_a_device_that_appears_later_is_in_the_wave_of_its_hash_and_never_in_one_that_has_passed() -> None:
    def running(*states: str) -> RolloutRecord:
        waves = tuple(
            WaveRecord.model_validate({"number": n, "state": s, "since_ms": 0}) for n, s in enumerate(states, 1)
        )
        return RolloutRecord(id="r", spec=spec(0.5, 1), state="running", waves=waves, created_ms=0, changed_ms=0)

    early = [join(running("staging", "pending"), t, CHOICES, 0).wave for t in fleet(200)]
    assert 70 < early.count(1) < 130
    assert {join(running("passed", "soaking"), t, CHOICES, 0).wave for t in fleet(200)} == {2}


def test_waves_are_shares_of_the_devices_that_have_something_to_install() -> None:
    planned = plan("r", spec(0.1, 0.5, 1), fleet(20) + fleet(80, "na/rpi4/lte"), CHOICES, 0)
    assert Counter(e.wave for e in planned.executions if e.phase == "assigned") == {1: 2, 2: 8, 3: 10}
    assert len(planned.executions) == 100
    assert {e.wave for e in planned.executions} == {1, 2, 3}
    assert planned.end is None


def test_no_wave_is_planned_without_anything_to_install() -> None:
    targets = [device._replace(answering="v1") for device in fleet(40)]
    targets[7] = targets[7]._replace(answering="v0")
    planned = plan("r", spec(0.1, 0.5, 1), targets, CHOICES, 0)
    assert [(w.number, w.state) for w in planned.waves] == [(1, "pending")]
    assert {e.wave for e in planned.executions} == {1}


@pytest.mark.parametrize(
    ("answering", "offered", "state", "said"),
    [
        ("v0", {"eu/rpi4/lte": NoVariant("too slow")}, "cancelled", "2 without a variant; eu/rpi4/lte: too slow"),
        (
            *("v0", {}, "cancelled"),
            "2 without a variant; eu/rpi4/lte: fashion@1 was not compressed for this profile: "
            "run `edgefleet compress fashion@1`",
        ),
        ("v1", CHOICES, "completed", "2 already running it"),
    ],
)
def test_a_rollout_without_anything_to_install_ends_at_once(answering: str, offered, state: str, said: str) -> None:
    planned = plan("r", spec(0.5, 1), [d._replace(answering=answering) for d in fleet(2)], offered, 0)
    assert planned.end == (state, f"nothing to install: {said}")
    assert [w.state for w in planned.waves] == ["skipped"]


@pytest.mark.parametrize(("reasons", "end"), [(3, ": reason 1"), (4, "and 1 more reason"), (5, "and 2 more reasons")])
def test_of_many_reasons_three_are_told_and_the_rest_is_counted(reasons: int, end: str) -> None:
    offered = {f"r{n}/rpi4/lte": NoVariant(f"reason {n}") for n in range(1, reasons + 1)}
    targets = [PlannedDevice(f"d{n}", profile, "v0") for n, profile in enumerate(offered)]
    planned = plan("r", spec(1), targets, offered, 0)
    assert planned.end and planned.end.reason.endswith(end)


def test_a_rollout_of_which_a_part_runs_the_variant_is_completed_and_says_who_does_not() -> None:
    targets = [PlannedDevice("a", "eu/rpi4/lte", "v1"), *fleet(1, "na/rpi4/lte")]
    planned = plan("r", spec(1), [*targets, PlannedDevice("c", "eu/rpi4/lte", "v0", in_conflict=True)], CHOICES, 0)
    assert planned.end and planned.end.state == "completed"
    assert planned.end.reason.startswith("nothing to install: 1 without a variant, 1 already running it, 1 deferred; ")


def test_every_way_of_not_being_counted_has_a_name(execution) -> None:
    assert words(execution(phase, phase) for phase in ENDED_OTHERWISE).count(", ") == len(ENDED_OTHERWISE) - 1
    assert words([execution("a", "committed"), execution("b", "unreachable")]) == ""


def test_why_there_is_no_variant_is_told_nearest_first_and_never_at_length(variant) -> None:
    def why(reasons: dict[str, str]) -> str:
        choice = ChoiceRecord(model="fashion", version=1, profile="p", variant=None, reasons=reasons)
        found = offer(choice, {v: variant(id=v) for v in reasons if v != "gone"})
        assert isinstance(found, NoVariant)
        return found.why

    assert why({"1": "delivers 9 bytes, at most 5 allowed"}) == (
        "none of 1 variant fits: delivers 9 bytes, at most 5 allowed"
    )
    made = {str(n): "made for avx2, this is neon" for n in range(3)}
    others = {f"o{n}": f"delivers {n} bytes" for n in range(4)}
    assert why({**made, **others, "near": f"{NEAREST}0 bytes", "gone": "of another day"}) == (
        "none of 8 variants fits: nearest of all: 0 bytes; made for avx2, this is neon (3 of them); delivers 0 bytes; "
        "and 3 more"
    )
    assert why({}) == "no variant was built for it"
