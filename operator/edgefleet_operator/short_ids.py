"""Short forms of our own ids, for people; every command accepts them, and JSON keeps ids whole.

A UUIDv7 begins with the time, so the ids of an hour begin alike: what tells them apart is how they end.
"""

import re
from collections.abc import Iterable

_WHOLE = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b")
SHOWN = 8
"""Hexadecimal digits of a short form, all of them random: among 1,000 ids, two end alike with a chance of 0.01 %."""
LEAST = 4
"""How much of an id must be given, so that a slip of the finger is no id: all that were made in years begin with 01."""


def with_short_ids(text: str) -> str:
    """Shorten every id of ours in a text, whoever wrote it."""
    return _WHOLE.sub(lambda whole: whole[0][-SHOWN:], text)


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """The ends by which these ids can be told apart, all of one length; other ids than ours stay whole."""
    known = set(ids)
    if not all(map(_WHOLE.fullmatch, known)):
        return {one: one for one in known}
    longest = max(map(len, known), default=0)
    for length in range(SHOWN, longest):
        if len({one[-length:] for one in known}) == len(known):
            return {one: one[-length:] for one in known}
    return {one: one for one in known}


def is_short_for(given: str, whole: str, shown: str | None = None) -> bool:
    """Whether a text is the start or the end of an id, or the start of how that is shown.

    Args:
        given: the text.
        whole: the id.
        shown: its short form among others; it counts beside the one of usual length.
    """
    text = given.lower()
    starts = (whole, shown or whole, with_short_ids(whole))
    return len(text) >= LEAST and (whole.endswith(text) or any(start.startswith(text) for start in starts))
