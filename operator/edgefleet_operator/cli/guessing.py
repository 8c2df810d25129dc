"""Says when no variant answers better than somebody who guesses: then labels and answers don't belong together."""

from collections.abc import Sequence

from edgefleet_contract.variants import VariantView
from edgefleet_operator.figures import count, share


def guessing(variants: Sequence[VariantView], classes: int) -> str | None:
    """What to say if the best variant's accuracy on test may be that of guessing; None if not, or without labels.

    Args:
        variants: all of a model.
        classes: how many classes the model tells apart.
    """
    judged = [v for v in variants if v.measure.is_accuracy and v.score is not None and v.score_ci]
    best = max(judged, key=lambda v: v.score or 0.0, default=None)
    if best is None or classes < 2 or not best.score_ci or best.score_ci[0] > 1 / classes:
        return None
    return (
        f"no variant is known to answer better than guessing: {best.recipe} is right on {share(best.score)} of "
        f"{count(best.test_samples)} samples of test, and guessing on {share(1 / classes)}; see that the labels are in "
        "the samples' order and number the model's classes, and that the scale is right"
    )
