"""Files to compare by size, made and judged in watched workers: onnxruntime's quantizers, and how a file answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnxruntime
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process

from benchmarks.peers.figures import MOST_CHARACTERS, plain_bytes
from edgefleet_compression.builds.messages import ModelFiles, WorkRefused
from edgefleet_compression.cache import Cache
from edgefleet_compression.models.source_files import open_source
from edgefleet_compression.onnx_graphs.session import GraphSession

Quantizer = Literal["dynamic", "static"]
QUANTIZERS: tuple[Quantizer, ...] = ("dynamic", "static")
CALIBRATED_WITH = 64
"""Samples of calib, for both sides alike."""


@dataclass(frozen=True)
class QuantizeRequest:
    """Asks one of onnxruntime's quantizers for a file at `target`."""

    files: ModelFiles
    onnx: Path
    cache_dir: Path
    target: Path
    quantizer: Quantizer


@dataclass(frozen=True)
class JudgeRequest:
    """Asks how the file at `path` answers, beside the source of `files`."""

    files: ModelFiles
    cache_dir: Path
    path: Path


@dataclass(frozen=True)
class FileFigures:
    """A file's bytes as `zstd -19` packs it, and how far it answers as the source does, by the task.

    `alike` says how far the source's answers to one sample are those to the next.
    """

    zstd_bytes: int
    agreement_val: float
    agreement_test: float
    alike: float

    @property
    def agreement(self) -> float:
        """The lower one."""
        return min(self.agreement_val, self.agreement_test)


def quantize(request: QuantizeRequest) -> Path | WorkRefused:
    """The file, as the quantizer's documentation asks for it: prepared first, and static by channel with calib."""
    try:
        _quantize(request)
    except Exception as error:  # a peer refuses in any way
        return _refused(error)
    return request.target


def judge(request: JudgeRequest) -> FileFigures | WorkRefused:
    """How a file answers val and test."""
    try:
        source = open_source(request.files, Cache(request.cache_dir))
        session = GraphSession(request.path)
        found, alike = [], 0.0
        for split in ("val", "test"):
            wanted = source.judge.reduced(source.answered(split))
            found.append(source.judge.agreement(wanted, source.judge.reduced(session.answered(source.asked(split)))))
            alike = source.judge.agreement(wanted, [*wanted[1:], wanted[0]])
        return FileFigures(plain_bytes(request.path), found[0], found[1], alike)
    except Exception as error:  # a peer's file can be anything
        return _refused(error)


def _refused(error: Exception) -> WorkRefused:
    return WorkRefused("not_measured", " ".join(f"{type(error).__name__}: {error}".split())[:MOST_CHARACTERS])


def _quantize(request: QuantizeRequest) -> None:
    if request.quantizer == "dynamic":
        quantization.quantize_dynamic(request.onnx, request.target)
        return
    prepared = request.target.with_suffix(".prepared.onnx")
    try:
        quant_pre_process(str(request.onnx), str(prepared))
    except Exception:  # it is advised, not needed: its shape inference refuses many a file
        prepared = request.onnx
    quantization.quantize_static(prepared, request.target, _Calibration(_feeds(request)), per_channel=True)


def _feeds(request: QuantizeRequest) -> Iterator[dict[str, Any]]:
    """The samples of calib; of a model with state every step of them, with the state that the one before gave."""
    source = open_source(request.files, Cache(request.cache_dir))
    session: Any = onnxruntime.InferenceSession(str(request.onnx), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    asked = source.asked("calib", CALIBRATED_WITH)
    for feed, _, _ in asked.asks(lambda given: list(session.run(names, dict(given))), names, 1):
        yield dict(feed)


class _Calibration(quantization.CalibrationDataReader):  # type: ignore[misc, unused-ignore]
    def __init__(self, feeds: Iterator[dict[str, Any]]) -> None:
        self._feeds = feeds

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)
