"""The entry point of a worker that lets two files of a variant answer the same samples."""

from pathlib import Path
from typing import Any

from edgefleet_compression.builds.worker_main import one_thread


def compare_answers(
    files: dict[str, str], cache_dir: str, one: str, other: str, runtime: dict[str, str]
) -> dict[str, Any]:
    """What two ONNX files answer to all samples of test: {"samples", "same_top1", "largest_difference"}.

    Args:
        files: of the model, by their names in its folder.
        cache_dir: what may be used as a cache.
        one: an ONNX file.
        other: another one of the same inputs and classes.
        runtime: session configuration entries of both.
    """
    one_thread()
    import numpy as np

    from edgefleet_compression.cache import Cache
    from edgefleet_compression.models.source import open_source
    from edgefleet_compression.onnx_graphs.session import GraphSession, inputs

    source = open_source({name: Path(path) for name, path in files.items()}, Cache(Path(cache_dir)))
    x = inputs(source.data.split("test").x, source.card.preprocessing.scale)
    a, b = (GraphSession(Path(path), runtime).logits(x) for path in (one, other))
    return {
        "samples": len(x),
        "same_top1": int((a.argmax(1) == b.argmax(1)).sum()),
        "largest_difference": float(np.abs(a - b).max()),
    }
