"""Checks of a manifest, before anything is downloaded, and of the golden set, after. Pure."""

import re
from typing import Any

from edgefleet_agent.errors import NoSpace, Rejected
from edgefleet_profiles.device_class import instruction_set
from edgefleet_protocol import runtime_options
from edgefleet_protocol.features import FEATURES, lacking
from edgefleet_protocol.manifest import Encoding, Expected, Manifest
from edgefleet_protocol.messages import Facts

DISK_MARGIN_BYTES = 32 * 1024 * 1024
MAX_SMALL_BLOB_BYTES = 1024 * 1024
"""Golden sets and hash lists have no hash list themselves, and are collected in memory."""


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
    if missing := lacking(manifest.needs, FEATURES):
        raise Rejected("agent_too_old", f"the variant needs {', '.join(missing)}, which this agent lacks: upgrade it")
    mine = instruction_set(facts.arch, facts.isa)
    if manifest.instruction_sets and mine not in manifest.instruction_sets:
        made_for = ", ".join(manifest.instruction_sets)
        raise Rejected("wrong_hardware", f"the variant is made for {made_for}, this device is {mine}")
    if _numbers(facts.onnxruntime) < _numbers(manifest.min_onnxruntime):
        raise Rejected("runtime_too_old", f"needs onnxruntime {manifest.min_onnxruntime}, have {facts.onnxruntime}")
    if told := runtime_options.refusal(manifest.core.runtime):
        raise Rejected("manifest_invalid", told)
    encoding = manifest.encoding_for(max_chunk_bytes)
    if encoding is None:
        raise Rejected("manifest_invalid", "the manifest lists no encoding that this agent knows")
    check_memory(manifest, facts)
    for blob in (manifest.core.golden, encoding.chunk_hashes):
        if blob and blob.size_bytes > MAX_SMALL_BLOB_BYTES:
            raise Rejected("manifest_invalid", f"blob {blob.sha256} has {blob.size_bytes} bytes, more than 1 MB")
    return encoding


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
            f"the variant took {measured} bytes of memory at its build, and may take half of the {have} here: "
            "in a trial the old one stays in memory beside it",
        )


def check_space(manifest: Manifest, encoding: Encoding, free_bytes: int, held_bytes: int = 0) -> None:
    """Check that the disk has room for the encoding and the model, with a margin of 32 MB.

    Args:
        manifest: the variant's manifest.
        encoding: the one to fetch.
        free_bytes: the free space on the disk.
        held_bytes: what the encoding's file takes already.

    Raises:
        NoSpace: with need and have.
    """
    golden = manifest.core.golden.size_bytes if manifest.core.golden else 0
    missing = max(encoding.blob.size_bytes - held_bytes, 0)
    need = missing + manifest.core.onnx.size_bytes + golden + DISK_MARGIN_BYTES
    if need > free_bytes:
        raise NoSpace(f"need {need} bytes, have {free_bytes}", need)


def check_golden(expected: Expected | None, reply: dict[str, Any]) -> None:
    """Compare a variant's answers to the golden set with the recorded ones.

    Args:
        expected: the recorded answers, if there are any.
        reply: the worker's: `finite`, `count`, `probabilities` [samples][classes].

    Raises:
        Rejected: self_test_failed, with the difference.
    """
    if not reply["finite"]:
        raise Rejected("self_test_failed", "an answer to the golden set is not finite")
    if expected is None:
        return
    got, recorded = reply["probabilities"], expected.probabilities
    if [len(row) for row in got] != [len(row) for row in recorded]:
        raise Rejected("self_test_failed", f"{len(got)} answers to the golden set; {len(recorded)} were recorded")
    same = sum(_top1(a) == _top1(b) for a, b in zip(got, recorded, strict=True))
    pairs = zip(got, recorded, strict=True)
    worst = max((abs(x - y) for a, b in pairs for x, y in zip(a, b, strict=True)), default=0.0)
    if same < expected.min_same_top1 or worst > expected.max_difference:
        raise Rejected(
            "self_test_failed",
            f"{same} of {len(got)} answers match the recorded ones, at least {expected.min_same_top1} must; "
            f"probabilities differ by up to {worst:.4f}, at most {expected.max_difference:.4f} is allowed",
        )


def _top1(row: Any) -> int:
    return max(range(len(row)), key=row.__getitem__)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
