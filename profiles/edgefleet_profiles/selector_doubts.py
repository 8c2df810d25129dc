"""What in a selector may be a slip: labels that no device has, and values that none of them has. Pure."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import chain

from edgefleet_profiles.selector import Selector


def known_labels(profiles: Iterable[str], of_devices: Iterable[Mapping[str, str]]) -> dict[str, set[str]]:
    """Every label that a selector may name, with its values: what the catalogue has, and what devices have.

    Args:
        profiles: the catalogue's, such as `eu/rpi4/lte`: a device of each may come.
        of_devices: the labels of each device.
    """
    places = (dict(zip(("region", "hardware", "link"), profile.split("/"), strict=True)) for profile in profiles)
    known: dict[str, set[str]] = {"metered": {"true"}}
    for labels in chain(places, of_devices):
        for key, value in labels.items():
            known.setdefault(key, set()).add(value)
    return known


def doubts(selector: Selector, known: Mapping[str, Collection[str]]) -> Iterator[str]:
    """A sentence for each label and value that is not known, with what is spelled alike."""
    for requirement in selector.requirements:
        key = requirement.key
        if key not in known:
            yield f"no device has a label '{key}'{_alike(key, known)}"
            continue
        for value in requirement.values:
            if value not in known[key]:
                yield f"no device has {key}={value}{_alike(value, known[key])}"


def _alike(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word, sorted(known), n=1)
    return f": did you mean '{near[0]}'?" if near else ""
