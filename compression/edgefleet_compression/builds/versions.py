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
    from edgefleet_compression.judging import drop, mean_of
    from edgefleet_compression.models.source import open_source

    cache = Cache(request.cache_dir)
    source, before = open_source(request.files, cache), open_source(request.before, cache)
    if (reason := why_not_alike(source.card, before.card)) is not None:
        raise NotApplicable(reason)
    # A pair is judged by what is known of the older version's answers.
    y, judge = source.data.split("val").y, before.judge
    then = judge.task.reduce([before.with_data_of(source).logits("val")], judge.spec)
    now = judge.task.reduce([source.logits("val")], judge.spec)
    scores_then, scores_now = judge.scores(then, y), judge.scores(now, y)
    lost, mean_then, mean_now = drop(scores_then, scores_now), mean_of(scores_then), mean_of(scores_now)
    return VersionComparison(
        before=before.card.ref,
        samples=len(now),
        disagreement=1 - judge.agreement(then, now),
        score=mean_now.value if mean_now else None,
        score_before=mean_then.value if mean_then else None,
        gain=-lost.value if lost else None,
        gain_ci=(-lost.high, -lost.low) if lost else None,
    )


def why_not_alike(card: ModelCard, before: ModelCard) -> str | None:
    """Why two versions cannot be asked the same, None if they can; pure."""
    if card.input.shape != before.input.shape:
        return f"samples of {before.ref} have the shape {list(before.input.shape)}, here it is {list(card.input.shape)}"
    if card.labels and before.labels and card.labels != before.labels:
        return f"{before.ref} has other classes, or has them in another order"
    return None
