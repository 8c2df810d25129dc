"""The demo's verdict: it succeeds only if the loop closed on every device."""

import copy

import pytest

from edgefleet_operator.demo.report import choice_lines, faults, make_report

VARIANTS = [
    {
        "id": letter * 64,
        "model": "fashion@1",
        "recipe": recipe,
        "title": recipe,
        "instruction_sets": [],
        "accuracy": 0.9,
        "accuracy_ci": (0.88, 0.92),
        "agreement": 0.95,
        "file_bytes": 10,
        "encoding_bytes": 5,
        "delivery_bytes": 7,
        "p50_ms": 0.1,
        "p95_ms": 0.2,
        "measured_on": "this host",
    }
    for letter, recipe in (("a", "fp32"), ("b", "int8"), ("c", "student"))
]


ROLLOUT = {
    "id": "r",
    "model": "fashion@1",
    "segment": "all",
    "state": "completed",
    "reason": None,
    "counts": {},
    "counts_back": {},
    "waves": [{"evidence": ["one: 60 labels"]}, {"evidence": []}],
}
WANTED = {"r": "completed"}


def device(name: str, letter: str) -> dict:
    return {
        "id": name,
        "profile": f"eu/{name}/lte",
        "region": "eu",
        "hardware": name,
        "link": "lte",
        "simulated": True,
        "models": {"fashion": {"answering": {"variant": letter * 64}}},
    }


def telemetry(name: str, letter: str, labelled: int) -> dict:
    figures = {"p50_ms": 1.0, "p95_ms": 2.0, "accuracy": 0.9, "labelled": labelled, "requests": labelled, "errors": 0}
    return {"group": {"device": name, "variant": letter * 64}, **figures}


@pytest.fixture
def report() -> dict:
    fleet = {"one": "a", "two": "b", "three": "c"}
    executions = [
        {"device": "one", "wave": 1, "directive": "activate"},
        {"device": "two", "wave": 2, "directive": "none"},
    ]
    return make_report(
        [ROLLOUT],
        {"r": executions},
        VARIANTS,
        {f"eu/{name}/lte": {"variant": letter * 64, "reasons": {}} for name, letter in fleet.items()},
        [device(name, letter) for name, letter in fleet.items()],
        {name: {"phase": "committed", "transfer_s": 1.5, "transfer_bytes": 7} for name in fleet},
        [telemetry(name, letter, 100) for name, letter in fleet.items()],
    )


def test_a_device_shows_what_it_measured_itself(report: dict) -> None:
    shown = report["devices"][0]
    assert (shown["recipe"], shown["p95_ms"], shown["accuracy"], shown["samples"]) == ("fp32", 2.0, 0.9, 100)
    assert faults(report, WANTED) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"phase": "failed_rolled_back"}, "not committed"),
        ({"variant": "b" * 64}, "not the variant chosen"),
        ({"variant": None, "recipe": None}, "not the variant chosen"),
        ({"chosen": None}, "not the variant chosen"),
        ({"samples": 0}, "no labelled answer"),
    ],
)
def test_what_is_not_as_it_should_be_is_named(report: dict, change: dict, said: str) -> None:
    broken = copy.deepcopy(report)
    broken["devices"][0].update(change)
    assert any("one" in fault and said in fault for fault in faults(broken, WANTED))


def test_a_rollout_that_did_not_complete_is_named_with_its_reason(report: dict) -> None:
    report["rollouts"][0].update(state="paused", reason="wave 1 is failed")
    assert faults(report, WANTED) == ["rollout r of fashion@1 is paused, not completed: wave 1 is failed"]


def test_a_rollout_that_should_stop_must_stop_in_its_first_wave(report: dict) -> None:
    rollout = report["rollouts"][0]
    assert (rollout["devices_exposed"], rollout["evidence"]) == (["one"], ["one: 60 labels"])
    rollout["state"] = "rolled_back"
    assert faults(report, {"r": "rolled_back"}) == []
    rollout["devices_exposed"] = ["one", "two"]
    assert any("first wave" in fault for fault in faults(report, {"r": "rolled_back"}))
    rollout["devices_exposed"] = []
    assert any("first wave" in fault for fault in faults(report, {"r": "rolled_back"}))


def test_answers_of_another_variant_do_not_count_for_the_one_that_was_chosen() -> None:
    shown = make_report([], {}, VARIANTS, {}, [device("one", "a")], {}, [telemetry("one", "b", 100)])
    assert shown["devices"][0]["samples"] == 0


def test_every_variant_has_its_reason_for_or_against() -> None:
    choice = {
        "profile": "eu/one/lte",
        "variant": "a" * 64,
        "reasons": {v["id"]: f"because {v['recipe']}" for v in VARIANTS},
    }
    lines = list(choice_lines([choice], VARIANTS))
    assert len(lines) == 3
    assert "because fp32" in lines[0]
    assert "not int8: because int8" in lines[1]
