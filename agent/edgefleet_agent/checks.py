"""Checks of a manifest, before anything is downloaded, and of the golden set, after. Pure."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from edgefleet_agent.errors import NoSpace, Rejected
from edgefleet_agent.own_features import own_features
from edgefleet_profiles.device_class import instruction_set
from edgefleet_protocol import runtime_options
from edgefleet_protocol.features import lacking
from edgefleet_protocol.manifest import BlobRef, Encoding, Manifest
from edgefleet_protocol.messages import Facts
from edgefleet_protocol.runtime_versions import version_numbers

DISK_MARGIN_BYTES = 32 * 1024 * 1024
COPIES = 2
"""How often a blob that is collected in memory is there while it is verified and written: 2.0 times, held by a test."""
ROUNDING = 1e-9


def check_manifest(manifest: Manifest, model: str, facts: Facts, max_chunk_bytes: int) -> Encoding:
    """Check that this device may run a variant; returns the encoding to fetch.

    Args:
        manifest: the variant's manifest.
        model: the model that was asked for.
        facts: what this device is.
        max_chunk_bytes: the largest chunk that its link takes.

    Raises:
        Rejected: with the reason.
    """
    if manifest.model != model:
        raise Rejected("manifest_invalid", f"the manifest is of model '{manifest.model}', not of '{model}'")
    if missing := lacking(manifest.needs, own_features()):
        raise Rejected("agent_too_old", f"the variant needs {', '.join(missing)}, which this agent lacks: upgrade it")
    mine = instruction_set(facts.arch, facts.isa)
    if manifest.instruction_sets and mine not in manifest.instruction_sets:
        made_for = ", ".join(manifest.instruction_sets)
        raise Rejected("wrong_hardware", f"the variant is made for {made_for}, this device is {mine}")
    if version_numbers(facts.onnxruntime) < version_numbers(manifest.min_onnxruntime):
        raise Rejected("runtime_too_old", f"needs onnxruntime {manifest.min_onnxruntime}, have {facts.onnxruntime}")
    if told := runtime_options.refusal(manifest.core.runtime):
        raise Rejected("manifest_invalid", told)
    if told := manifest.core.wrong_state:
        raise Rejected("manifest_invalid", told)
    encoding = manifest.encoding_for(max_chunk_bytes)
    if encoding is None:
        raise Rejected("manifest_invalid", "the manifest lists no encoding that this agent knows")
    check_memory(manifest, facts)
    check_tested(manifest)
    check_collectable((*manifest.tested_with, encoding.chunk_hashes), facts)
    return encoding


def check_tested(manifest: Manifest) -> None:
    """Check that the manifest names something to test the variant with, and the answers to it.

    Raises:
        Rejected: manifest_invalid.
    """
    if manifest.core.golden is None:
        raise Rejected("manifest_invalid", "the manifest names no golden set, so nothing would be tested")
    if manifest.answers is None and not (manifest.expected and manifest.expected.probabilities):
        raise Rejected("manifest_invalid", "the manifest has no answers to its golden set, so nothing would be tested")


def check_collectable(blobs: Iterable[BlobRef], facts: Facts) -> None:
    """Check that the blobs without a hash list fit into half of the memory, where they are collected.

    Raises:
        Rejected: out_of_memory, with need and have.
    """
    need, have = COPIES * sum(blob.size_bytes for blob in blobs), facts.ram_mb * 2**20 // 2
    if need > have:
        told = f"collecting golden set, answers and hash list takes {need} bytes of memory, and may take {have} here"
        raise Rejected("out_of_memory", told)


def check_memory(manifest: Manifest, facts: Facts) -> None:
    """Check that the variant fits into the device's memory, by its weights and by what was measured at its build.

    Raises:
        Rejected: out_of_memory, with need and have.
    """
    need = max(manifest.core.onnx.size_bytes, manifest.unfolded_bytes or 0)
    have = facts.ram_mb * 2**20
    if need > have:
        raise Rejected("out_of_memory", f"the weights need {need} bytes of memory, have {have}")
    measured = manifest.memory.resident_bytes if manifest.memory else 0
    if measured > have // 2:
        raise Rejected(
            "out_of_memory",
            f"the variant took {measured} bytes of memory at its build, and may take half of the {have} here, "
            "also where it is the first: when the next one is tried, both are in memory",
        )


def check_space(manifest: Manifest, encoding: Encoding | None, free_bytes: int, held_bytes: int = 0) -> None:
    """Check that the disk has room for the encoding and the model, with a margin of 32 MB.

    Args:
        manifest: the variant's manifest.
        encoding: the one to fetch; None if a slot holds the model.
        free_bytes: the free space on the disk.
        held_bytes: what the encoding's file takes already.

    Raises:
        NoSpace: with need and have.
    """
    tested_with = sum(blob.size_bytes for blob in manifest.tested_with)
    missing = max(encoding.blob.size_bytes - held_bytes, 0) if encoding else 0
    need = missing + manifest.core.onnx.size_bytes + tested_with + DISK_MARGIN_BYTES
    if need > free_bytes:
        raise NoSpace(f"need {need} bytes, have {free_bytes}", need)


@dataclass(frozen=True)
class Tolerance:
    """How far answers to the golden set may be from the recorded ones."""

    min_agreement: float
    max_difference: float
    max_scaling: float


def tolerance(manifest: Manifest) -> Tolerance:
    """What a manifest that has passed `check_manifest` allows; one of version 0.1.0 says nothing of scaling."""
    if answers := manifest.answers:
        return Tolerance(answers.min_agreement, answers.max_difference, answers.max_scaling)
    expected = manifest.expected
    assert expected, "check_tested has passed"
    # At least one, whatever it says: a self-test that cannot fail is none.
    share = max(expected.min_same_top1, 1) / len(expected.probabilities)
    return Tolerance(share, expected.max_difference, math.inf)


def check_golden(allowed: Tolerance, reply: Mapping[str, Any]) -> None:
    """Judge how a variant's answers to the golden set compare with the recorded ones.

    Args:
        allowed: how far they may be apart.
        reply: the worker's: `refused`, or `count`, `agreement`, `difference` and `scaling`.

    Raises:
        Rejected: self_test_failed, with the difference.
    """
    if sentence := reply.get("refused"):
        raise Rejected("self_test_failed", sentence)
    agreement, difference, scaling = reply["agreement"], reply["difference"], reply["scaling"]
    if (
        agreement < allowed.min_agreement - ROUNDING
        or difference > allowed.max_difference
        or scaling > allowed.max_scaling
    ):
        raise Rejected(
            "self_test_failed",
            f"{agreement:.1%} of {reply['count']} answers match the recorded ones, at least "
            f"{allowed.min_agreement:.1%} must; probabilities differ by up to {difference:.4f}, at most "
            f"{allowed.max_difference:.4f} is allowed; answers are scaled by {scaling:.2f}, at most "
            f"{allowed.max_scaling:.2f} is allowed",
        )
