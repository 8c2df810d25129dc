"""A search's report: typed where it is made, drawn and read; JSON on disk and on the wire in between."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from tests.outcomes import outcome

from edgefleet_compression.recipes.recipe import shipped_recipes
from edgefleet_compression.search.bounds import Bounds, judge
from edgefleet_compression.search.plots import PlotRequest, draw
from edgefleet_compression.search.points import Point
from edgefleet_compression.search.report import report
from edgefleet_compression.search.search import Ask, Found
from edgefleet_compression.search.targets import SearchTarget
from edgefleet_contract.metrics import Metrics
from edgefleet_contract.searches import SearchReport

RECIPES = shipped_recipes()
FIGURES = Metrics(score_val=0.9, drop_val=0.01, drop_val_ci=(0.0, 0.02), encoding_bytes=900, latency_ratio=0.5)


@pytest.fixture
def found() -> Found:
    """A search that measured one recipe, was beaten by another, and could not build a third."""
    best = Point(RECIPES["w8"], "x86-vnni", FIGURES, built=outcome())
    beaten = Point(RECIPES["fp32"], "x86-vnni", FIGURES.model_copy(update={"encoding_bytes": 1900}), "beaten by w8")
    failed = Point(RECIPES["int8"], "x86-vnni", rejected="the data file has no x_calib")
    return Found(
        ask=Ask({}, (SearchTarget("x86-vnni"),), 60.0, wanted=Bounds(encoding_bytes=100)),
        fronts={"x86-vnni": [best]},
        points=[best, beaten, failed],
        executions={"export": 2},
        steps=3,
        seconds=1.25,
        verdicts={"x86-vnni": judge([best], Bounds(encoding_bytes=100))},
    )


def test_a_report_comes_out_of_json_as_it_went_in(found: Found) -> None:
    said = report(found)
    assert SearchReport.model_validate_json(said.model_dump_json()) == said
    assert (said.measured, said.steps.run, said.steps.cached, said.trainings) == (2, 2, 1, 0)
    assert said.constraints["x86-vnni"].nearest[0].broken == {
        "encoding_bytes": "900 bytes encoded, at most 100 bytes allowed"
    }


def test_a_figure_of_a_point_is_the_one_that_was_measured(found: Found) -> None:
    (point,) = report(found).fronts["x86-vnni"]
    assert (point.recipe, point.accuracy_val, point.drop_val_ci, point.latency_ratio) == ("w8", 0.9, (0.0, 0.02), 0.5)
    for name in Metrics.model_fields.keys() & type(point).model_fields.keys():
        assert getattr(point, name) == getattr(FIGURES, name), name


def test_a_point_that_was_not_measured_shows_its_reason_and_no_empty_figures(found: Found) -> None:
    said = json.loads(report(found).model_dump_json())
    classes = {point["recipe"]: point["classes"]["x86-vnni"] for point in said["points"]}
    assert classes["int8"] == {"rejected": "the data file has no x_calib"}
    assert classes["w8"]["rejected"] is None and classes["w8"]["energy_mj"] is None


def test_every_front_is_drawn_and_alike_each_time(found: Found, tmp_path: Path) -> None:
    said = report(found)
    drawn = draw(PlotRequest(said, tmp_path / "one"))["x86-vnni"]
    assert drawn.name == "front-x86-vnni.svg" and ElementTree.parse(drawn).getroot().tag.endswith("svg")
    assert "w8" in drawn.read_text()
    assert draw(PlotRequest(said, tmp_path / "other"))["x86-vnni"].read_bytes() == drawn.read_bytes()


def test_a_report_that_another_version_wrote_is_read_as_far_as_it_goes(found: Found) -> None:
    said = json.loads(report(found).model_dump_json())
    said["sampler"] = "tpe"
    del said["points"][0]["classes"]["x86-vnni"]["p50_ms"]
    assert SearchReport.model_validate(said).points[0].classes["x86-vnni"].p50_ms is None
