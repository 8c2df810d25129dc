"""What gates could not judge, and why, in words; pure."""

from collections.abc import Collection, Iterable, Mapping

from edgefleet_contract.measures import MeasureView
from edgefleet_contract.rollouts import GATE_CHECKS, GateCheck, Judgement, WaveRecord

_NAMED = 3


def against(judgements: Iterable[Judgement]) -> list[str]:
    """What counts against the variant."""
    return [judgement.words for judgement in judgements if judgement.outcome == "failed"]


def doubtful(judgements: Iterable[Judgement]) -> list[str]:
    """What speaks against the variant, but cannot be relied on."""
    return [judgement.words for judgement in judgements if judgement.outcome == "inconclusive"]


def evidence(judgements: Iterable[Judgement]) -> tuple[str, ...]:
    """What was judged."""
    return tuple(judgement.words for judgement in judgements if judgement.outcome != "not_judged")


def called(check: GateCheck, measure: MeasureView) -> str:
    """What people call a check: that of labelled answers by their measure."""
    if check != "accuracy":
        return check
    return measure.name if measure.scored else "score"


def missing(required: Iterable[GateCheck], judgements: Collection[Judgement], measure: MeasureView) -> str:
    """Why a wave lacks evidence that its gate requires; empty if it doesn't."""
    for check in required:
        of_check = [judgement for judgement in judgements if judgement.check == check]
        unjudged = [judgement for judgement in of_check if judgement.outcome == "not_judged"]
        if unjudged or not of_check:
            why = _reasons(unjudged, of_check) if unjudged else "no device has committed"
            return f"{called(check, measure)} is required, and could not be judged: {why}"
    return ""


def not_judged(judgements: Collection[Judgement], measure: MeasureView) -> str:
    """`not judged: accuracy (no labels yet)`; empty if everything was judged."""
    parts = []
    for check in GATE_CHECKS:
        of_check = [judgement for judgement in judgements if judgement.check == check]
        if unjudged := [judgement for judgement in of_check if judgement.outcome == "not_judged"]:
            parts.append(f"{called(check, measure)} ({_reasons(unjudged, of_check)})")
    return f"not judged: {', '.join(parts)}" if parts else ""


def in_all(waves: Iterable[WaveRecord]) -> list[Judgement]:
    """One judgement of each check and profile: the last one that judged it or, if none did, the last one."""
    found: dict[tuple[str, str], Judgement] = {}
    for wave in waves:
        for judgement in wave.judgements:
            key = (judgement.check, judgement.profile)
            if key not in found or judgement.outcome != "not_judged" or found[key].outcome == "not_judged":
                found[key] = judgement
    return list(found.values())


def _reasons(unjudged: Collection[Judgement], of_check: Collection[Judgement]) -> str:
    """Each reason once, with its profiles unless it holds for all of them."""
    profiles: dict[str, list[str]] = {}
    for judgement in unjudged:
        profiles.setdefault(judgement.words, []).append(judgement.profile)
    if len(profiles) == 1 and len(unjudged) == len(of_check):
        return next(iter(profiles))
    return "; ".join(f"{_named(of)}: {why}" for why, of in _longest_first(profiles).items())


def _longest_first(profiles: Mapping[str, list[str]]) -> dict[str, list[str]]:
    return dict(sorted(profiles.items(), key=lambda entry: (-len(entry[1]), entry[0])))


def _named(profiles: list[str]) -> str:
    more = len(profiles) - _NAMED
    return ", ".join(profiles[:_NAMED]) + (f" and {more} more" if more > 0 else "")
