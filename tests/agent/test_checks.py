"""What a device holds against a manifest, and against the answers to the golden set."""

from collections.abc import Callable
from typing import Any

import pytest

from edgefleet_agent.checks import DISK_MARGIN_BYTES, check_golden, check_manifest, check_space
from edgefleet_agent.errors import Rejected
from edgefleet_protocol.manifest import Expected
from edgefleet_protocol.messages import Facts

FACTS = Facts(
    hardware="x",
    region="eu",
    link="lte",
    arch="x86_64",
    isa=frozenset({"avx2"}),
    cores=1,
    ram_mb=1,
    onnxruntime="1.31.1",
)
EXPECTED = Expected(
    probabilities=((0.7, 0.3), (0.2, 0.8)), min_same_top1=2, max_difference=0.05, recorded_on="x86-avx2"
)


def reason(make_variant: Callable[..., Any], **changes: Any) -> str | None:
    try:
        check_manifest(make_variant(**changes).manifest, "pets", FACTS, 48 * 1024)
    except Rejected as refused:
        return refused.reason
    return None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"instruction_sets": ("x86-vnni", "x86-avx2")}, None),
        ({"instruction_sets": ("x86-vnni",)}, "wrong_hardware"),
        ({"min_onnxruntime": "1.31.1"}, None),
        ({"min_onnxruntime": "1.31.2"}, "runtime_too_old"),
        ({"needs": ("of-a-later-version",)}, "agent_too_old"),
        ({"min_onnxruntime": "1.4"}, None),
        ({"runtime": {"session.qdq_matmulnbits_accuracy_level": "4"}}, None),
        ({"runtime": {"session.x64quantprecision": "yes"}}, "manifest_invalid"),
        ({"runtime": {"session.load_model_format": "ORT"}}, "manifest_invalid"),
        ({"runtime": {"session.of_a_later_version": "1"}}, "manifest_invalid"),
        ({"runtime": {"optimization.x": "1"}}, "manifest_invalid"),
        ({"runtime": {"session.optimized_model_external_initializers_file_name": "x"}}, "manifest_invalid"),
        ({"encodings": ()}, "manifest_invalid"),
    ],
)
def test_a_manifest_is_refused_with_its_reason(
    make_variant: Callable[..., Any], changes: dict[str, Any], expected: str | None
) -> None:
    assert reason(make_variant, **changes) == expected


def test_a_full_disk_is_told_need_and_have(make_variant: Callable[..., Any]) -> None:
    variant = make_variant()
    need = len(variant.golden) + len(variant.onnx) + variant.encoding.blob.size_bytes + DISK_MARGIN_BYTES
    check_space(variant.manifest, variant.encoding, need)
    with pytest.raises(Rejected, match=f"need {need} bytes, have {need - 1}"):
        check_space(variant.manifest, variant.encoding, need - 1)


@pytest.mark.parametrize(
    ("answers", "passes"),
    [
        ([[0.7, 0.3], [0.2, 0.8]], True),
        ([[0.66, 0.34], [0.24, 0.76]], True),
        ([[0.6, 0.4], [0.2, 0.8]], False),  # too far
        ([[0.3, 0.7], [0.2, 0.8]], False),  # another top-1
        ([[0.7, 0.3]], False),
        ([[0.7, 0.2, 0.1], [0.2, 0.8, 0.0]], False),
    ],
)
def test_golden_answers_must_be_the_recorded_ones(answers: list[list[float]], passes: bool) -> None:
    reply = {"finite": True, "count": len(answers), "probabilities": answers}
    if passes:
        check_golden(EXPECTED, reply)
        return
    with pytest.raises(Rejected) as refused:
        check_golden(EXPECTED, reply)
    assert refused.value.reason == "self_test_failed"


def test_a_golden_answer_that_is_not_finite_fails_even_with_nothing_recorded() -> None:
    with pytest.raises(Rejected, match="not finite"):
        check_golden(None, {"finite": False, "count": 1})
    check_golden(None, {"finite": True, "count": 1, "probabilities": [[1.0]]})


def test_a_golden_set_that_is_too_large_is_refused_before_the_download(make_variant: Callable[..., Any]) -> None:
    manifest = make_variant().manifest
    large = manifest.core.golden.model_copy(update={"size_bytes": 2**20 + 1})
    core = manifest.core.model_copy(update={"golden": large})
    with pytest.raises(Rejected, match="more than 1 MB"):
        check_manifest(manifest.model_copy(update={"core": core}), "pets", FACTS, 48 * 1024)
