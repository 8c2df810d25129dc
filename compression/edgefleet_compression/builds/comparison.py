"""The worker function that compares the answers of two files of a variant."""

from edgefleet_compression.builds.messages import CompareRequest
from edgefleet_compression.builds.worker_main import one_thread
from edgefleet_contract.operations import AnswerComparison


def compare_answers(request: CompareRequest) -> AnswerComparison:
    """Run both files on all test samples and compare what they answer."""
    one_thread()
    import numpy as np

    from edgefleet_compression.cache import Cache
    from edgefleet_compression.models.source import open_source
    from edgefleet_compression.onnx_graphs.session import GraphSession

    source = open_source(request.files, Cache(request.cache_dir))
    x, scale = source.data.split("test").x, source.card.preprocessing.scale
    a, b = (GraphSession(path, request.runtime).answers(x, scale) for path in (request.one, request.other))
    return AnswerComparison(
        samples=len(x),
        same_top1=int((a.argmax(1) == b.argmax(1)).sum()),
        largest_difference=float(np.abs(a - b).max()),
    )
