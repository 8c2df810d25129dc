"""Prints which variant of a model each profile gets, and why not the others."""

from collections.abc import Sequence

from edgefleet_contract.choices import ChoiceView
from edgefleet_contract.variants import VariantView
from edgefleet_operator.cli.choice_reasons import named, reason_lines
from edgefleet_operator.figures import NONE, ms, number, short, size
from edgefleet_operator.measures import Quality
from edgefleet_operator.printing import console, print_table

NOTE = (
    "chosen by val, test is only reported; CPU is the share of the source's time in fp32; CPU and p95 are those of "
    "{host}, in every row"
)


def print_choices(choices: Sequence[ChoiceView], variants: Sequence[VariantView]) -> None:
    """Print each profile's variant with its figures, the reasons for and against, and which choices are out of date."""
    known = {v.id: v for v in variants}
    compared = Quality(variants).columns
    rows = []
    for choice in choices:
        chosen = known.get(choice.variant or "")
        if chosen is None:
            rows.append((choice.profile, "nothing", *[NONE] * (4 + len(compared))))
            continue
        figures = (number(chosen.latency_ratio, "x"), ms(chosen.p95_ms), size(chosen.delivery_bytes))
        shown = (show(chosen) for _, show in compared)
        rows.append((choice.profile, chosen.label, short(chosen.id), *shown, *figures))
    host = next((v.measured_on for v in variants if v.measured_on), None)
    columns = ("profile", "gets", "variant", *(title for title, _ in compared), ">CPU", ">p95", ">delivery")
    print_table(columns, rows, title="What each profile gets", caption=NOTE.format(host=host) if host else "")
    out = console()
    for line in reason_lines(choices, variants):
        out.print(line)
    if stale := [choice for choice in choices if choice.not_considered]:
        newer = sorted({known[v].label for choice in stale for v in choice.not_considered if v in known})
        out.print(
            f"chosen earlier, without a look at {', '.join(newer)}: {named([c.profile for c in stale])}; to choose "
            "again, compress for them"
        )
