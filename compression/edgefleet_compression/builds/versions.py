"""The worker function that asks two versions of a model the same samples."""

from edgefleet_compression.builds.messages import VersionsRequest
from edgefleet_compression.builds.refusals import refusing
from edgefleet_compression.builds.worker_main import one_thread
from edgefleet_compression.errors import NotApplicable
from edgefleet_contract.card import ModelCard
from edgefleet_contract.operations import VersionComparison


@refusing
def compare_versions(request: VersionsRequest) -> VersionComparison:
    """Ask the source models of both versions the val samples of the newer one, and compare what they answer."""
    one_thread()
    from edgefleet_compression.cache import Cache
    from edgefleet_compression.measuring.measure import drop
    from edgefleet_compression.models.source import open_source

    cache = Cache(request.cache_dir)
    source, before = open_source(request.files, cache), open_source(request.before, cache)
    if (reason := why_not_alike(source.card, before.card)) is not None:
        raise NotApplicable(reason)
    y = source.data.split("val").y
    now, then = source.logits("val").argmax(1), before.with_data_of(source).logits("val").argmax(1)
    lost = drop(then, now, y)
    return VersionComparison(
        before=before.card.ref,
        samples=len(now),
        disagreement=float((now != then).mean()),
        score=None if y is None else float((now == y).mean()),
        score_before=None if y is None else float((then == y).mean()),
        gain=None if lost is None else -lost.share,
        gain_ci=None if lost is None else (-lost.ci[1], -lost.ci[0]),
    )


def why_not_alike(card: ModelCard, before: ModelCard) -> str | None:
    """Why two versions cannot be asked the same, None if they can; pure."""
    if card.input.shape != before.input.shape:
        return f"samples of {before.ref} have the shape {list(before.input.shape)}, here it is {list(card.input.shape)}"
    if card.labels and before.labels and card.labels != before.labels:
        return f"{before.ref} has other classes, or has them in another order"
    return None
