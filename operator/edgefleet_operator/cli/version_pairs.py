"""Says how what devices would get answers beside what they have."""

from collections.abc import Iterator, Mapping

from edgefleet_contract.counted import agreeing, counted
from edgefleet_contract.pairs import PairView
from edgefleet_contract.rollouts import PlanView
from edgefleet_operator.figures import share, short


def pair_lines(planned: PlanView, recipes: Mapping[str, str]) -> Iterator[str]:
    """A line for each change of variants, and one for the devices that have nothing to compare with.

    Args:
        planned: the plan.
        recipes: by variant, as far as they are known.
    """
    for pair in planned.pairs:
        now, then = (recipes.get(variant, short(variant)) for variant in (pair.after, pair.before))
        beside = f"{then} of {pair.before_model}" if pair.before_model else then
        devices = counted(pair.devices, "device")
        if pair.not_compared is not None:
            yield f"{now} was not compared with {beside}, on {devices}: {pair.not_compared}"
        else:
            yield f"{now} beside {beside}, on {devices}: {_figures(pair)}"
        if pair.refused:
            yield f"  accepted all the same: it {pair.refused}"
        if pair.signature_change:
            yield f"  applications must {pair.signature_change}"
    if n := planned.first_installs:
        yield f"{counted(n, 'device')} {agreeing(n, 'answers', 'answer')} nothing yet: nothing there to compare with"


def _figures(pair: PairView) -> str:
    asked = "" if pair.asked == "variant" else " (its source model was asked in its place)"
    on = counted(pair.samples or 0, "sample")
    told = [f"disagrees by {share(pair.disagreement)} on {on} of val{_between(pair.disagreement_ci)}{asked}"]
    if pair.drop is not None:
        told.append(f"{pair.measure} {share(pair.score)} against {share(pair.score_before)}")
    elif pair.not_scored:
        told.append(f"{pair.measure} was not looked at: {pair.not_scored}")
    return "; ".join(told)


def _between(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f" (95 % from {share(bounds[0])} to {share(bounds[1])})"
