"""Cursor pages: every listing returns `items` and `next`, the cursor of the next page."""

from typing import Generic, TypeVar

from edgefleet_contract.base import Shape

Item = TypeVar("Item")


class Page(Shape, Generic[Item]):
    """A page of a listing; `next` is null on the last one."""

    items: list[Item]
    next: str | None = None
