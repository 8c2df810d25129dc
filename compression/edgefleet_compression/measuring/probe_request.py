"""What the process that measures a file is asked, and what it answers: JSON, with the standard library alone.

Whatever that process had loaded besides onnxruntime would be in its figures of memory.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ProbeRequest:
    """Load and run an ONNX file.

    `shape` is one input without the batch, `runs` how many inferences of batch 1 are timed at least, `runtime` session
    configuration entries. With a `reference`, another file of that input, both are timed in turns.
    """

    path: Path
    shape: tuple[int, ...]
    runs: int
    runtime: Mapping[str, str] = field(default_factory=dict)
    reference: Path | None = None

    def as_json(self) -> str:
        """The request as that process takes it."""
        return json.dumps({**asdict(self), "path": str(self.path), "reference": self.reference and str(self.reference)})


@dataclass(frozen=True)
class ProbeFigures:
    """Wall milliseconds of one inference, the growth of resident memory, and CPU time by that of the reference."""

    p50_ms: float
    p95_ms: float
    peak_rss_mb: float
    latency_ratio: float | None = None

    def as_json(self) -> str:
        """The figures as that process answers with them."""
        return json.dumps(asdict(self))


def request_in(text: str) -> ProbeRequest:
    """The request that a JSON text holds."""
    given = json.loads(text)
    reference = given["reference"]
    return ProbeRequest(
        path=Path(given["path"]),
        shape=tuple(given["shape"]),
        runs=given["runs"],
        runtime=given["runtime"],
        reference=reference and Path(reference),
    )


def figures_in(text: str) -> ProbeFigures:
    """The figures that a JSON text holds.

    Raises:
        ValueError: it holds something else.
    """
    try:
        return ProbeFigures(**json.loads(text))
    except TypeError as error:
        raise ValueError(str(error)) from None
