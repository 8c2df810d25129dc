"""Shapes come back from JSON as they went, and say nothing that nobody said."""

import json
from typing import get_args

from edgefleet_contract.choices import OfferView
from edgefleet_contract.measures import ACCURACY, MeasureView
from edgefleet_contract.metrics import Metrics
from edgefleet_contract.operations import BuildResult, OperationRecord, RebuildResult, StepCounts
from edgefleet_contract.searches import Figures
from edgefleet_contract.segments import SegmentView
from edgefleet_contract.telemetry import GroupBy, TelemetryGroup

REBUILT = {
    **{"variant": "v", "verdict": "equal", "reasons": [], "changed": {"onnx": {"then": "1.20", "now": "1.21"}}},
    **{"steps": [{"step": "export", "then": None, "now": "d"}], "answers": None, "figures": {}},
    **{"onnx": {"then": "a", "now": "a"}, "encoding": {"then": "b", "now": "b"}},
}
OFFER = {
    **{"variant": "v", "recipe": "r", "agreement_val": None, "delivery_bytes": 9, "transfer_s": 1, "transfer_usd": 0},
    **{"transfer_j": 0, "usd_per_month": 0, "p95_ms": None, "p95_is_predicted": False, "peak_rss_mb": None},
    **{"inference_mj": None, "energy_source": None, "broken": [], "reason": ""},
}
BUILT = {"variants": ["v"], "failed": {}, "steps": {"run": 1, "cached": 2}, "not_applicable": {}}


def operation(result: object) -> OperationRecord:
    return OperationRecord.model_validate(
        {"id": "i", "kind": "compress", "target": "m@1", "result": result, "created_ms": 1, "changed_ms": 2}
    )


def test_the_result_of_an_operation_is_told_by_what_it_holds() -> None:
    built, rebuilt = operation(BUILT).result, operation(REBUILT).result
    assert isinstance(built, BuildResult)
    assert built.steps == StepCounts(run=1, cached=2)
    assert isinstance(rebuilt, RebuildResult)
    assert rebuilt.changed["onnx"].now == "1.21"


def test_what_was_not_given_is_left_out_where_null_would_say_that_it_was_looked_for() -> None:
    assert json.loads(operation(BUILT).model_dump_json())["result"] == BUILT
    rejected, measured = {"rejected": "no scheme"}, {"rejected": None, "score_val": None}
    assert [Figures.model_validate(one).model_dump() for one in (rejected, measured)] == [rejected, measured]


def test_a_field_that_only_a_newer_controller_knows_is_passed_over() -> None:
    shown = SegmentView.model_validate({"name": "n", "selector": "", "devices": 3, "newer": True})
    assert shown.model_dump() == {"name": "n", "selector": "", "devices": 3, "doubts": ()}


def test_openapi_shows_the_fields_of_what_is_left_out() -> None:
    assert Figures.model_json_schema(mode="serialization")["properties"].keys() == Figures.model_fields.keys()


def test_a_group_has_a_field_for_everything_that_telemetry_is_kept_apart_by() -> None:
    assert list(TelemetryGroup.model_fields) == list(get_args(GroupBy))
    assert TelemetryGroup(region=None).model_dump() == {"region": None}


def test_figures_of_times_before_measures_are_scores_of_accuracy() -> None:
    stored = {"accuracy_val": 0.91, "accuracy_test": 0.9, "accuracy_test_ci": [0.88, 0.92], "agreement": 0.99}
    metrics = Metrics.model_validate(stored)
    assert (metrics.measure, metrics.score_val, metrics.score_test) == (ACCURACY, 0.91, 0.9)
    assert (metrics.accuracy_val, metrics.accuracy_test_ci) == (0.91, (0.88, 0.92))
    again = Metrics.model_validate_json(metrics.model_dump_json())
    assert again == metrics
    older = {**OFFER, "accuracy_val": 0.91}
    assert (OfferView.model_validate(older).score_val, OfferView.model_validate(older).accuracy_val) == (0.91, 0.91)
    newer = {**OFFER, "accuracy_val": None, "score_val": 0.7}
    assert (OfferView.model_validate(newer).score_val, OfferView.model_validate(newer).accuracy_val) == (0.7, None)


def test_figures_of_another_measure_are_no_accuracy() -> None:
    metrics = Metrics(measure=MeasureView(name="F1 of boxes"), score_val=0.7, score_test=0.6, score_test_ci=(0.5, 0.7))
    assert (metrics.accuracy_val, metrics.accuracy_test, metrics.accuracy_test_ci) == (None, None, None)
