"""Says how a version answers beside the one before it."""

from edgefleet_contract.operations import VersionComparison
from edgefleet_operator.figures import count, share


def comparison_line(model: str, found: VersionComparison) -> str:
    """How much better or worse `model` answers than the version before, and how far both differ."""
    if found.not_compared is not None:
        return f"{model} was not compared with {found.before}: {found.not_compared}"
    measure, asked = found.measure, f"({found.asked} of both)"
    if measure.is_accuracy:
        differ = f"answers {share(found.disagreement)} of {count(found.samples)} samples of val differently"
    else:
        differ = f"disagrees by {share(found.disagreement)} on {count(found.samples)} samples of val"
    if found.gain is None or found.gain_ci is None:
        unlike = f"{differ} {'than' if measure.is_accuracy else 'with'} {found.before}"
        why = "without labels, neither is known to be right" if measure.scored else "single answers have no score"
        return f"{model} {unlike}; {why} {asked}"
    low, high = (f"{round(bound * 100, 1) + 0.0:+.1f}" for bound in found.gain_ci)  # no -0.0
    points = f"{abs(found.gain) * 100:.1f} points"
    than = "level with" if found.gain == 0 else f"{points} {'under' if found.gain < 0 else 'over'}"
    named = "" if measure.is_accuracy else f"{measure.name} "
    scores = f"{named}{share(found.score)} against {share(found.score_before)}, 95 % from {low} to {high}"
    return f"{model} is {than} {found.before} on val: {scores}; it {differ} {asked}"
