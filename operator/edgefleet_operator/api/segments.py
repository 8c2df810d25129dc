"""Saves and lists segments, the named parts of the fleet."""

from collections.abc import Iterator

from edgefleet_contract.pages import Page
from edgefleet_contract.segments import SegmentView
from edgefleet_operator.http import BASE, Http, at


class Segments:
    """`client.segments`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def all(self, limit: int | None = None) -> Iterator[SegmentView]:
        """Iterate over all segments with their current number of devices, at most `limit`."""
        return self._http.items(Page[SegmentView], "/segments", limit)

    def get(self, name: str) -> SegmentView:
        """Get a segment."""
        return self._http.shape(SegmentView, "GET", at("/segments", name))

    def save(self, name: str, selector: str) -> SegmentView:
        """Save a selector under a name; if the segment exists, it gets the new selector."""
        return self._http.shape(SegmentView, "PUT", at("/segments", name), query={"selector": selector})

    def remove(self, name: str) -> None:
        """Forget a segment; its devices, and rollouts that were started for it, stay as they are."""
        self._http.answer("DELETE", f"{BASE}{at('/segments', name)}")
