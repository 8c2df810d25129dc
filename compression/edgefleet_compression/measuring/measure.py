"""Measures a variant: accuracy, latency, memory and size."""

import math
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.cache import library_versions
from edgefleet_compression.errors import MeasureError
from edgefleet_compression.measuring.host import host
from edgefleet_compression.measuring.probe_request import ProbeFigures, ProbeRequest, figures_in
from edgefleet_compression.models.data import Data
from edgefleet_compression.models.source import Source
from edgefleet_compression.onnx_graphs.session import GraphSession
from edgefleet_compression.programs import ProgramHangs, output_of
from edgefleet_contract.metrics import Metrics
from edgefleet_process.children import WORKER_ENVIRONMENT, run_module
from edgefleet_process.reading import digest_of_file
from edgefleet_protocol.canonical import digest_of
from edgefleet_protocol.encoding import compress
from edgefleet_tasks.intervals import Z_95, wilson

Top1 = NDArray[np.int64]

RUNS = 300
PROBE_SILENT_S = 600
FIGURES = "metrics.json"
REVISION = 2
"""Raise it when the same file gets other figures."""


def encoded_bytes(path: Path) -> int:
    """The size of a file as it goes over the wire."""
    return len(compress(path.read_bytes()))


@dataclass(frozen=True)
class Accuracies:
    """Shares of right answers, with the 95 % interval on test; None if a split has no labels."""

    test_samples: int
    val: float | None = None
    test: float | None = None
    test_ci: tuple[float, float] | None = None


@dataclass(frozen=True)
class Drop:
    """How much less often the variant is right than the source, with the 95 % interval of the paired difference."""

    share: float
    ci: tuple[float, float]


def probe(
    path: Path, shape: tuple[int, ...], runtime: Mapping[str, str], reference: Path | None = None
) -> ProbeFigures:
    """Measure a file's latency and memory, and its latency against `reference`, in a process of its own.

    Raises:
        MeasureError: the process failed or hung.
    """
    request = ProbeRequest(path, shape, RUNS, runtime, reference)
    command = run_module("edgefleet_compression.measuring.probe", request.as_json())
    try:
        said = output_of(command, PROBE_SILENT_S, os.environ | WORKER_ENVIRONMENT)
        return figures_in(said.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        last = (error.stderr or "no message").strip().splitlines()[-1]
        raise MeasureError(f"the variant doesn't run in onnxruntime ({last}): correct the recipe") from None
    except ProgramHangs:
        raise MeasureError(f"measuring did not end in {PROBE_SILENT_S} s of CPU time: give a smaller model") from None
    except (ValueError, IndexError):
        raise MeasureError("the process that measures said nothing: try again") from None


def accuracies(val_top1: Top1, test_top1: Top1, data: Data) -> Accuracies:
    """Shares of right answers on val and test."""
    val, test = data.split("val"), data.split("test")
    on_val = None if val.y is None else int((val_top1 == val.y).sum()) / len(val.y)
    if test.y is None:
        return Accuracies(len(test.x), on_val)
    right = int((test_top1 == test.y).sum())
    return Accuracies(len(test.x), on_val, right / len(test.y), wilson(right, len(test.y)).bounds)


def drop(source_top1: Top1, top1: Top1, labels: Top1 | None) -> Drop | None:
    """What a variant loses of the source's right answers; None without labels.

    Args:
        source_top1: int64 [N], answers of the source model.
        top1: int64 [N], answers of the variant.
        labels: int64 [N], or None.
    """
    if labels is None:
        return None
    lost = (source_top1 == labels).astype(np.float64) - (top1 == labels)
    mean, half = float(lost.mean()), float(Z_95 * lost.std() / math.sqrt(len(lost)))
    return Drop(mean, (mean - half, mean + half))


def measured(
    path: Path,
    source: Source,
    runtime: Mapping[str, str],
    parameters: int | None,
    build_s: float | None,
    reference: Path | None = None,
    encoding_bytes: int | None = None,
) -> Metrics:
    """Take every figure of an ONNX file that this host can measure; figures it took before come from the cache.

    Args:
        path: the file.
        source: the model it was made from, with the splits.
        runtime: session options that the device will use.
        parameters: how many the network has.
        build_s: seconds that the build took, without cached steps.
        reference: the source's fp32 file, to time the variant against; without it `latency_ratio` stays None.
        encoding_bytes: the size of the file's encoding, if that is known.
    """
    key = digest_of(
        {
            "measure": REVISION,
            "file": digest_of_file(path),
            "reference": None if reference is None else digest_of_file(reference),
            "source": source.digest,
            "data": source.card.data.sha256,
            "runtime": dict(runtime),
            "host": list(host()),
            "libraries": library_versions(),
        }
    )

    def fill(folder: Path) -> None:
        metrics = _measure(path, source, runtime, reference, encoding_bytes)
        (folder / FIGURES).write_text(metrics.model_dump_json(), encoding="utf-8")

    folder, _ = source.cache.get_or_put(key, fill)
    found = Metrics.model_validate_json((folder / FIGURES).read_bytes())
    return found.model_copy(update={"parameters": parameters, "build_s": build_s})


def _probed(path: Path, source: Source, runtime: Mapping[str, str], reference: Path | None) -> ProbeFigures:
    shape = source.card.input.shape
    if reference is None or runtime or digest_of_file(path) != digest_of_file(reference):
        return probe(path, shape, runtime, reference)
    return replace(probe(path, shape, runtime), latency_ratio=1.0)  # it is the reference


def _measure(
    path: Path, source: Source, runtime: Mapping[str, str], reference: Path | None, encoding_bytes: int | None
) -> Metrics:
    session, data = GraphSession(path, runtime), source.data
    scale = source.card.preprocessing.scale
    val, test = data.split("val"), data.split("test")
    val_top1 = session.answers(val.x, scale).argmax(1)
    test_top1 = session.answers(test.x, scale).argmax(1)
    source_val, source_test = source.logits("val").argmax(1), source.logits("test").argmax(1)
    own, right = host(), accuracies(val_top1, test_top1, data)
    on_val, on_test = drop(source_val, val_top1, val.y), drop(source_test, test_top1, test.y)
    probed = _probed(path, source, runtime, reference)
    return Metrics(
        accuracy_val=right.val,
        accuracy_test=right.test,
        accuracy_test_ci=right.test_ci,
        test_samples=right.test_samples,
        drop_val=on_val.share if on_val else None,
        drop_val_ci=on_val.ci if on_val else None,
        drop_test=on_test.share if on_test else None,
        drop_test_ci=on_test.ci if on_test else None,
        agreement_val=float((val_top1 == source_val).mean()),
        agreement=float((test_top1 == source_test).mean()),
        p50_ms=probed.p50_ms,
        p95_ms=probed.p95_ms,
        latency_ratio=probed.latency_ratio,
        peak_rss_mb=probed.peak_rss_mb,
        peak_address_mb=probed.peak_address_mb,
        measured_on=f"{own.processor} ({own.instruction_set})",
        instruction_set=own.instruction_set,
        file_bytes=path.stat().st_size,
        encoding_bytes=encoded_bytes(path) if encoding_bytes is None else encoding_bytes,
    )
