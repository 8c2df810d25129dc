"""Measures a variant: how well it answers, latency, memory and size."""

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgefleet_compression.cache import library_versions
from edgefleet_compression.errors import MeasureError
from edgefleet_compression.judging import drop
from edgefleet_compression.measuring.answered import JUDGED, answered, score_figures
from edgefleet_compression.measuring.host import host
from edgefleet_compression.measuring.probe_request import ProbeFigures, ProbeRequest, figures_in
from edgefleet_compression.models.source import Source
from edgefleet_compression.models.splits.data import SplitName
from edgefleet_compression.onnx_graphs.session import GraphSession
from edgefleet_compression.programs import ProgramHangs, end_of, output_of
from edgefleet_compression.samples import Feed
from edgefleet_contract.metrics import Metrics
from edgefleet_process.children import WORKER_ENVIRONMENT, run_module
from edgefleet_process.reading import digest_of_file
from edgefleet_protocol.canonical import digest_of
from edgefleet_protocol.encoding import compress
from edgefleet_protocol.execution_providers import CPU
from edgefleet_protocol.runtime_options import providers_in
from edgefleet_tasks.answer_set import pack_all, unpack_all

RUNS = 300
PROBE_SILENT_S = 600
FIGURES, ANSWERS = "metrics.json", "val.answers"
REVISION = 4
"""Raise it when the same file gets other figures."""


class MeasuredFile(NamedTuple):
    """The figures of a file, and its reduced answers to val."""

    metrics: Metrics
    val: tuple[bytes, ...]


def encoded_bytes(path: Path) -> int:
    """The size of a file as it goes over the wire."""
    return len(compress(path.read_bytes()))


def probe(path: Path, sample: Feed, runtime: Mapping[str, str], reference: Path | None = None) -> ProbeFigures:
    """Measure a file's latency and memory, and its latency against `reference`, in a process of its own.

    Raises:
        MeasureError: the process failed or hung.
    """
    with tempfile.TemporaryDirectory(prefix="edgefleet-probe-") as folder:
        file = Path(folder) / "sample.npz"
        np.savez(file, **{str(place): _plain(x) for place, x in enumerate(sample.values())})
        return _asked(ProbeRequest(path, tuple(sample), file, RUNS, runtime, reference))


def _plain(x: NDArray[Any]) -> Any:
    """Texts of a fixed width: objects would be pickled."""
    return x.astype(str) if x.dtype.kind == "O" else x


def _asked(request: ProbeRequest) -> ProbeFigures:
    command = run_module("edgefleet_compression.measuring.probe", request.as_json())
    try:
        said = output_of(command, PROBE_SILENT_S, os.environ | WORKER_ENVIRONMENT)
        return figures_in(said.splitlines()[-1])
    except subprocess.CalledProcessError as error:
        words = end_of(error).words
        raise MeasureError(f"the variant doesn't run in onnxruntime ({words}): correct the recipe") from None
    except ProgramHangs:
        raise MeasureError(f"measuring did not end in {PROBE_SILENT_S} s of CPU time: give a smaller model") from None
    except (ValueError, IndexError):
        raise MeasureError("the process that measures said nothing: try again") from None


def measured(
    path: Path,
    source: Source,
    runtime: Mapping[str, str],
    parameters: int | None,
    build_s: float | None,
    reference: Path | None = None,
    encoding_bytes: int | None = None,
) -> MeasuredFile:
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
            # A plug-in that was installed since measures what the CPU stood in for.
            **({"provider": GraphSession(path, runtime).provider} if providers_in(runtime) else {}),
        }
    )

    def fill(folder: Path) -> None:
        found = _measure(path, source, runtime, reference, encoding_bytes)
        (folder / FIGURES).write_text(found.metrics.model_dump_json(), encoding="utf-8")
        (folder / ANSWERS).write_bytes(pack_all(found.val))

    folder, _ = source.cache.get_or_put(key, fill)
    found = Metrics.model_validate_json((folder / FIGURES).read_bytes())
    told = found.model_copy(update={"parameters": parameters, "build_s": build_s})
    return MeasuredFile(told, unpack_all((folder / ANSWERS).read_bytes()))


def _beside_the_cpu(provider: str) -> list[str]:
    return [] if provider == CPU else [provider.removesuffix("ExecutionProvider")]


def _probed(path: Path, source: Source, runtime: Mapping[str, str], reference: Path | None) -> ProbeFigures:
    sample = source.asked("val", 1).one()
    if reference is None or runtime or digest_of_file(path) != digest_of_file(reference):
        return probe(path, sample, runtime, reference)
    return replace(probe(path, sample, runtime), latency_ratio=1.0)  # it is the reference


def _answers(session: GraphSession, source: Source, split: SplitName) -> list[bytes]:
    """A variant's answers to a split, reduced.

    Raises:
        MeasureError: an answer is not finite, or not of the task.
    """
    try:
        return source.judge.reduced(session.answering(source.asked(split)))
    except ValueError as error:
        raise MeasureError(f"the variant's answers to {split}: {error}: correct the recipe") from None


def _measure(
    path: Path, source: Source, runtime: Mapping[str, str], reference: Path | None, encoding_bytes: int | None
) -> MeasuredFile:
    session, judge, own = GraphSession(path, runtime), source.judge, host()
    val, test = (answered(source, _answers(session, source, name), name) for name in JUDGED)
    of_source_val, of_source_test = (answered(source, source.reduced(name), name) for name in JUDGED)
    val_drop, test_drop = drop(of_source_val.scores, val.scores), drop(of_source_test.scores, test.scores)
    probed = _probed(path, source, runtime, reference)
    figures = {
        "drop_val": val_drop.value if val_drop else None,
        "drop_val_ci": val_drop.bounds if val_drop else None,
        "drop_test": test_drop.value if test_drop else None,
        "drop_test_ci": test_drop.bounds if test_drop else None,
        "agreement_val": judge.agreement(val.answers, of_source_val.answers),
        "agreement": judge.agreement(test.answers, of_source_test.answers),
        "p50_ms": probed.p50_ms,
        "p95_ms": probed.p95_ms,
        "latency_ratio": probed.latency_ratio,
        "peak_rss_mb": probed.peak_rss_mb,
        "peak_address_mb": probed.peak_address_mb,
        "measured_on": f"{own.processor} ({', '.join([own.instruction_set, *_beside_the_cpu(session.provider)])})",
        "provider": session.provider,
        "instruction_set": own.instruction_set,
        "file_bytes": path.stat().st_size,
        "encoding_bytes": encoded_bytes(path) if encoding_bytes is None else encoding_bytes,
    }
    return MeasuredFile(score_figures(source, val, test).model_copy(update=figures), tuple(val.answers))
