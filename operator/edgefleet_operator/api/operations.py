"""Follows and cancels operations, the long work that the controller does in the background."""

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
        """Iterate over all operations, finished or not, at most `limit`."""
        return self._http.items(Page[OperationRecord], "/operations", limit)

    def get(self, operation: str) -> OperationRecord:
        """Get an operation, with its progress or its result."""
        return self._http.shape(OperationRecord, "GET", at("/operations", operation))

    def cancel(self, operation: str) -> OperationRecord:
        """Cancel an operation that waits or runs; it ends within seconds, and keeps its finished steps.

        One that runs is returned as still running: `wait` returns its end. It may succeed at the last moment.

        Raises:
            Refused: it has ended.
        """
        return self._http.shape(OperationRecord, "POST", f"{at('/operations', operation)}/cancel")

    def search_report(self, operation: str) -> SearchReport:
        """Get the whole report of a search; only the latest finished searches have one."""
        return self._http.shape(SearchReport, "GET", f"{at('/operations', operation)}/search")

    def search_picture(self, operation: str, device_class: str) -> bytes:
        """Get a picture of the front of one device class, as SVG."""
        path = at(f"{at('/operations', operation)}/search", f"{device_class}.svg")
        return self._http.answer("GET", f"{BASE}{path}").content

    def watch(
        self, operation: str, *, timeout_s: float | None = None, poll_s: float = POLL_S
    ) -> Iterator[OperationRecord]:
        """Poll an operation and yield each state, until it has ended.

        Args:
            operation: the operation's id.
            timeout_s: seconds to wait at most; None waits forever.
            poll_s: seconds between polls.

        Raises:
            ApiError: the controller refused the request, or didn't answer for half a minute.
            WaitTimeout: the time is up; the operation goes on.
        """
        return looks(lambda: self.get(operation), lambda seen: seen.ended, f"operation {operation}", timeout_s, poll_s)

    def wait(
        self,
        operation: str,
        *,
        timeout_s: float | None = None,
        on_progress: Callable[[OperationRecord], None] | None = None,
    ) -> OperationRecord:
        """Wait until an operation has succeeded, failed or been cancelled; `on_progress` is called with each new state.

        Raises:
            ApiError: the controller refused the request, or didn't answer for half a minute.
            WaitTimeout: the time is up; the operation goes on.
        """
        return last(self.watch(operation, timeout_s=timeout_s), on_progress)
