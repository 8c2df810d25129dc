"""Shapes come back from JSON as they went, and say nothing that nobody said."""

import json
from typing import get_args

from edgefleet_contract.operations import BuildResult, OperationRecord, RebuildResult, StepCounts
from edgefleet_contract.searches import Figures
from edgefleet_contract.segments import SegmentView
from edgefleet_contract.telemetry import GroupBy, TelemetryGroup

REBUILT = {
    **{"variant": "v", "verdict": "equal", "reasons": [], "changed": {"onnx": {"then": "1.20", "now": "1.21"}}},
    **{"steps": [{"step": "export", "then": None, "now": "d"}], "answers": None, "figures": {}},
    **{"onnx": {"then": "a", "now": "a"}, "encoding": {"then": "b", "now": "b"}},
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
