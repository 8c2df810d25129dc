"""The worker function that compares the answers of two files of a variant."""

import math

from edgefleet_compression.builds.messages import CompareRequest
from edgefleet_compression.builds.worker_main import one_thread
from edgefleet_contract.operations import AnswerComparison
from edgefleet_protocol.features import FIRST_TASK


def compare_answers(request: CompareRequest) -> AnswerComparison:
    """Run both files on all test samples, and compare all their outputs, and what the task makes of them."""
    one_thread()
    from edgefleet_compression.cache import Cache
    from edgefleet_compression.models.source_files import open_source
    from edgefleet_compression.onnx_graphs.answers import largest_difference
    from edgefleet_compression.onnx_graphs.session import GraphSession

    source = open_source(request.files, Cache(request.cache_dir))
    paths, judge = (request.one, request.other), source.sent.judge
    one, other = (
        GraphSession(path, request.runtime).answered(source.as_taken_by(path).asked("test")) for path in paths
    )
    agreements, difference = judge.agreements(judge.reduced(one), judge.reduced(other)), largest_difference(one, other)
    return AnswerComparison(
        samples=len(one),
        agreement=float(agreements.mean()),
        same_top1=round(agreements.sum()) if source.task == FIRST_TASK else None,
        largest_difference=difference if math.isfinite(difference) else None,
    )
