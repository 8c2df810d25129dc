"""What to use instead of a key that nothing knows: the nearest right one. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel


def nearest(word: str, known: Iterable[str]) -> str:
    """What to use instead of a word that nothing knows: the nearest, or all there are."""
    known = list(known)
    if near := get_close_matches(word, known, n=1):
        return f"did you mean '{near[0]}'?"
    return f"use one of {', '.join(known)}"


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
