"""Whatever shows a model speaks of its task's own measure, and of accuracy only where that is the measure."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel
from rich.console import Console

from edgefleet_compression.measures import headlined_by, measure_named, measure_of
from edgefleet_compression.recipes.recipe import Recipe
from edgefleet_compression.search.bounds import Bounds, judge
from edgefleet_compression.search.plots import picture
from edgefleet_compression.search.points import Point
from edgefleet_compression.search.report import report
from edgefleet_compression.search.search import Ask, Found
from edgefleet_compression.search.targets import SearchTarget
from edgefleet_compression.search_roles import EXPORT
from edgefleet_contract.metrics import Metrics
from edgefleet_contract.rollouts import Gate, Judgement
from edgefleet_contract.searches import SearchReport
from edgefleet_contract.telemetry import TelemetryView
from edgefleet_contract.variants import VariantView
from edgefleet_controller.api.showing import choice_view, explanation_view, telemetry_view, variant_view
from edgefleet_controller.models.explaining import Explained
from edgefleet_controller.models.needs import candidate, choose_for
from edgefleet_controller.records import Evidence, VariantRecord
from edgefleet_controller.rollouts import judged
from edgefleet_controller.rollouts.behaviour import examine
from edgefleet_controller.rollouts.weighing import Crowd
from edgefleet_controller.store.contract.aggregates import Aggregate
from edgefleet_operator.cli.choices import print_choices
from edgefleet_operator.cli.explanation_tables import print_explanation
from edgefleet_operator.cli.searching import print_search
from edgefleet_operator.cli.telemetry import _print as print_telemetry
from edgefleet_operator.cli.variant import _facts as facts
from edgefleet_operator.demo.report import DemoReport, print_variants
from edgefleet_operator.measures import Quality
from edgefleet_operator.printing import print_facts
from edgefleet_profiles.catalogue import load_catalogue
from edgefleet_profiles.profile import Constraints
from edgefleet_protocol.counters import Counters, ServingCounts
from edgefleet_protocol.intervals import Interval
from edgefleet_protocol.moments import Moments
from edgefleet_tasks.registry import task_named

PROFILE = load_catalogue().profile("eu/rpi4/lte")
TASKS = ("classification", "regression", "detection", "embedding", "outputs", "segmentation", "multilabel")
OTHERS = TASKS[1:]
"""The tasks whose measure is not accuracy. That of sequences is token accuracy, which is none of classes either."""


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")


def metrics(task: str, share: float, size: int) -> Metrics:
    """Figures as a build of this task has them: a score only if single answers have one."""
    of = task_named(task)
    score = {"score_val": share, "score_test": share - 0.01, "score_test_ci": (share - 0.02, share)}
    drop = {"drop_val": 0.93 - share, "drop_val_ci": (0.0, 0.1), "drop_test": 0.01, "drop_test_ci": (0.0, 0.02)}
    headline = None if task == "outputs" else Interval(share - 0.1, share - 0.2, share)
    return Metrics(
        measure=measure_of(of),
        headlined=headlined_by(of),
        **({**score, **drop} if of.scores_alone else {}),
        **{"headline_val": headline, "headline_test": headline, "agreement_val": share, "agreement": share},
        **{"p50_ms": 0.4, "p95_ms": 0.5, "measured_on": "a host", "encoding_bytes": size, "test_samples": 100},
    )


def variant(task: str, name: str, share: float, size: int) -> VariantRecord:
    rest = {"delivery_bytes": {49152: size, 4096: size}, "runtime": {}, "steps": (), "created_ms": 1}
    common = {"model": "m", "version": 1, "instruction_sets": (), "manifest": "a" * 64, "manifest_bytes": 9}
    return VariantRecord(id=name[0] * 64, recipe=name, title="t", metrics=metrics(task, share, size), **common, **rest)


def variants(task: str) -> list[VariantRecord]:
    return [variant(task, "fp32", 0.93, 900_000), variant(task, "int8", 0.92, 300_000), variant(task, "w5", 0.8, 900)]


def shown(task: str) -> list[VariantView]:
    return [variant_view(one) for one in variants(task)]


def explained(task: str, **asked: Any) -> BaseModel:
    from edgefleet_compression.pricing.explain import Situation, explain

    offered = [candidate(one, PROFILE.link) for one in variants(task)]
    source = 0.93 if task_named(task).scores_alone else None
    situation = Situation(PROFILE, Constraints(**asked), source, lambda _: offered)
    return explanation_view("m@1", Explained(explain(situation), {}))


def found_by_search(task: str) -> SearchReport:
    recipe = Recipe(name="int8", title="t", steps=(EXPORT,))
    points = [Point(recipe, "x86-avx2", metrics(task, 0.92, 300_000))]
    ask = Ask({}, (SearchTarget("x86-avx2"),), 60.0, 0)
    fronts = {"x86-avx2": points}
    verdicts = {"x86-avx2": judge(points, Bounds(max_drop=0.001))}
    return report(Found(ask, fronts, points, executions={}, steps=0, seconds=1.0, verdicts=verdicts))


def told_by_a_gate(task: str) -> list[str]:
    """Everything that a gate says of a variant that got worse, and of one that nobody has labels for."""
    measure = measure_named(task)
    said = []
    for new, before in ((60, 90), (0, 0)):
        told = {"d": Counters(ServingCounts(requests=100, refused_labels=2), Moments.of_hits(100 if new else 0, new))}
        old = {"d": Moments.of_hits(100, before)} if before else {}
        evidence = replace(Evidence("eu/rpi4/lte", told, old, {}), measure=measure)
        found = examine(Gate(min_devices=1), evidence, Crowd(1, 1))
        said += [one.words for one in found]
        said += [judged.not_judged(found, measure), judged.missing(("accuracy",), found, measure)]
    return [*said, judged.missing(("accuracy",), (), measure)]


def telemetry(task: str) -> list[TelemetryView]:
    scored = Moments.of_hits(100, 90) if task_named(task).scores_alone else Moments()
    merged = Aggregate({"variant": "f" * 64}, counters=Counters(ServingCounts(requests=100, refused_labels=1), scored))
    return [telemetry_view(merged, measure_named(task))]


def leaves(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of a JSON document with its key."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from leaves(one, name)
    elif isinstance(value, list):
        for one in value:
            yield from leaves(one, key)
    else:
        yield key, value


@pytest.mark.parametrize("task", OTHERS)
def test_no_answer_of_the_api_speaks_of_accuracy(task: str) -> None:
    choice = choose_for(PROFILE, [], None, variants(task))
    views = [*shown(task), *telemetry(task), choice_view(choice, []), explained(task), found_by_search(task)]
    for view in views:
        for key, value in leaves(json.loads(view.model_dump_json())):
            assert "accura" not in str(value), (key, value)
            assert "accuracy" not in key or value is None, "clients of older versions need the key, not a value"


@pytest.mark.parametrize("task", OTHERS)
def test_no_table_speaks_of_accuracy(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    views = shown(task)
    print_choices([choice_view(choose_for(PROFILE, [], 0.93, variants(task)), [])], views)
    for one in views:
        print_facts(facts(one))
    for asked in ({}, {"min_score": 0.99}, {"max_drop": 0.001}, {"max_disagreement": 0.001, "prefer": "score"}):
        print_explanation(explained(task, **asked))
    print_search(found_by_search(task))
    print_telemetry(telemetry(task), ("variant",), [], {})
    print_variants(DemoReport(rollouts=[], variants=views, devices=[]), Console())
    said = capsys.readouterr().out
    assert "accura" not in said, [line for line in said.splitlines() if "accura" in line]
    assert " right" not in said
    of = task_named(task)
    assert (of.measure.name in said) == of.scores_alone
    assert (of.headlined.name in said) == (task != "outputs")


@pytest.mark.parametrize("task", OTHERS)
def test_no_gate_speaks_of_accuracy(task: str) -> None:
    for words in told_by_a_gate(task):
        assert "accura" not in words and "the model's classes" not in words, words


def test_a_classifier_is_shown_as_before(capsys: pytest.CaptureFixture[str]) -> None:
    (first, *_) = views = shown("classification")
    assert (first.accuracy, first.accuracy_val, first.accuracy_ci) == (0.92, 0.93, [0.91, 0.93])
    assert telemetry("classification")[0].accuracy == 0.9
    explanation = json.loads(explained("classification").model_dump_json())
    assert (explanation["constraints"]["prefer"], explanation["source_accuracy"]) == ("accuracy", 0.93)
    assert Quality(views).title == "accuracy"
    print_facts(facts(first))
    print_explanation(explained("classification", min_accuracy=0.99))
    said = " ".join(capsys.readouterr().out.split())
    assert "accuracy (test) 92.0 % (95 % from 91.0 % to 93.0 %, 100 samples) accuracy (val) 93.0 %" in said
    assert "prefers accuracy; min_accuracy 0.99" in said and "93.0 % right, at least 99.0 % asked" in said
    gate = told_by_a_gate("classification")
    assert "eu/rpi4/lte: 100 labels, 60.0% against 90.0%, p < 0.001; 2 more labels were refused" in gate[0]
    assert gate[-1] == "accuracy is required, and could not be judged: no device has committed"


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("regression", "closeness (test) 92.0 % (95 % from 91.0 % to 93.0 %, 100 samples)"),
        ("regression", "R² (test) 0.83 (95 % from 0.73 to 0.93)"),
        ("detection", "mAP at IoU 0.5 (val) 83.0 % (95 % from 73.0 % to 93.0 %)"),
        ("embedding", "93.0 % on val, which choices are made by: single answers have no score"),
        ("outputs", "93.0 % on val, which choices are made by: single answers have no score"),
    ],
)
def test_a_variant_is_shown_by_its_measure(task: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_facts(facts(shown(task)[0]))
    assert said in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("detection", "highest F1 of boxes, to 0.2 points, and smallest of those of the 3 that meet everything"),
        ("outputs", "answers most as the source model does, to 0.2 points, and smallest of those of the 3"),
    ],
)
def test_a_choice_says_by_what_it_was_made(task: str, reason: str) -> None:
    found = choose_for(PROFILE, [], None, variants(task))
    assert found.variant == "f" * 64
    assert found.reasons["f" * 64].startswith(reason)


def test_models_of_several_measures_in_one_table_each_say_theirs() -> None:
    two = [shown("detection")[0], shown("classification")[0].model_copy(update={"model": "other@1"})]
    compared = Quality(two)
    (val, show), (_, test), (headline, show_headline) = compared.columns
    assert (val, headline) == (">score val", ">mAP at IoU 0.5")
    assert [show(one) for one in two] == ["93.0 % F1 of boxes", "93.0 % accuracy"]
    assert [test(one) for one in two] == ["92.0 % F1 of boxes", "92.0 % accuracy"]
    assert [show_headline(one) for one in two] == ["83.0 %", "–"]


def test_scores_of_several_measures_are_not_averaged() -> None:
    merged = Aggregate({"device": "d"}, counters=Counters(ServingCounts(requests=9), Moments.of_hits(9, 5)))
    view = telemetry_view(merged, None)
    assert (view.labelled, view.measure, view.score, view.accuracy) == (9, None, None, None)


def test_what_ran_before_under_another_task_is_compared_with_nothing() -> None:
    told = {"d": Counters(ServingCounts(requests=100), Moments.of_hits(100, 60))}
    evidence = Evidence("eu/rpi4/lte", told, {"d": Moments.of_hits(100, 90)}, {})
    evidence = replace(evidence, measure=measure_named("detection"), measure_before=measure_named("classification"))
    found = {one.check: one for one in examine(Gate(min_devices=1), evidence, Crowd(1, 1))}
    assert found["accuracy"] == Judgement(
        check="accuracy",
        profile="eu/rpi4/lte",
        outcome="not_judged",
        words="answers are scored by F1 of boxes, those of what ran before by accuracy",
    )


def test_a_picture_of_a_front_names_its_measure() -> None:
    drawn = picture(found_by_search("regression"), "x86-avx2").decode()
    assert "closeness on val, %" in drawn and "accuracy" not in drawn
