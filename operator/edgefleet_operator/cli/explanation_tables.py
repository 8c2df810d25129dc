"""Prints why a profile gets a variant, and what would flip the choice."""

from collections.abc import Callable, Sequence

from edgefleet_contract.choices import ExplanationView, FlipView, OfferView
from edgefleet_contract.measures import MeasureView
from edgefleet_operator.client import Client
from edgefleet_operator.figures import NONE, measured, ms, number, share, short, size, span
from edgefleet_operator.printing import console, print_json, print_table
from edgefleet_profiles.profile import Constraints

MOST_FLIPS = 2
"""For one quantity in one direction; `--json` has them all."""


def explain_choice(client: Client, model: str, profile: str, as_json: bool) -> None:
    """Print which variant of a model a profile gets and why; nothing is built.

    Raises:
        ApiError: the model or the profile is unknown, or the model has no variants yet.
    """
    found = client.models.explain(model, profile)
    if as_json:
        print_json(found)
    else:
        print_explanation(found)


def print_explanation(found: ExplanationView) -> None:
    """Print winner and runner-up side by side, the flips, then every constraint that rejected others."""
    out = console()
    winner, second = found.winner, found.runner_up
    asked = ", ".join(f"{k} {v:g}" for k, v in found.constraints if _is_asked(k, v))
    out.print(f"{found.model} on {found.profile}: prefers {_prefers(found)}; {asked or 'no limits'}")
    if winner is None:
        out.print("no variant meets every constraint")
    _print_sides(winner, second, found.measure)
    for offer in (winner, second):
        if offer:
            out.print(f"{offer.recipe}: {offer.reason}")
    _print_flips(found)
    _print_rejected(found)


def _is_asked(name: str, value: object) -> bool:
    return isinstance(value, int | float) and value != Constraints.model_fields[name].default


def _preference(prefer: str, measure: MeasureView) -> str:
    return measure.name if prefer == "score" else prefer


def _prefers(found: ExplanationView) -> str:
    said = _preference(found.constraints.prefer, found.measure)
    alone = said == "agreement" and not found.measure.scored
    return f"{said} with the source model, as single answers have no score" if alone else said


def _print_sides(winner: OfferView | None, second: OfferView | None, measure: MeasureView) -> None:
    sides = [(title, o) for title, o in (("winner", winner), ("runner-up", second)) if o]
    if not sides:
        return
    rows: list[tuple[str, Callable[[OfferView], str]]] = [
        ("variant", lambda o: f"{o.recipe} {short(o.variant)}"),
        *([(f"{measure.name} (val)", lambda o: measured(o.score_val, measure))] if measure.scored else []),
        ("agreement (val)", lambda o: share(o.agreement_val)),
        ("delivery", lambda o: size(o.delivery_bytes)),
        ("transfer", lambda o: span(o.transfer_s)),
        ("its data", lambda o: number(float(f"{o.transfer_usd:.3g}"), "USD")),
        ("its energy", lambda o: number(float(f"{o.transfer_j:.3g}"), "J")),
        ("p95", lambda o: f"{ms(o.p95_ms)}{' (predicted)' if o.p95_is_predicted else ''}"),
        ("memory", lambda o: number(o.peak_rss_mb, "MB")),
        ("an inference", _energy),
    ]
    print_table(
        ("", *(f"{title}..." for title, _ in sides)), [(name, *(show(o) for _, o in sides)) for name, show in rows]
    )


def _energy(offer: OfferView) -> str:
    energy = offer.inference_mj
    return NONE if energy is None else f"{energy:.3g} mJ ({offer.energy_source})"


def _print_flips(found: ExplanationView) -> None:
    out = console()
    kept = [f for f in found.flips if f.now is not None]
    could = [f for f in found.flips if f.now is None and f.variant]
    for title, flips in (("What would flip it", kept), ("What would flip it as a new limit", could)):
        rows = [(flip.sentence, _now(flip)) for flip in _nearest(flips)]
        if rows:
            print_table(("...", "now"), rows, title=title)
    if not kept:
        out.print("no single figure of the link and no single limit flips it")
    names = {o.variant: o.recipe for o in found.candidates}
    current = found.winner and found.winner.variant
    other = {p: v for p, v in found.preferences.items() if v != current}
    for prefer, variant in other.items():
        out.print(
            f"with a preference for {_preference(prefer, found.measure)}, {names.get(variant or '', 'nothing')} wins"
        )


def _now(flip: FlipView) -> str:
    if flip.now is None:
        return "no limit"
    scale = 100 if flip.unit.startswith(("%", "points")) else 1
    return f"{flip.now * scale:,.6g}"


def _nearest(flips: Sequence[FlipView]) -> list[FlipView]:
    """Keep the first few of each quantity and direction."""
    counts: dict[tuple[str, str], int] = {}
    kept = []
    for flip in flips:
        key = flip.quantity, flip.direction
        counts[key] = counts.get(key, 0) + 1
        if counts[key] <= MOST_FLIPS:
            kept.append(flip)
    return kept


def _print_rejected(found: ExplanationView) -> None:
    rows = [
        (broken.constraint, offer.recipe, short(offer.variant), broken.sentence)
        for offer in found.candidates
        for broken in offer.broken
    ]
    if rows:
        print_table(("constraint", "rejects", "variant", "because..."), sorted(rows), title="What was rejected")
    for variant, reason in found.made_for_others.items():
        console().print(f"not a candidate here: {short(variant)}, {reason}")
