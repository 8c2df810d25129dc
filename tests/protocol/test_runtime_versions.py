"""A file says which onnxruntime reads it by what it is written in, and a device by its version whether it does."""

import onnx
import pytest

from edgefleet_protocol.features import lacking
from edgefleet_protocol.runtime_versions import REACHES, features_of, ir_of, least_onnxruntime, needed_of_device


@pytest.mark.parametrize(
    ("opset", "ir", "least"),
    [
        (7, 3, "1.20"),
        (21, 10, "1.20"),
        (22, 10, "1.21"),
        (21, 11, "1.23"),
        (23, 11, "1.23"),
        (24, 12, "1.24"),
        (26, 13, "1.25"),
    ],
)
def test_the_oldest_onnxruntime_follows_from_opset_and_ir_version(opset: int, ir: int, least: str) -> None:
    assert least_onnxruntime(opset, ir, "1.31.1") == least


def test_what_is_newer_than_the_table_needs_the_version_that_was_seen_to_read_it() -> None:
    assert least_onnxruntime(99, 10, "1.40.2") == "1.40"


def test_opsets_and_ir_versions_belong_together_as_onnx_released_them() -> None:
    published = {opset: ir for _, ir, opset, *_ in onnx.helper.VERSION_TABLE if opset >= REACHES[0].opset}
    assert {reach.opset: reach.ir for reach in REACHES}.items() <= published.items()
    for opset, ir in published.items():
        assert opset > REACHES[-1].opset or ir_of(opset) >= ir


@pytest.mark.parametrize(
    ("least", "has", "passed_over"),
    [
        ("1.20", "", False),
        ("1.20", "1.20.1", False),
        ("1.23", "1.22.1", True),
        ("1.23", "1.23.0", False),
        ("1.25", "1.24.4", True),
        ("1.25", "1.31.1", False),
        ("1.40", "1.31.1", True),
        ("1.40", "1.40.2", False),
        ("1.23", "", True),
    ],
)
def test_a_device_with_an_older_one_lacks_what_the_variant_needs(least: str, has: str, passed_over: bool) -> None:
    assert bool(lacking(needed_of_device(least), features_of(has))) == passed_over
