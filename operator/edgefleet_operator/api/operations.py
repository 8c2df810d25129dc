"""Long work that the controller has accepted."""

from collections.abc import Callable, Iterator

from edgefleet_contract.operations import OperationRecord
from edgefleet_contract.pages import Page
from edgefleet_contract.searches import SearchReport
from edgefleet_operator.api.waiting import POLL_S, last, looks
from edgefleet_operator.http import BASE, Http, at


class Operations:
    """`client.operations`."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def all(self, limit: int | None = None) -> Iterator[OperationRecord]:
        """Every operation, finished or not; at most `limit`."""
        return self._http.items(Page[OperationRecord], "/operations", limit)

    def get(self, operation: str) -> OperationRecord:
        """How far an operation is."""
        return self._http.shape(OperationRecord, "GET", at("/operations", operation))

    def search_report(self, operation: str) -> SearchReport:
        """All that a search found; only the latest searches that ended have a report."""
        return self._http.shape(SearchReport, "GET", f"{at('/operations', operation)}/search")

    def search_picture(self, operation: str, device_class: str) -> bytes:
        """The front of one device class as SVG."""
        path = at(f"{at('/operations', operation)}/search", f"{device_class}.svg")
        return self._http.answer("GET", f"{BASE}{path}").content

    def watch(
        self, operation: str, *, timeout_s: float | None = None, poll_s: float = POLL_S
    ) -> Iterator[OperationRecord]:
        """An operation as it goes on, until it has ended.

        Args:
            operation: its id.
            timeout_s: seconds to wait at most; None waits for ever.
            poll_s: seconds between two looks.

        Raises:
            ApiError: it is refused, or there was no answer for half a minute.
            WaitTimeout: the time is up; it goes on.
        """
        return looks(lambda: self.get(operation), lambda seen: seen.ended, f"operation {operation}", timeout_s, poll_s)

    def wait(
        self,
        operation: str,
        *,
        timeout_s: float | None = None,
        on_progress: Callable[[OperationRecord], None] | None = None,
    ) -> OperationRecord:
        """An operation once it has ended, well or not; `on_progress` is told how far it is.

        Raises:
            ApiError: it is refused, or there was no answer for half a minute.
            WaitTimeout: the time is up; it goes on.
        """
        return last(self.watch(operation, timeout_s=timeout_s), on_progress)
