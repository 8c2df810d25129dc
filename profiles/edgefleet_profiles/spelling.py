"""What to use instead of a key or a name that nothing knows: the nearest right one. Pure."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel

CLOSE = 0.7
"""Of names: `asia` and `sa` are 0.67 alike."""
MOST_LISTED = 40
LEAST_WORD = 3
"""Letters of a word that can mean something: of two letters, half are right by chance."""


def nearest(word: str, known: Iterable[str]) -> str:
    """What to use instead of a word that nothing knows: the nearest, or all there are."""
    known = list(known)
    if near := get_close_matches(word, known, n=1):
        return f"did you mean '{near[0]}'?"
    return f"use one of {', '.join(known)}"


def nearest_entry(name: str, titles: Mapping[str, str]) -> str:
    """What to use instead of a name that no entry has: what is spelled or called much alike, or all there are.

    Args:
        name: what was given.
        titles: each entry's title by its name.
    """
    alike = get_close_matches(name, titles, n=3, cutoff=CLOSE) if len(name) >= LEAST_WORD else []
    if near := [*alike, *_called_alike(name, titles)]:
        return f"did you mean {' or '.join(dict.fromkeys(near))}?"
    known = [f"{one} ({title})" for one, title in sorted(titles.items())]
    more = f" and {len(known) - MOST_LISTED} more" if len(known) > MOST_LISTED else ""
    return f"choose one of {', '.join(known[:MOST_LISTED])}{more}"


def _called_alike(name: str, titles: Mapping[str, str]) -> Iterator[str]:
    """The entries that share a word with what was given, or the beginning of one: `europe` and `European Union`."""
    given = _words(name)
    for one, title in titles.items():
        if any(a.startswith(b) or b.startswith(a) for a in given for b in _words(f"{one} {title}")):
            yield one


def _words(text: str) -> list[str]:
    return [word for word in re.findall("[a-z0-9]+", text.casefold()) if len(word) >= LEAST_WORD]


def nearest_field(model: type[BaseModel], place: Sequence[int | str]) -> str:
    """What to use instead of a key that a model, or a part of it, does not have.

    Args:
        model: what was validated.
        place: where the key is, as pydantic gives it: fields, positions in lists, and the key itself.
    """
    parts = {model}
    for step in place[:-1]:
        fields = [part.model_fields[str(step)] for part in parts if str(step) in part.model_fields]
        # A position in a list, and the tag of a union, lead to no field.
        parts = {found for field in fields for found in models_in(field.annotation)} or parts
    return nearest(str(place[-1]), {name: None for part in parts for name in part.model_fields})


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation names, such as `list[Constraints] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from models_in(inner)
