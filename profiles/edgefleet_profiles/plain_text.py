"""The one rule for texts that people write, such as notes and titles: one line, of which something shows. Pure."""

import unicodedata

UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters, halves of characters, and ends of lines and paragraphs."""
REORDERING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
"""Unicode's directional controls, which let a text look like another one."""
FORMATTING = frozenset({"Cf", "Zs", *UNPRINTABLE})
"""Unicode's categories of characters that show nothing themselves, as zero-width ones and spaces."""
EMPTY = (" FILLER", " PATTERN BLANK")
"""How Unicode names letters and symbols that show nothing."""


def shows(text: str) -> bool:
    """Whether a reader sees anything of a text: marks alone, which belong to a letter before them, are not enough."""
    return any(map(_shows, text))


def odd_character(text: str) -> str | None:
    """Say which character keeps a text from being one line that looks like what it is; None if all are plain."""
    for at, character in enumerate(text, start=1):
        if unicodedata.category(character) in UNPRINTABLE or unicodedata.bidirectional(character) in REORDERING:
            return f"character {at} of it is {character!a}"
    return None


def _shows(character: str) -> bool:
    category = unicodedata.category(character)
    if category in FORMATTING or category.startswith("M"):
        return False
    return not unicodedata.name(character, "").endswith(EMPTY)
