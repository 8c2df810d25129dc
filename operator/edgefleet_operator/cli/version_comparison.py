"""Says how a version answers beside the one before it."""

from edgefleet_contract.operations import VersionComparison
from edgefleet_operator.figures import count, share


def comparison_line(model: str, found: VersionComparison) -> str:
    """How much more or less often `model` is right than the version before, and how often both differ."""
    if found.not_compared is not None:
        return f"{model} was not compared with {found.before}: {found.not_compared}"
    differ = f"answers {share(found.disagreement)} of {count(found.samples)} samples of val differently"
    asked = f"({found.asked} of both)"
    if found.gain is None or found.gain_ci is None:
        return f"{model} {differ} than {found.before}; without labels, neither is known to be right {asked}"
    low, high = (f"{round(bound * 100, 1) + 0.0:+.1f}" for bound in found.gain_ci)  # no -0.0
    points = f"{abs(found.gain) * 100:.1f} points"
    than = "level with" if found.gain == 0 else f"{points} {'under' if found.gain < 0 else 'over'}"
    scores = f"{share(found.score)} against {share(found.score_before)}, 95 % from {low} to {high}"
    return f"{model} is {than} {found.before} on val: {scores}; it {differ} {asked}"
