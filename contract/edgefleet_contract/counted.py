"""Numbers of things in words, for everyone who writes sentences about a fleet."""


def counted(number: int, thing: str) -> str:
    """`1 device`, `2,000 devices`; for nouns that take an s."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def agreeing(number: int, one: str, several: str) -> str:
    """The form of a word that goes with a number of things: `is` or `are`, `has` or `have`."""
    return one if number == 1 else several
