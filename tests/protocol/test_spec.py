"""Specs: bounded, and the same by every way that they travel."""

import json
from typing import Any

import pytest

from edgefleet_protocol.canonical import canonical_json, digest
from edgefleet_protocol.errors import MalformedMessage
from edgefleet_protocol.manifest import BlobRef, Core, Manifest, verify
from edgefleet_protocol.spec import CENTRE, PROBABILITIES, BoxReading, OutputColumns, Spec, TokenReading

ONNX = BlobRef(sha256="ab" * 32, size_bytes=1)
BOXES = BoxReading(OutputColumns(0, 0, 4), OutputColumns(0, 4), None, None, CENTRE, 640.0, 480.0, True, 0, 0.45)
SPECS = [
    Spec(),
    Spec(PROBABILITIES),
    Spec(names=("a", "b"), width=2, thresholds=(0.3,), strata=(0.0,) * 7, commonest=(1, 0)),
    Spec("text", 3, scale=(0.5, 1e-9), tokens=TokenReading(blank=0, lengths=2)),
    Spec(boxes=BOXES),
]


@pytest.mark.parametrize("spec", SPECS)
def test_a_spec_is_the_same_in_a_manifest_and_over_a_pipe(spec: Spec) -> None:
    assert Spec.of(json.loads(json.dumps(spec.told()))) == spec
    sent = Manifest(model="m", model_version=1, recipe="r", core=Core(onnx=ONNX, spec=spec), encodings=())
    assert verify(sent.to_bytes(), digest(sent.to_bytes())) == sent


def test_what_is_as_it_is_by_default_is_no_part_of_a_variants_identity() -> None:
    assert Spec(PROBABILITIES).told() == {"outputs": "probabilities"}
    assert Spec().told() == {}
    assert "width" not in BOXES.__dataclass_fields__ and "counts" not in Spec(boxes=BOXES).told()["boxes"]


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"outputs": "x" * 61}, "at most 60"),
        ({"read_from": -1}, "read_from"),
        ({"read_from": 256}, "read_from"),
        ({"width": 2**31 + 1}, "width"),
        ({"names": ["a", ""]}, "1 to 200"),
        ({"names": ["a" * 201]}, "1 to 200"),
        ({"names": ["a", "b"], "width": 3}, "2 names, but width is 3"),
        ({"scale": [0.0]}, "above 0"),
        ({"scale": [1.0] * 1025}, "at most 1024"),
        ({"strata": [0.1] * 6}, "7 finite numbers"),
        ({"strata": [3, 2, 1, 0, 0, 0, 0]}, "7 finite numbers"),
        ({"commonest": list(range(256))}, "at most 255"),
        ({"commonest": [-1]}, "commonest"),
        ({"boxes": {"boxes": {"output": 0}, "scores": {"output": 1}, "form": "xyxy"}}, "write one of x1y1x2y2"),
        ({"boxes": {"boxes": {"output": 0}, "scores": {"output": 1}, "scale_x": 0}}, "scale_x"),
        ({"boxes": {"boxes": {"output": 0}, "scores": {"output": 1}, "overlap": 1.5}}, "overlap"),
        ({"boxes": {"boxes": {"output": 999}, "scores": {"output": 1}}}, "output"),
        ({"tokens": {"blank": -2}}, "blank"),
    ],
)
def test_what_no_spec_is_is_refused_on_both_ways(told: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Spec.of(told)
    manifest = {"model": "m", "model_version": 1, "recipe": "r", "encodings": [], "variant": "0" * 64}
    data = canonical_json({**manifest, "core": {"onnx": ONNX.model_dump(), "spec": told}})
    with pytest.raises(MalformedMessage, match="spec"):
        verify(data, digest(data))


@pytest.mark.parametrize("told", [{"unknown": 1}, {"boxes": {}}, {"boxes": {"boxes": 3, "scores": {"output": 1}}}])
def test_another_shape_is_one_error(told: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no spec"):
        Spec.of(told)
