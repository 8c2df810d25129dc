"""Named parts of the fleet."""

from collections.abc import Iterator

from edgefleet_contract.pages import Page
from edgefleet_contract.segments import SegmentView
from edgefleet_operator.http import Http, at


class Segments:
    """`client.segments`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def all(self, limit: int | None = None) -> Iterator[SegmentView]:
        """Every segment, with its devices counted now; at most `limit`."""
        return self._http.items(Page[SegmentView], "/segments", limit)

    def get(self, name: str) -> SegmentView:
        """A segment."""
        return self._http.shape(SegmentView, "GET", at("/segments", name))

    def save(self, name: str, selector: str) -> SegmentView:
        """Give a selector a name; a segment of that name means the new selector from then on."""
        return self._http.shape(SegmentView, "PUT", at("/segments", name), query={"selector": selector})
