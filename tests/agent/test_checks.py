"""What a device holds against a manifest, and against the answers to the golden set."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from tests.agent.stateful import build_stateful

from edgefleet_agent.checks import (
    COPIES,
    DISK_MARGIN_BYTES,
    Tolerance,
    check_golden,
    check_manifest,
    check_space,
    tolerance,
)
from edgefleet_agent.errors import Rejected
from edgefleet_protocol.manifest import BlobRef, Manifest
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


def reason(make_variant: Callable[..., Any], **changes: Any) -> str | None:
    try:
        check_manifest(make_variant(**changes).manifest, "pets", FACTS, 48 * 1024)
    except Rejected as refused:
        return refused.reason
    return None


def test_a_state_that_is_not_of_the_model_is_refused() -> None:
    manifest = build_stateful().manifest
    assert check_manifest(manifest, "steps", FACTS, 48 * 1024)
    core = manifest.core.model_copy(update={"signature": None})
    with pytest.raises(Rejected, match="a state needs the signature that has its inputs and outputs") as refused:
        check_manifest(manifest.model_copy(update={"core": core}), "steps", FACTS, 48 * 1024)
    assert refused.value.reason == "manifest_invalid"


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
    need = (
        len(variant.golden)
        + len(variant.answers)
        + len(variant.onnx)
        + variant.encoding.blob.size_bytes
        + DISK_MARGIN_BYTES
    )
    check_space(variant.manifest, variant.encoding, need)
    with pytest.raises(Rejected, match=f"need {need} bytes, have {need - 1}"):
        check_space(variant.manifest, variant.encoding, need - 1)


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ({}, None),
        ({"agreement": 0.9, "difference": 0.25, "scaling": 2.0}, None),
        ({"agreement": 0.875}, "87.5% of 8 answers match the recorded ones, at least 90.0% must"),
        ({"difference": 0.2501}, "differ by up to 0.2501, at most 0.2500 is allowed"),
        ({"scaling": 100.0}, "answers are scaled by 100.00, at most 2.00 is allowed"),
        ({"refused": "the golden set is empty"}, "the golden set is empty"),
    ],
)
def test_golden_answers_must_be_the_recorded_ones(reply: dict[str, Any], told: str | None) -> None:
    whole = {"count": 8, "agreement": 1.0, "difference": 0.0, "scaling": 1.0, **reply}
    if told is None:
        check_golden(Tolerance(0.9, 0.25, 2.0), whole)
        return
    with pytest.raises(Rejected, match=told) as refused:
        check_golden(Tolerance(0.9, 0.25, 2.0), whole)
    assert refused.value.reason == "self_test_failed"


def test_the_tolerance_is_the_manifests_in_either_form(make_variant: Callable[..., Any]) -> None:
    assert tolerance(make_variant().manifest) == Tolerance(1, 0.001, 1.1)
    old = make_variant(as_in_0_1=True).manifest
    assert tolerance(old) == Tolerance(1, 0.001, math.inf)
    lax = old.expected.model_copy(update={"min_same_top1": 0})
    assert tolerance(old.model_copy(update={"expected": lax})).min_agreement == 1 / 8


def without_golden(manifest: Manifest) -> dict[str, Any]:
    return {"core": manifest.core.model_copy(update={"golden": None})}


def without_rows(manifest: Manifest) -> dict[str, Any]:
    assert manifest.expected
    return {"expected": manifest.expected.model_copy(update={"probabilities": ()})}


@pytest.mark.parametrize("as_in_0_1", [False, True])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without_golden, "names no golden set"),
        (lambda _: {"answers": None, "expected": None}, "no answers to its golden set"),
        (lambda m: without_rows(m) if m.expected else {"answers": None}, "no answers to its golden set"),
    ],
)
def test_a_manifest_with_nothing_to_test_is_refused(
    make_variant: Callable[..., Any], change: Callable[[Manifest], dict[str, Any]], told: str, as_in_0_1: bool
) -> None:
    manifest = make_variant(as_in_0_1=as_in_0_1).manifest
    with pytest.raises(Rejected, match=told) as refused:
        check_manifest(manifest.model_copy(update=change(manifest)), "pets", FACTS, 48 * 1024)
    assert refused.value.reason == "manifest_invalid"


@pytest.mark.parametrize("blob", ["golden", "answers"])
def test_a_blob_that_is_too_large_for_memory_is_refused_before_the_download(
    make_variant: Callable[..., Any], blob: str
) -> None:
    manifest = make_variant().manifest
    others = sum(ref.size_bytes for ref in (*manifest.tested_with, manifest.encodings[0].chunk_hashes))
    of_this = manifest.core.golden if blob == "golden" else manifest.answers.blob
    most = FACTS.ram_mb * 2**20 // 2 // COPIES - others + of_this.size_bytes

    def with_bytes(size: int) -> Manifest:
        large = BlobRef(sha256="a" * 64, size_bytes=size)
        if blob == "golden":
            return manifest.model_copy(update={"core": manifest.core.model_copy(update={"golden": large})})
        return manifest.model_copy(update={"answers": manifest.answers.model_copy(update={"blob": large})})

    check_manifest(with_bytes(most), "pets", FACTS, 48 * 1024)
    with pytest.raises(Rejected, match="takes 524290 bytes of memory, and may take 524288 here") as refused:
        check_manifest(with_bytes(most + 1), "pets", FACTS, 48 * 1024)
    assert refused.value.reason == "out_of_memory"
