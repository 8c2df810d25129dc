"""The demo's verdict: it succeeds only if the loop closed on every device."""

from typing import Any

import pytest
from rich.console import Console

from edgefleet_contract.choices import ChoiceView
from edgefleet_contract.devices import DeviceModelView, DeviceView
from edgefleet_contract.rollouts import ExecutionRecord, RolloutView, WaveView
from edgefleet_contract.telemetry import TelemetryView
from edgefleet_contract.variants import VariantView
from edgefleet_operator.demo.report import (
    DemoReport,
    choice_lines,
    faults,
    make_report,
    print_devices,
    print_variants,
)
from edgefleet_protocol.messages import Slot

VARIANTS = [
    VariantView.model_construct(id=letter * 64, model="fashion@1", recipe=recipe, title=recipe, instruction_sets=[])
    for letter, recipe in (("a", "fp32"), ("b", "int8"), ("c", "student"))
]
ROLLOUT = RolloutView.model_construct(
    id="r",
    model="fashion@1",
    segment="all",
    state="completed",
    reason=None,
    counts={},
    counts_back={},
    waves=[
        WaveView(number=1, since_ms=0, counts={}, evidence=("one: 60 labels",)),
        WaveView(number=2, since_ms=0, counts={}),
    ],
)
WANTED = {"r": "completed"}


def device(name: str, letter: str) -> DeviceView:
    answering = Slot(variant=letter * 64, manifest=letter * 64, model_version=1, generation=1)
    model = DeviceModelView.model_construct(answering=answering)
    place = {"region": "eu", "hardware": name, "link": "lte"}
    return DeviceView.model_construct(
        id=name, profile=f"eu/{name}/lte", simulated=True, models={"fashion": model}, **place
    )


def chosen(profile: str, letter: str) -> ChoiceView:
    return ChoiceView(profile=profile, variant=letter * 64, reasons={})


def execution(name: str, wave: int, directive: str) -> ExecutionRecord:
    fields: dict[str, Any] = {"directive": directive, "phase": "committed", "transfer_s": 1.5, "transfer_bytes": 7}
    given = {"rollout": "r", "device": name, "wave": wave, "profile": f"eu/{name}/lte", "variant": None}
    return ExecutionRecord(**given, manifest=None, manifest_bytes=0, changed_ms=0, **fields)


def telemetry(name: str, letter: str, labelled: int) -> TelemetryView:
    return TelemetryView(
        group={"device": name, "variant": letter * 64},
        bucket_ms=None,
        windows=1,
        requests=labelled,
        errors=0,
        not_finite=0,
        p50_ms=1.0,
        p95_ms=2.0,
        p99_ms=3.0,
        labelled=labelled,
        correct=labelled,
        accuracy=0.9,
        predicted={},
    )


@pytest.fixture
def report() -> DemoReport:
    fleet = {"one": "a", "two": "b", "three": "c"}
    executions = [execution("one", 1, "activate"), execution("two", 2, "none"), execution("three", 2, "none")]
    return make_report(
        [ROLLOUT],
        {"r": executions},
        VARIANTS,
        {
            p: ChoiceView(profile=p, variant=v * 64, reasons={})
            for p, v in ((f"eu/{n}/lte", v) for n, v in fleet.items())
        },
        [device(name, letter) for name, letter in fleet.items()],
        [telemetry(name, letter, 100) for name, letter in fleet.items()],
    )


def changed(report: DemoReport, part: str, **fields: Any) -> DemoReport:
    """The report with its first rollout or device changed."""
    first, *others = getattr(report, part)
    return report.model_copy(update={part: [first.model_copy(update=fields), *others]})


def test_a_device_shows_what_it_measured_itself(report: DemoReport) -> None:
    shown = report.devices[0]
    assert (shown.recipe, shown.p95_ms, shown.accuracy, shown.samples) == ("fp32", 2.0, 0.9, 100)
    assert (shown.phase, shown.transfer_s, shown.delivery_bytes) == ("committed", 1.5, 7)
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
def test_what_is_not_as_it_should_be_is_named(report: DemoReport, change: dict[str, Any], said: str) -> None:
    found = faults(changed(report, "devices", **change), WANTED)
    assert any("one" in fault and said in fault for fault in found)


def test_a_rollout_that_did_not_complete_is_named_with_its_reason(report: DemoReport) -> None:
    paused = changed(report, "rollouts", state="paused", reason="wave 1 is failed")
    assert faults(paused, WANTED) == ["rollout r of fashion@1 is paused, not completed: wave 1 is failed"]


def test_a_rollout_that_should_stop_must_stop_in_its_first_wave(report: DemoReport) -> None:
    rollout = report.rollouts[0]
    assert (rollout.devices_exposed, rollout.evidence) == (["one"], ["one: 60 labels"])
    wanted, stopped = {"r": "rolled_back"}, changed(report, "rollouts", state="rolled_back")
    assert faults(stopped, wanted) == []
    for exposed in (["one", "two"], []):
        beyond = changed(stopped, "rollouts", devices_exposed=exposed)
        assert any("first wave" in fault for fault in faults(beyond, wanted))


def test_answers_of_another_variant_do_not_count_for_the_one_that_was_chosen() -> None:
    shown = make_report([], {}, VARIANTS, {}, [device("one", "a")], [telemetry("one", "b", 100)])
    assert shown.devices[0].samples == 0


def test_its_tables_show_figures_with_their_units_and_a_dash_for_what_was_not_measured(
    report: DemoReport, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {"score": 0.9, "score_ci": (0.88, 0.92), "agreement": None, "measured_on": "a host"}
    figures |= {"file_bytes": 12_345, "encoding_bytes": 2_345, "p50_ms": 0.1234, "p95_ms": None}
    measured = report.model_copy(update={"variants": [VARIANTS[0].model_copy(update=figures)]})
    out = Console(width=160)
    print_variants(measured, out)
    print_devices(measured, out)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Variants, measured on a host; accuracy on the test split"
    (variant,) = (line for line in lines if line.startswith("fashion@1"))
    assert " ".join(variant.split()) == "fashion@1 fp32 any 90.0 % 88.0 % 92.0 % – 12,345 2,345 0.123 ms –"
    (device,) = (line for line in lines if line.startswith("one"))
    assert " ".join(device.split()) == "one eu one lte fp32 aaaaaaaaaaaa 7 1.5 s 1.00 ms 2.00 ms 90.0 % 100 committed"


def test_every_variant_has_its_reason_for_or_against() -> None:
    reasons = {v.id: f"because {v.recipe}" for v in VARIANTS}
    lines = list(choice_lines([ChoiceView(profile="eu/one/lte", variant="a" * 64, reasons=reasons)], VARIANTS))
    assert len(lines) == 3
    assert "because fp32" in lines[0]
    assert "not int8: because int8" in lines[1]
