"""Words for links that were found slower than the catalogue says."""

from collections.abc import Sequence

from edgefleet_contract.counted import counted
from edgefleet_contract.rollouts import SlowLinkView
from edgefleet_operator.figures import number, span

MOST_NAMED = 3


def slow_link_lines(slow: Sequence[SlowLinkView], wave_s: float) -> list[str]:
    """One line for each link with such devices, and one if some cannot be done in their wave's time."""
    lines = []
    for link in sorted({one.link for one in slow}):
        of_it = [one for one in slow if one.link == link]
        named = ", ".join(
            f"{one.device} {number(one.measured_kbps, 'kbit/s')}, {span(one.transfer_s)}" for one in of_it[:MOST_NAMED]
        )
        more = f", and {len(of_it) - MOST_NAMED} more" if len(of_it) > MOST_NAMED else ""
        rate = number(of_it[0].catalogue_kbps, "kbit/s")
        lines.append(f"{counted(len(of_it), 'device')} measured less than the {rate} of '{link}': {named}{more}")
    if late := [one for one in slow if one.transfer_s > wave_s]:
        told = f"{counted(len(late), 'device')} cannot fetch it within wave_s ({span(wave_s)})"
        lines.append(f"{told}: give the waves more time with --timer wave_s=SECONDS")
    return lines
