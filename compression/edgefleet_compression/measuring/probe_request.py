"""The request to the process that measures a file, and its answer, as JSON; standard library only.

Anything else that the process loads would show in its memory figure.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ProbeRequest:
    """Asks to load, run and time an ONNX file.

    `inputs` are the names of its inputs, and `sample` is an npz of what one sample gives each, called by their places:
    names may hold what a file's may not. `runs` is the least number of inferences of it; `runtime` holds session
    options. With a `reference`, a file with the same inputs, both are timed in turn.
    """

    path: Path
    inputs: tuple[str, ...]
    sample: Path
    runs: int
    runtime: Mapping[str, str] = field(default_factory=dict)
    reference: Path | None = None

    def as_json(self) -> str:
        """The request as an argument of the process."""
        return json.dumps(asdict(self), default=str)


@dataclass(frozen=True)
class ProbeFigures:
    """CPU time of one inference, on one thread, and divided by that of the reference; growth of memory at its peaks.

    Memory is what is resident and, which a limit counts, the address space.
    """

    p50_ms: float
    p95_ms: float
    peak_rss_mb: float
    peak_address_mb: float | None = None
    latency_ratio: float | None = None

    def as_json(self) -> str:
        """The figures as the process prints them."""
        return json.dumps(asdict(self))


def request_in(text: str) -> ProbeRequest:
    """Read a request."""
    given = json.loads(text)
    reference = given["reference"]
    return ProbeRequest(
        path=Path(given["path"]),
        inputs=tuple(given["inputs"]),
        sample=Path(given["sample"]),
        runs=given["runs"],
        runtime=given["runtime"],
        reference=reference and Path(reference),
    )


def figures_in(text: str) -> ProbeFigures:
    """Read figures.

    Raises:
        ValueError: the text holds something else.
    """
    try:
        return ProbeFigures(**json.loads(text))
    except TypeError as error:
        raise ValueError(str(error)) from None
