"""Which onnxruntime an ONNX file needs, by the opset and the IR version that it is written in."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reach:
    """The newest opset and IR version that a release of onnxruntime is the first to read."""

    onnxruntime: str
    opset: int
    ir: int


REACHES = (
    Reach("1.20", 21, 10),
    Reach("1.21", 22, 10),
    Reach("1.23", 23, 11),
    Reach("1.24", 25, 13),
    Reach("1.25", 26, 13),
)
"""Measured by loading a graph of one node with the wheel of each release from 1.20 to 1.31; those left out read no more
than the one before."""
OLDEST = REACHES[0].onnxruntime
"""The oldest that an agent may have."""


def least_onnxruntime(opset: int, ir: int, known: str) -> str:
    """The oldest onnxruntime that reads a file.

    Args:
        opset: its newest import of the standard operators.
        ir: its IR version.
        known: a version that reads it, which is the answer where the file is newer than this table.
    """
    able = (reach.onnxruntime for reach in REACHES if reach.opset >= opset and reach.ir >= ir)
    return next(able, ".".join(known.split(".")[:2]))


def ir_of(opset: int) -> int:
    """The newest IR version that every onnxruntime reads which knows an opset."""
    return next((reach.ir for reach in REACHES if reach.opset >= opset), REACHES[-1].ir)


def needed_of_device(least: str) -> tuple[str, ...]:
    """The feature by which rollouts pass over devices whose onnxruntime is older than `least`; none if none is."""
    return () if version_numbers(least) <= version_numbers(OLDEST) else (_feature(least),)


def features_of(onnxruntime: str) -> tuple[str, ...]:
    """Such features of a device that reports this version of onnxruntime, whatever else its agent knows."""
    own, found = version_numbers(onnxruntime), version_numbers(OLDEST)
    read = [reach.onnxruntime for reach in REACHES if found < version_numbers(reach.onnxruntime) <= own]
    newest = [".".join(map(str, own[:2]))] if own > found else []
    return tuple(_feature(version) for version in dict.fromkeys([*read, *newest]))


def version_numbers(version: str) -> tuple[int, ...]:
    """The first three numbers of a version."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _feature(version: str) -> str:
    return f"onnxruntime-{version}"
