"""Prints which variant of a model each profile gets, and why not the others."""

from collections.abc import Sequence

from edgefleet_contract.choices import ChoiceView
from edgefleet_contract.variants import VariantView
from edgefleet_operator.figures import NONE, ms, quality, score, share, short, size
from edgefleet_operator.printing import console, print_table

NOTE = "Latency was measured on {host}; for other hardware it is predicted with the catalogue's factor."


def print_choices(choices: Sequence[ChoiceView], variants: Sequence[VariantView]) -> None:
    """Print each profile's variant with its figures, then the reason against each of the others."""
    known = {v.id: v for v in variants}
    good = quality(variants)
    rows = []
    for choice in choices:
        chosen = known.get(choice.variant or "")
        if chosen is None:
            rows.append((choice.profile, "nothing", NONE, NONE, NONE, NONE))
            continue
        figures = (share(score(chosen, good)), ms(chosen.p95_ms), size(chosen.delivery_bytes))
        rows.append((choice.profile, chosen.label, short(chosen.id), *figures))
    host = next((v.measured_on for v in variants if v.measured_on), None)
    columns = ("profile", "gets", "variant", f">{good}", ">p95", ">delivery")
    print_table(columns, rows, title="What each profile gets", caption=NOTE.format(host=host) if host else "")
    out = console()
    for choice in choices:
        because = choice.reasons.get(choice.variant or "", "no variant meets its constraints")
        out.print(f"{choice.profile}: {because}")
        for variant, reason in choice.reasons.items():
            if variant != choice.variant and variant in known:
                out.print(f"    not {known[variant].label}: {reason}")
