"""Cursor pages: every listing returns `items` and `next`, the cursor of the next page."""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import Query

from edgefleet_contract.pages import Page

T = TypeVar("T")
V = TypeVar("V")

PageLimit = Annotated[int, Query(ge=1, le=1000, description="maximum number of items")]
Cursor = Annotated[str | None, Query(description="`next` of the previous page")]


def page(
    found: Sequence[T], key: Callable[[T], str], view: Callable[[T], V], limit: int, cursor: str | None
) -> Page[V]:
    """One page of what was found: the items whose key comes after the cursor."""
    rest = sorted((item for item in found if cursor is None or key(item) > cursor), key=key)
    shown = rest[:limit]
    return Page(items=[view(item) for item in shown], next=key(shown[-1]) if len(rest) > limit else None)
